"""Samplers, found by name: `ddpm`, `ddim`, `euler`, `heun`, `dpm_solver`.

    step(path, split, x, s, t, memory, key) -> (x at time t, memory)

Each file has one `step` from a time s to a time t, and `START`, a function from x to the memory
that the first step gets. `sample` runs any of them over any times, from noise to data or, for the
deterministic ones, back, in one compiled loop. Noise depends on the key and the step alone, and not
on the mesh. tests/diffusion/samplers_test.py checks each one on Gaussian data.
"""

import importlib
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.construct import modules_of
from pipeline.core.errors import ConfigError
from pipeline.diffusion.paths import Path
from pipeline.diffusion.predictions import Split

PACKAGE = "pipeline.diffusion.samplers"


def names() -> list[str]:
    """Return the names of the samplers."""
    return sorted(modules_of(PACKAGE))


def find(name: str, *, where: str = "sampler") -> Any:
    """Return the module of a sampler.

    Raises:
      ConfigError: an unknown name.
    """
    if name not in names():
        raise ConfigError(f"{where}={name!r} must be one of {', '.join(names())}")
    return importlib.import_module(f"{PACKAGE}.{name}")


def sample(
    name: str,
    path: Path,
    split: Split,
    x: Float[Array, "b ..."],
    times: Float[Array, " steps"],
    *,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "b ..."]:
    """Carry x from the first of the times to the last.

    Args:
      split: (x_t [b ...], t [b]) -> the data and the noise of which x_t is made.
      x: x_t at the first time: N(0, I) for times that begin at the path's latest.
      times: see pipeline.diffusion.grids; rising ones lead from data to noise.
      key: random numbers of `ddpm`.

    Raises:
      ConfigError: an unknown name, or a sampler with noise that has no key.
    """
    module = find(name)
    if key is None and getattr(module, "HAS_NOISE", False):
        raise ConfigError(f"sampler={name!r} draws noise and needs a key; ddim, euler do not")
    keys = jax.random.split(jax.random.key(0) if key is None else key, len(times) - 1)

    def step(carry: tuple[Array, Any], at: tuple[Array, Array, Array]):
        x_s, memory = carry
        s, t, step_key = at
        return module.step(path, split, x_s, s, t, memory, step_key), None

    x = x.astype(jnp.float32)
    (x, _), _ = jax.lax.scan(step, (x, module.START(x)), (times[:-1], times[1:], keys))
    return x


def everywhere(t: Float[Array, ""], x: Float[Array, "b ..."]) -> Float[Array, " b"]:
    """Return the time of every example of a batch whose time is one."""
    return jnp.full((len(x),), t, jnp.float32)
