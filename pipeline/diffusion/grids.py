"""The times at which a sampler evaluates a path, by name, from its latest to its earliest.

| name | |
|---|---|
| `uniform` | even steps in t |
| `log_snr` | even steps in the log of the signal-to-noise ratio, DPM-Solver's |
| `shifted` | shift t / (1 + (shift - 1) t) of even t: above 1, more steps near noise |
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.diffusion.paths import Path
from pipeline.diffusion.times import solve

NAMES = ("uniform", "log_snr", "shifted")


def times(
    path: Path,
    steps: int,
    *,
    spacing: str = "uniform",
    shift: float | int = 1.0,
    earliest: float | None = None,
) -> Float[Array, " n"]:
    """Return the `steps` + 1 times of a sampler, falling.

    Args:
      earliest: the last of the times, or None for the path's.
      shift: for `shifted`; LightningDiT's is 0.3 in its own direction of time, 1 / 0.3 in ours.

    Raises:
      ConfigError: an unknown spacing, no steps, or a path without an SNR at its ends for `log_snr`.
    """
    if spacing not in NAMES:
        raise ConfigError(f"spacing={spacing!r} must be one of {', '.join(NAMES)}")
    if steps < 1:
        raise ConfigError(f"steps={steps} must be at least 1")
    first = path.earliest if earliest is None else earliest
    even = np.linspace(1, 0, steps + 1)
    if spacing == "shifted":
        even = shift * even / (1 + (shift - 1) * even)
    # The grid is of constants, also where a program is being traced.
    with jax.ensure_compile_time_eval():
        between = jnp.asarray(first + (path.latest - first) * even, jnp.float32)
        return _even_in_log_snr(path, between) if spacing == "log_snr" else between


def _even_in_log_snr(path: Path, ends: Float[Array, " n"]) -> Float[Array, " n"]:
    """Return times with the ends of the given ones, in even steps of log_snr."""
    noise, data = path.log_snr(ends[0]), path.log_snr(ends[-1])
    if not np.isfinite(noise) or not np.isfinite(data):
        raise ConfigError(
            f"spacing='log_snr': the signal-to-noise ratio of {type(path).__name__} is 0 or "
            "infinite at its ends; take uniform or shifted"
        )
    inner = solve(
        lambda t: -path.log_snr(t),
        -jnp.linspace(noise, data, len(ends))[1:-1],
        float(ends[-1]),
        float(ends[0]),
    )
    return jnp.concatenate([ends[:1], inner, ends[-1:]])
