"""AutoencoderTiny (TAESD) agrees with diffusers' on random weights, and goes back to its folder."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import diffusers_models  # noqa: E402
import numpy as np  # noqa: E402
from published_settings import TINY  # noqa: E402

pytestmark = pytest.mark.parity


def test_latents_and_images_as_diffusers(tmp_path):
    model = diffusers_models.create("AutoencoderTiny", **TINY)
    codec = diffusers_models.imported(model, tmp_path)
    image = np.random.default_rng(0).uniform(-1, 1, (2, 16, 24, 3)).astype(np.float32)
    with torch.no_grad():
        z = model.encode(torch.from_numpy(image).permute(0, 3, 1, 2)).latents
        recon = model.decode(z).sample
    latents = z.permute(0, 2, 3, 1).numpy()
    ours, _ = diffusers_models.program(codec, "encode")(image)
    diffusers_models.check_close(ours, latents)
    decoded = diffusers_models.program(codec, "decode")(latents)
    diffusers_models.check_close(decoded, recon.permute(0, 2, 3, 1))
    diffusers_models.check_export(model, codec, tmp_path)
