import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from pipeline import models
from pipeline.core.errors import DataError
from pipeline.core.reduce import layer_rates
from pipeline.evaluators import likelihood
from pipeline.metrics.functions.bits_per_dim import bits_per_dim

KEY = jax.random.key(0)
DIMS = 8 * 8 * 3


@pytest.fixture(scope="module")
def model():
    recipe = dict(
        name="vae.VAE",
        image_size=8,
        latent_dim=4,
        channels=(8,),
        hidden=(),
        likelihood="categorical",
    )
    return models.create(recipe, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3)).astype(np.uint8)


def batches(images, size):
    for start in range(0, len(images), size):
        part = images[start : start + size]
        pad = size - len(part)
        yield dict(
            image=np.concatenate([part, np.zeros((pad, *part.shape[1:]), np.uint8)]),
            mask=np.concatenate([np.ones(len(part)), np.zeros(pad)]).astype(np.float32),
        )


def certain(model):
    """Return a copy whose posterior has no spread, so that neither noise nor batching matters."""
    model = nnx.clone(model)
    kernel, bias = model.encoder.posterior.kernel, model.encoder.posterior.bias
    kernel[...] = kernel[...].at[:, 4:].set(0.0)
    bias[...] = bias[...].at[4:].set(-30.0)
    return model


def test_metrics_equal_those_of_the_whole_set_at_once(model, images):
    result = likelihood.evaluate(model, batches(images, 11), key=KEY)
    sample_key = jax.random.fold_in(jax.random.fold_in(KEY, 0), 0)
    outputs = model(dict(image=jnp.asarray(images)), key=sample_key, train=False)
    distortion, rates = (
        -outputs.recon.log_prob(jnp.asarray(images)),
        layer_rates(outputs.latents),
    )
    np.testing.assert_allclose(result["distortion"], distortion.mean(), rtol=1e-5)
    np.testing.assert_allclose(result["kl_per_layer"], rates.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(result["nats"], result["distortion"] + result["rate"], rtol=1e-9)
    np.testing.assert_allclose(result["bits_per_dim"], bits_per_dim(result["nats"], DIMS))
    assert result["num_examples"] == 11 and result["likelihood"] == "Categorical"
    assert result["active_units"]["units"] == 4 and "iwae_nats" not in result


def test_batching_does_not_change_the_result(model, images):
    sure = certain(model)
    results = [likelihood.evaluate(sure, batches(images, size), key=KEY) for size in (11, 4, 3)]
    for result in results:
        assert result["num_examples"] == 11
        np.testing.assert_allclose(result["nats"], results[0]["nats"], rtol=1e-6)
        assert result["active_units"] == results[0]["active_units"]


def test_the_same_key_gives_the_same_result(model, images):
    first, second = (
        likelihood.evaluate(model, batches(images, 4), key=KEY, num_importance_samples=2)
        for _ in range(2)
    )
    assert first == second
    assert (
        first["nats"]
        != likelihood.evaluate(model, batches(images, 4), key=jax.random.key(1))["nats"]
    )


def test_the_importance_weighted_bound_is_tighter(model, images):
    results = {
        k: likelihood.evaluate(model, batches(images, 11), key=KEY, num_importance_samples=k)
        for k in (1, 32)
    }
    assert results[32]["iwae_nats"] < results[1]["iwae_nats"]
    assert results[32]["nats"] == results[1]["nats"]
    # The bound at K = 1 has the expectation of the ELBO; they differ by one sample's noise in the
    # KL.
    np.testing.assert_allclose(results[1]["iwae_nats"], results[1]["nats"], rtol=0.01)


def test_eight_devices_give_the_result_of_one(model, images):
    mesh = jax.make_mesh((8,), ("fsdp",), axis_types=(jax.sharding.AxisType.Auto,))
    rows, whole = NamedSharding(mesh, PartitionSpec("fsdp")), NamedSharding(mesh, PartitionSpec())
    graph, state = nnx.split(model)
    spread = nnx.merge(graph, jax.device_put(state, whole))
    sharded = likelihood.evaluate(
        spread,
        batches(images, 8),
        key=KEY,
        num_importance_samples=2,
        place=lambda batch: jax.device_put(batch, rows),
        replicated=whole,
    )
    single = likelihood.evaluate(model, batches(images, 8), key=KEY, num_importance_samples=2)
    for name in ("nats", "rate", "iwae_nats"):
        np.testing.assert_allclose(sharded[name], single[name], rtol=1e-5)
    assert sharded["num_examples"] == 11 and sharded["active_units"] == single["active_units"]


def test_evaluations_of_a_model_share_one_compilation(model, images):
    likelihood.evaluate(model, batches(images, 4), key=KEY)
    compiled = likelihood._elbo_sums.outermost._cache_size()
    likelihood.evaluate(nnx.clone(model), batches(images, 4), key=KEY)
    assert likelihood._elbo_sums.outermost._cache_size() == compiled


def test_no_examples_is_an_error(model, images):
    with pytest.raises(DataError, match="no example"):
        likelihood.evaluate(model, [], key=KEY)
