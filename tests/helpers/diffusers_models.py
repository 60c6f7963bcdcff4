"""Random models of diffusers' classes, and what an import of one and its export are compared with.

Parity tests import this file after they know that torch and diffusers are there.
"""

import json
import pathlib
from typing import Any

import diffusers
import numpy as np
import safetensors.numpy
import torch

from pipeline import Codec, cli
from pipeline.codec.any_size import AnySizeCodec
from pipeline.exporters import diffusers as exporter
from pipeline.formats.diffusers_folder import CONFIG, WEIGHTS

TOLERANCE = 1e-4  # of the standard deviation of what is compared


def perturb(model: torch.nn.Module) -> torch.nn.Module:
    """Move all parameters and saved buffers away from constants, so that each one matters."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point() and (tensor.ndim < 2 or tensor.std() == 0):
                tensor.add_(0.2 * torch.randn_like(tensor))
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):
                buffer.abs_().add_(0.1)
    return model.eval()


def create(name: str, **settings: Any) -> Any:
    """Return a model of the class `name` with random weights."""
    torch.manual_seed(0)
    return perturb(getattr(diffusers, name)(**settings))


def imported(model: Any, folder: pathlib.Path) -> AnySizeCodec:
    """Save a model in `folder`/theirs, import it by the command, and return the codec."""
    model.save_pretrained(folder / "theirs")
    command = ["import", "--from", "diffusers", str(folder / "theirs")]
    assert cli.dispatch([*command, "--out", str(folder / "codec")]) == 0
    codec: Any = Codec.from_pretrained(folder / "codec")
    assert codec.config["num_parameters"] == sum(p.numel() for p in model.parameters())
    return codec


def check_close(ours: Any, theirs: Any, tolerance: float = TOLERANCE) -> None:
    """Check that arrays of one layout differ by at most `tolerance` standard deviations."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.isfinite(ours).all() and theirs.std() > 0
    error = np.abs(ours - theirs).max() / theirs.std()
    assert error <= tolerance, f"{error:.2e} standard deviations"


def check_export(model: Any, codec: AnySizeCodec, folder: pathlib.Path) -> None:
    """Check that the codec's export is the folder that it was imported from, and that the class
    loads it. `folder` is the one given to `imported`.
    """
    theirs, again = folder / "theirs", folder / "again"
    exporter.write(codec, again)
    before, after = (safetensors.numpy.load_file(each / WEIGHTS) for each in (theirs, again))
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        np.testing.assert_array_equal(after[name], tensor, err_msg=name)
    settings = [json.loads((each / CONFIG).read_text()) for each in (theirs, again)]
    assert settings[0] == settings[1]
    _, report = type(model).from_pretrained(again, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def program(codec: AnySizeCodec, side: str) -> Any:
    """Return the float32 function that is compared: "encode" images or clips to the features of the
    posterior, or "decode" latents.
    """
    import jax

    model = codec.modeldef.merge(codec.weights, codec.weights)
    if side == "encode":
        return jax.jit(lambda x: next((z.mean, z.logvar) for z in model.encode(x)))
    return jax.jit(lambda z: model.decode((z,)).mean())
