"""AutoencoderDC agrees with diffusers' on random weights: latents and images, to 1e-4 of their
deviation; and its export is the folder that it came from.
"""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import diffusers_models  # noqa: E402
import numpy as np  # noqa: E402
from published_settings import DC_AE_IN, DC_AE_SANA  # noqa: E402

pytestmark = pytest.mark.parity

FORMS = {"in": DC_AE_IN, "sana": DC_AE_SANA}


@pytest.mark.parametrize("form", FORMS)
def test_latents_and_images_as_diffusers(form, tmp_path):
    model = diffusers_models.create("AutoencoderDC", **FORMS[form])
    codec = diffusers_models.imported(model, tmp_path)
    # The 6 x 8 pixels of the lowest resolution are more than the 8 channels of a head, which in
    # diffusers makes attention linear.
    image = np.random.default_rng(0).uniform(-1, 1, (2, 24, 32, 3)).astype(np.float32)
    with torch.no_grad():
        z = model.encode(torch.from_numpy(image).permute(0, 3, 1, 2)).latent
        recon = model.decode(z).sample
    latents = z.permute(0, 2, 3, 1).numpy()
    ours, _ = diffusers_models.program(codec, "encode")(image)
    diffusers_models.check_close(ours, latents)
    decoded = diffusers_models.program(codec, "decode")(latents)
    diffusers_models.check_close(decoded, recon.permute(0, 2, 3, 1))
    scale = FORMS[form].get("scaling_factor")
    if scale:
        np.testing.assert_allclose(codec.normalize(latents), latents * scale, rtol=1e-5)
    diffusers_models.check_export(model, codec, tmp_path)
