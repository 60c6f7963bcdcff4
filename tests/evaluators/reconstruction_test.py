import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core.errors import DataError
from pipeline.core.types import Latent
from pipeline.distances.pixel_error import MAX_PSNR, mse, psnr
from pipeline.distances.ssim import ssim
from pipeline.distributions import continuous
from pipeline.evaluators import reconstruction


@pytest.fixture(scope="module")
def model():
    return models.create(
        dict(name="vae.VAE", image_size=16, channels=(8,), hidden=(), latent_dim=4),
        rngs=nnx.Rngs(0),
    )


def test_means_leave_out_padding(model):
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    batches = [
        dict(image=images[:4], mask=np.ones(4, np.float32)),
        dict(
            image=np.concatenate([images[4:], images[:3]]), mask=np.array([1, 0, 0, 0], np.float32)
        ),
    ]
    result = reconstruction.evaluate(model, batches)
    recon = nnx.jit(reconstruction.reconstruct)(model, {"image": jnp.asarray(images)})
    assert recon.dtype == jnp.uint8 and result["num_examples"] == 5
    for name, distance in dict(psnr=psnr, ssim=ssim, mse=mse).items():
        value = jax.jit(distance)(recon, jnp.asarray(images)).mean()
        np.testing.assert_allclose(result[name], value, rtol=1e-4)


def test_a_perfect_model_of_low_bit_images_has_the_highest_psnr():
    images = (np.random.default_rng(0).integers(0, 16, (4, 16, 16, 1)) << 4).astype(np.uint8)

    class Perfect(nnx.Module):
        """A model whose latent is the image and whose likelihood is certain of it."""

        def encode(self, image, *, key=None):
            z = continuous.values(image, 4).astype(jnp.float32)
            return (Latent(z, jnp.zeros_like(z)),)

        def decode(self, latents, **_):
            return continuous.Categorical(
                100 * jax.nn.one_hot(latents[0].astype(jnp.int32), 16), bits=4
            )

    result = reconstruction.evaluate(Perfect(), [dict(image=images, mask=np.ones(4, np.float32))])
    assert result["psnr"] == MAX_PSNR


def test_no_examples_is_an_error(model):
    with pytest.raises(DataError, match="no example"):
        reconstruction.evaluate(model, [])


class Darker(nnx.Module):
    """A model whose reconstructions are 10 of 255 darker than the clip in every second frame."""

    def encode(self, image, *, key=None):
        z = jnp.asarray(image, jnp.float32)
        return (Latent(z, jnp.zeros_like(z)),)

    def decode(self, latents, **_):
        (z,) = latents
        dark = 10.0 * (jnp.arange(z.shape[1]) % 2)[:, None, None, None]
        return continuous.Reconstruction((z - dark) / 127.5 - 1)


def test_clips_have_flicker_ms_ssim_and_perceptual_distances():
    clips = np.random.default_rng(0).integers(40, 200, (3, 5, 24, 24, 3)).astype(np.uint8)
    batch = dict(video=clips, mask=np.array([1, 1, 0], np.float32))

    def weighted(weights, a, b):  # mean difference of each frame
        return weights * (a.astype(jnp.float32) - b).mean(axis=(1, 2, 3))

    result = reconstruction.evaluate(
        Darker(), [batch], perceptual={"mine": (weighted, jnp.float32(3.0))}
    )
    assert (
        result["num_examples"] == 2
        and 0 < result["ms_ssim_2_scales"] < 1
        and "ms_ssim" not in result
    )
    np.testing.assert_allclose(result["flicker"], 10 / 255, rtol=1e-4)
    np.testing.assert_allclose(result["mine"], -3 * 10 * 2 / 5, rtol=1e-4)
    assert (
        "flicker: mean" in result["protocol"]
        and "too small for MS-SSIM: its 2 finest" in result["protocol"]
    )
