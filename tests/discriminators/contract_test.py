"""Every discriminator of pipeline/discriminators: constructor, logits and their gradient."""

import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.construct import modules_of

PACKAGE = "pipeline.discriminators"


def discriminators_of(module: str) -> list[type[nnx.Module]]:
    """Return the public modules that a file defines: what a recipe can name."""
    loaded = importlib.import_module(f"{PACKAGE}.{module}")
    return [
        kind
        for name, kind in vars(loaded).items()
        if isinstance(kind, type)
        and issubclass(kind, nnx.Module)
        and kind.__module__ == loaded.__name__
        and not name.startswith("_")
    ]


KINDS = [kind for module in modules_of(PACKAGE) for kind in discriminators_of(module)]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@pytest.mark.parametrize("module", modules_of(PACKAGE))
def test_every_file_has_a_discriminator(module):
    assert discriminators_of(module)


@every_kind
def test_constructor_takes_channels_of_the_input_random_state_and_dtype(kind):
    parameters = inspect.signature(kind.__init__).parameters
    assert {"in_channels", "rngs", "dtype"} <= set(parameters)
    required = {n for n, p in parameters.items() if p.default is p.empty} - {"self", "rngs"}
    assert not required, "a recipe needs to name the class alone"


@every_kind
def test_clips_or_latents_get_float32_logits_with_a_gradient(kind):
    taken = inspect.signature(kind.__init__).parameters
    narrow = {
        k: v for k, v in (("channels", 4), ("hidden", (8,)), ("image_size", 32)) if k in taken
    }
    model = kind(in_channels=1, rngs=nnx.Rngs(0), dtype=jnp.bfloat16, **narrow)
    shape = (2, 1) if getattr(kind, "of_latents", False) else (2, 5, 32, 32, 1)
    clips = jax.random.uniform(jax.random.key(0), shape, minval=-1)

    @nnx.jit
    def logits_and_gradient(model, clips):
        logits = model(clips)
        return logits, jax.grad(lambda x: model(x).sum())(clips)

    logits, gradient = logits_and_gradient(model, clips)
    assert logits.dtype == jnp.float32 and len(logits) == 2
    assert np.isfinite(logits).all() and float(jnp.abs(gradient).max()) > 0
    # Discriminators keep no running statistics: the training state has parameters alone.
    assert not jax.tree.leaves(nnx.state(model, nnx.BatchStat))
