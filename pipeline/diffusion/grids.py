"""The times at which a sampler evaluates a path, by name, from its latest to its earliest.

| name | |
|---|---|
| `uniform` | even steps in t |
| `log_snr` | even steps in the log of the signal-to-noise ratio, DPM-Solver's |
| `shifted` | shift t / (1 + (shift - 1) t) of even t: above 1, more steps near noise |
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.diffusion.paths import Path
from pipeline.diffusion.times import solve

NAMES = ("uniform", "log_snr", "shifted")


def times(
    path: Path, steps: int, *, spacing: str = "uniform", shift: float = 1.0
) -> Float[Array, " n"]:
    """Return the `steps` + 1 times of a sampler, falling.

    Args:
      shift: for `shifted`; LightningDiT's is 0.3 in its own direction of time, 1 / 0.3 in ours.

    Raises:
      ConfigError: an unknown spacing, no steps, or a path without an SNR at its ends for `log_snr`.
    """
    if spacing not in NAMES:
        raise ConfigError(f"spacing={spacing!r} must be one of {', '.join(NAMES)}")
    if steps < 1:
        raise ConfigError(f"steps={steps} must be at least 1")
    even = np.linspace(1, 0, steps + 1)
    if spacing == "shifted":
        even = shift * even / (1 + (shift - 1) * even)
    between = jnp.asarray(path.earliest + (path.latest - path.earliest) * even, jnp.float32)
    if spacing != "log_snr":
        return between
    ends = path.log_snr(jnp.asarray([path.earliest, path.latest], jnp.float32))
    if not np.all(np.isfinite(ends)):
        raise ConfigError(
            f"spacing='log_snr': the signal-to-noise ratio of {type(path).__name__} is 0 or "
            "infinite at its ends; take uniform or shifted"
        )
    inner = solve(
        lambda t: -path.log_snr(t),
        -jnp.linspace(ends[1], ends[0], steps + 1)[1:-1],
        path.earliest,
        path.latest,
    )
    return jnp.concatenate([between[:1], inner, between[-1:]])
