"""How far a codec's output is from its input, one value an example: pixels, wavelet bands, structural similarity.

Everything is summed over an example (never averaged), so that terms keep their proportion at any size.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.core.types import Outputs
from pipeline.distances import ms_ssim as multiscale
from pipeline.distributions.continuous import clip_logvar


def l1(recon: Float[Array, "b ..."], target: Float[Array, "b ..."]) -> Float[Array, " b"]:
    """Sum of absolute differences: a Laplace likelihood's nats, but for a constant."""
    return _sum(jnp.abs(recon - target))


def l2(recon: Float[Array, "b ..."], target: Float[Array, "b ..."]) -> Float[Array, " b"]:
    """Sum of squared differences: twice a Gaussian likelihood's nats, but for a constant."""
    return _sum(jnp.square(recon - target))


ERRORS = {"l1": l1, "l2": l2}


def nll(
    error: Float[Array, " b"], logvar: Float[Array, ""] | float | int, num_values: int
) -> Float[Array, " b"]:
    """error / exp(logvar) + num_values * logvar, the error being a sum over so many values.

    The form of latent diffusion's autoencoder (arXiv 2112.10752, its code). A learned logvar is best at the log of the
    mean error; with l1 that is the log of Laplace's scale, with l2 of the variance.
    """
    s = clip_logvar(jnp.asarray(logvar, jnp.float32))
    return error * jnp.exp(-s) + num_values * s


def wavelet(outputs: Outputs) -> Float[Array, " b"]:
    """Sum of absolute differences between the encoder's wavelet bands and the decoder's (WF-VAE, 2411.17459, eq. 9).

    Raises:
      ConfigError: the model has no such bands.
    """
    if "wavelets" not in outputs.aux:
        raise ConfigError(
            "objective.wavelet: this model has no wavelet bands to compare; set it to 0"
        )
    terms = [l1(decoded, encoded) for encoded, decoded in outputs.aux["wavelets"]]
    return sum(terms[1:], terms[0])


def ms_ssim(
    recon: Float[Array, "b *t h w c"], target: Float[Array, "b *t h w c"]
) -> tuple[str, Float[Array, "b t"]]:
    """MS-SSIM (Wang et al. 2003) of each frame, at most 1, with as many of its five scales as frames have room for.

    With its name: that of fewer scales tells how many (`ms_ssim.name_of`).

    Raises:
      ConfigError: frames with room for one scale or none.
    """
    height, width = target.shape[-3:-1]
    scales = multiscale.num_scales(height, width)
    if scales < 2:
        raise ConfigError(
            f"objective.ms_ssim needs frames of 21 pixels each way or more, for two scales, and these are "
            f"{height}x{width}: set it to 0, or data.image_size higher"
        )
    a, b = (x.reshape(-1, *x.shape[-3:]) for x in (recon, target))
    return multiscale.name_of(scales), multiscale.ms_ssim(a, b, scales).reshape(target.shape[0], -1)


def num_values(x: Float[Array, "b ..."]) -> int:
    """How many values an example has."""
    return math.prod(x.shape[1:])


def _sum(x: Float[Array, "b ..."]) -> Float[Array, " b"]:
    return x.reshape(x.shape[0], -1).sum(axis=-1)
