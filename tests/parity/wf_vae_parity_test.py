"""WF-VAE agrees with the same equations in torch on the same weights and clips.

The weights go through a folder in the authors' format.
"""

import json

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import safetensors.torch  # noqa: E402
from restated_wf_vae import Restated, Sizes, random_state_dict  # noqa: E402

from pipeline import Codec, cli  # noqa: E402
from pipeline.importers import diffusers as diffusers_importer  # noqa: E402

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4
SIZES = Sizes(base=8, flow=6, latents=3, blocks=2, connecting=1)
SETTINGS = dict(_class_name="WFVAEModel", base_channels=8, latent_dim=3, encoder_num_resblocks=2)


@pytest.mark.parametrize("time", ["trilinear", "nearest"])
def test_encode_and_decode_as_the_authors(time, tmp_path):
    tensors = random_state_dict(SIZES, seed=0)
    restated = Restated(SIZES, tensors, time)
    theirs, out = tmp_path / "theirs", tmp_path / "codec"
    theirs.mkdir()
    safetensors.torch.save_file(tensors, theirs / diffusers_importer.WEIGHTS)
    (theirs / diffusers_importer.CONFIG).write_text(
        json.dumps(SETTINGS | dict(t_interpolation=time))
    )
    assert cli.dispatch(["import", "--from", "wf-vae", str(theirs), "--out", str(out)]) == 0
    codec = Codec.from_pretrained(out)
    assert codec.causal == (time == "nearest")

    shapes = [(1, 9, 24, 16, 3)] + [(2, 1, 16, 16, 3)] * (time == "trilinear")  # clips, and images
    for shape in shapes:
        clip = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        with torch.no_grad():
            mean, logvar = restated.encode(torch.from_numpy(clip).movedim(-1, 1))
            recon = restated.decode(mean)
        encoding = codec.encode(clip)
        for ours, expected in ((encoding.mode(), mean), (encoding.logvar, logvar)):
            np.testing.assert_allclose(ours, expected.movedim(1, -1), atol=TOLERANCE)
        # As floats, which codec.decode rounds to pixels.
        decode = jax.jit(lambda weights, z: codec.modeldef.merge(weights).decode([z]).mean())
        ours = decode(codec.weights, mean.movedim(1, -1).numpy())
        np.testing.assert_allclose(ours, recon.movedim(1, -1), atol=TOLERANCE)
        assert float(recon.std()) > 0.1  # else a tolerance would say little
