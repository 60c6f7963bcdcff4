"""AutoencoderRAE agrees with diffusers' on random weights, and is exported as it came."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")
pytest.importorskip("transformers", reason="parity with transformers needs it: make parity")

import diffusers_models  # noqa: E402
import numpy as np  # noqa: E402
from published_settings import RAE_DINOV2, RAE_MAE  # noqa: E402

pytestmark = pytest.mark.parity

FORMS = {"dinov2": RAE_DINOV2, "mae": RAE_MAE}


@pytest.mark.parametrize("form", FORMS)
def test_latents_and_images_as_diffusers(form, tmp_path):
    settings = {key: value for key, value in FORMS[form].items() if key != "image_size"}
    model = diffusers_models.create("AutoencoderRAE", **settings)
    with torch.no_grad():  # statistics are settings too, which `create` has moved away from
        for name in ("mean", "std"):
            given = FORMS[form][f"latents_{name}"] or [float(name == "std")]
            getattr(model, f"_latents_{name}").copy_(torch.tensor(given))
            given = torch.tensor(FORMS[form][f"encoder_norm_{name}"])
            getattr(model, f"encoder_{name}").copy_(given.view(1, 3, 1, 1))
    codec = diffusers_models.imported(model, tmp_path)
    side = FORMS[form]["image_size"]
    image = np.random.default_rng(0).uniform(-1, 1, (2, side, side, 3)).astype(np.float32)
    with torch.no_grad():
        x = torch.from_numpy((image + 1) / 2).permute(0, 3, 1, 2)
        z = model.encode(x).latent
        recon = 2 * model.decode(z).sample - 1
    features, _ = diffusers_models.program(codec, "encode")(image)
    ours = codec.normalize(features) if FORMS[form]["latents_mean"] else features
    theirs = z.permute(0, 2, 3, 1).numpy()
    diffusers_models.check_close(ours, theirs)
    raw = codec.denormalize(theirs) if FORMS[form]["latents_mean"] else theirs
    decoded = diffusers_models.program(codec, "decode")(np.asarray(raw, np.float32))
    diffusers_models.check_close(decoded, recon.permute(0, 2, 3, 1))
    diffusers_models.check_export(model, codec, tmp_path)
