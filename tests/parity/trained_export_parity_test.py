"""What a run has trained goes out by `strata export`: diffusers' class gives the same latents and
images, and the authors' names come back exactly.
"""

import pathlib
import runpy
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import numpy as np  # noqa: E402
from diffusers_models import check_close, program  # noqa: E402
from train_run import train  # noqa: E402

from pipeline import Codec, importers  # noqa: E402
from pipeline.cli import dispatch  # noqa: E402
from pipeline.core.construct import load  # noqa: E402

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
# By recipe: the class, the importer of the authors' names, and the shape of images.
FORMS = {
    "kl_f8/sd": ("AutoencoderKL", "ldm", (2, 16, 24, 3)),
}
pytestmark = pytest.mark.parity


def trained(recipe: str, workdir: pathlib.Path) -> None:
    """Train a recipe's `:tiny` for two steps without a discriminator."""
    config = runpy.run_path(str(CONFIGS / f"{recipe}.py"))["get_config"]("tiny")
    config.num_steps = config.checkpoint.every = 2
    config.eval.every = config.sample.every = 0
    config.objective.adversarial.weight = 0.0
    config.discriminator = {}
    config.model.decoder.num_blocks = config.model.encoder.num_blocks + 1  # as the classes have
    config.optimizer.learning_rate, config.optimizer.warmup_steps = 1e-2, 0
    train(config, workdir)


@pytest.fixture(scope="module", params=FORMS)
def exported(request, tmp_path_factory) -> tuple[str, pathlib.Path]:
    """Return a recipe, and a folder with its run and the run's export in each format."""
    folder = tmp_path_factory.mktemp("exported")
    trained(request.param, folder / "run")
    for form in ("strata", "diffusers", "single-file"):
        command = ["export", "--workdir", str(folder / "run"), "--to", form]
        assert dispatch([*command, "--out", str(folder / form)]) == 0
    return request.param, folder


def test_the_class_of_diffusers_gives_the_same(exported):
    recipe, folder = exported
    name, _, shape = FORMS[recipe]
    codec: Any = Codec.from_pretrained(folder / "strata", dtype="float32")
    model, report = getattr(diffusers, name).from_pretrained(
        folder / "diffusers", output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    to_front, to_back = (
        (0, len(shape) - 1, *range(1, len(shape) - 1)),
        (0, *range(2, len(shape)), 1),
    )
    with torch.no_grad():
        posterior = model.encode(torch.from_numpy(x.transpose(to_front))).latent_dist
        recon = model.decode(posterior.mean).sample
    mean, logvar = program(codec, "encode")(x)
    z = posterior.mean.numpy().transpose(to_back)
    check_close(mean, z)
    check_close(logvar, posterior.logvar.numpy().transpose(to_back))
    check_close(program(codec, "decode")(z), recon.numpy().transpose(to_back))


def test_the_authors_names_come_back_exactly(exported):
    recipe, folder = exported
    codec: Any = Codec.from_pretrained(folder / "strata", dtype="float32")
    importer = load(importers.__name__, FORMS[recipe][1], where="--from")
    file = str(folder / "single-file" / "vae.safetensors")
    arrays = importer.read([file], codec.config["model"]).arrays
    assert arrays.keys() == codec.weights.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, codec.weights[name], err_msg=name)
