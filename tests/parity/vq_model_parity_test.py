"""VQModel agrees with diffusers' on random weights: latents, indices and images, to 1e-5."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from pipeline import Codec, cli  # noqa: E402

pytestmark = pytest.mark.parity

TOLERANCE = 1e-5
# Latent diffusion's vq-f8 has attention at the lowest resolution, and its vq-f4-noattn none at all.
FORMS = {
    "vq_f8": dict(
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    ),
    "vq_f4_noattn": dict(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        mid_block_add_attention=False,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_latents_indices_and_images_as_diffusers(form, tmp_path):
    torch.manual_seed(0)
    model = diffusers.VQModel(
        block_out_channels=(16, 32),
        norm_num_groups=8,
        layers_per_block=1,
        latent_channels=4,
        sample_size=16,
        num_vq_embeddings=64,
        **FORMS[form],
    ).eval()
    with torch.no_grad():  # norms too, which start at ones and zeros, and codes among the vectors
        for name, parameter in model.named_parameters():
            if "norm" in name or "embedding" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "theirs")
    command = ["import", "--from", "diffusers", str(tmp_path / "theirs")]
    assert cli.dispatch([*command, "--out", str(tmp_path / "codec")]) == 0
    codec = Codec.from_pretrained(tmp_path / "codec")
    assert codec.config["num_parameters"] == sum(p.numel() for p in model.parameters())
    image = np.random.default_rng(0).uniform(-1, 1, (2, 16, 24, 3)).astype(np.float32)
    with torch.no_grad():
        h = model.encode(torch.from_numpy(image).permute(0, 3, 1, 2)).latents
        z, _, (_, _, indices) = model.quantize(h)
        recon = model.decode(h).sample
    ours = codec.modeldef.merge(codec.weights, codec.weights)
    vectors, _ = ours._features(jnp.asarray(image))
    np.testing.assert_allclose(vectors, h.permute(0, 2, 3, 1), atol=TOLERANCE)
    encoding = codec.encode(image)
    np.testing.assert_array_equal(encoding.indices(), indices.reshape(2, 8, 12))
    assert len(np.unique(encoding.indices())) > 8
    np.testing.assert_allclose(encoding.mode(), z.permute(0, 2, 3, 1), atol=TOLERANCE)
    decoded = ours.decode((jnp.asarray(encoding.mode()),)).mean()
    np.testing.assert_allclose(decoded, recon.permute(0, 2, 3, 1), atol=TOLERANCE)
