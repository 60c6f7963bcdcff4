"""Every bottleneck in pipeline/bottlenecks keeps the contract."""

import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.construct import modules_of

MODULES = modules_of("pipeline.bottlenecks")
DIM, SHAPE = 3, (2, 4, 4)


def classes_of(module: str) -> list[type]:
    found = importlib.import_module(f"pipeline.bottlenecks.{module}")
    classes = [value for value in vars(found).values() if inspect.isclass(value)]
    return [c for c in classes if issubclass(c, nnx.Module) and c.__module__ == found.__name__]


CLASSES = [each for module in MODULES for each in classes_of(module)]


@pytest.fixture(params=CLASSES, ids=lambda each: each.__name__)
def bottleneck(request):
    return request.param(latent_channels=DIM, key=jax.random.key(0), dtype=jnp.float32)


def test_every_module_has_a_bottleneck():
    assert {each.__module__.rpartition(".")[2] for each in CLASSES} == set(MODULES)


def test_features_become_a_latent(bottleneck):
    inputs = bottleneck.num_inputs(DIM)
    h = jax.random.normal(jax.random.key(1), (*SHAPE, inputs)).astype(jnp.bfloat16)
    latent = bottleneck(h, None)
    assert latent.z.shape == (*SHAPE, DIM) == (*SHAPE, bottleneck.latent_channels)
    assert latent.z.dtype == latent.kl.dtype == jnp.float32
    assert latent.kl.shape == ((*SHAPE, DIM) if latent.indices is None else (*SHAPE, 1))
    assert float(latent.kl.min()) >= -1e-5
    np.testing.assert_array_equal(latent.z, bottleneck(h).z)
    one, again = bottleneck(h, jax.random.key(2)), bottleneck(h, jax.random.key(2))
    np.testing.assert_array_equal(one.z, again.z)


def test_a_discrete_bottleneck_decodes_its_indices_bit_for_bit(bottleneck):
    h = jax.random.normal(jax.random.key(1), (*SHAPE, bottleneck.num_inputs(DIM)))
    latent = bottleneck(h)
    if latent.indices is None:
        return
    assert latent.indices.shape[:3] == SHAPE and jnp.issubdtype(latent.indices.dtype, jnp.integer)
    assert latent.indices.min() >= 0 and latent.indices.max() < latent.num_codes
    np.testing.assert_array_equal(bottleneck.decode_indices(latent.indices), latent.z)
    if hasattr(bottleneck, "learn"):
        learned, aux = bottleneck.learn(h, jax.random.key(2), 0)
        assert learned.z.shape == latent.z.shape and learned.num_codes == latent.num_codes
        assert [x.shape for x in aux.get("vectors", ())] == [x.shape for x in aux.get("codes", ())]


def test_the_prior_gives_latents_and_its_mean_at_temperature_zero(bottleneck):
    mean = bottleneck.prior(SHAPE, None)
    drawn, still = (bottleneck.prior(SHAPE, jax.random.key(3), t) for t in (1.0, 0.0))
    assert mean.shape == drawn.shape == (*SHAPE, DIM)
    assert not np.allclose(drawn, mean)
    np.testing.assert_allclose(still, mean, atol=1e-6)
