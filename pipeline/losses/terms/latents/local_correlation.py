"""Local correlation of latents (SSVAE, arXiv 2512.05394, section 4.2).

Latents near one another should be alike: the spectrum over space and time is then one of low
frequencies, which a diffusion model learns first.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.core.reduce import masked_mean
from pipeline.losses.term import Term, Weight


def local_correlation(
    *,
    weight: Weight = 0.002,
    threshold: float = 0.75,
    window: Sequence[int] = (2, 2, 2),
    adaptive: bool = True,
    kernel: str = "encoder.conv_out.kernel",
    where: str = "objective.local_correlation",
) -> Term:
    """Return max(0, threshold - correlation) of the batch, the same for each example.

    The weight is 0.1 x 0.02 of the authors' code.

    threshold: correlation above which the loss is 0. window: frames, height and width within which
    positions are compared. adaptive: multiply the weight by the ratio of the likelihood's gradient
    to this one's at `kernel`.
    """
    if len(window) != 3 or min(window) < 1 or max(window[1:]) < 2:
        raise ConfigError(f"{where}.window={tuple(window)} must be three sizes, such as (2, 2, 2)")

    def value(outputs, batch, step, frozen):
        (latent,) = outputs.latents
        z = latent.z if latent.mean is None else latent.mean
        found = masked_mean(correlation(z, batch["mask"], tuple(window), where), batch["mask"])
        return jnp.broadcast_to(jax.nn.relu(threshold - found), (len(z),))

    def log(value, batch, step):
        return {"local_correlation": value}

    return Term(
        value, weight, log_name="local_correlation", balance=kernel if adaptive else "", log=log
    )


def correlation(
    z: Float[Array, "b *t h w d"],
    mask: Float[Array, " b"],
    window: tuple[int, ...],
    where: str = "objective.local_correlation",
) -> Float[Array, " b"]:
    """Return the mean Pearson correlation of the channels of two positions in a window.

    Channels are first standardized over the batch, without gradients through their statistics. The
    first frame of a clip has windows of its own, as in causal codecs, and is half of the mean.

    Raises:
      ConfigError: windows do not fill the latents.
    """
    axes = tuple(range(z.ndim - 1))
    shares = jnp.broadcast_to(mask.reshape(-1, *[1] * (z.ndim - 1)), z.shape) > 0
    fixed = jax.lax.stop_gradient(z)
    mean = fixed.mean(axis=axes, where=shares)
    std = fixed.std(axis=axes, where=shares)
    z = (z - mean) / (std + 1e-6)
    if z.ndim == 4:
        return _within(z[:, None], (1, *window[1:]), where)
    first = _within(z[:, :1], (1, *window[1:]), where)
    return first if z.shape[1] == 1 else (first + _within(z[:, 1:], window, where)) / 2


def _within(
    z: Float[Array, "b t h w d"], window: tuple[int, ...], where: str
) -> Float[Array, " b"]:
    b, *grid, d = z.shape
    if any(side % each for side, each in zip(grid, window)):
        raise ConfigError(
            f"{where}.window={window} does not divide the latents of {'x'.join(map(str, grid))}, "
            "counted after the first frame"
        )
    parts = [n for side, each in zip(grid, window) for n in (side // each, each)]
    z = z.reshape(b, *parts, d).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    z = z.reshape(b, -1, window[0] * window[1] * window[2], d)
    z = z - z.mean(axis=-1, keepdims=True)
    z = z / jnp.sqrt(jnp.square(z).sum(axis=-1, keepdims=True) + 1e-16)
    # The sum over pairs is half of |sum|^2 - sum of |.|^2.
    size = z.shape[2]
    pairs = (jnp.square(z.sum(axis=2)).sum(axis=-1) - jnp.square(z).sum(axis=(2, 3))) / 2
    return (pairs / (size * (size - 1) / 2)).mean(axis=1)
