"""The step minimises nats per dimension, logs bits, accumulates exactly, and repeats itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import SIZE, batch_of, tiny

from pipeline import build
from pipeline.core import parameters
from pipeline.core.reduce import layer_rates
from pipeline.training.state import mesh as meshes
from pipeline.training.state import train_state as states


def setup(**changes):
    settings = tiny(**changes)
    create, update = build.model_factory(settings), build.update(settings)
    mesh = meshes.create(devices=jax.devices()[:1])
    modeldef, shapes = states.abstract(create, update.optimizer, mesh)
    return (
        modeldef,
        states.initialize(create, update.optimizer, shapes, 0),
        build.step(settings, modeldef),
    )


def loss_of(modeldef, params, batch, key):
    outputs = modeldef.merge(params)(batch, key=key, train=True)
    distortion = -outputs.recon.log_prob(batch["image"])
    return (distortion + layer_rates(outputs.latents).sum(axis=-1)).mean() / SIZE**2


def test_the_loss_is_the_elbo_a_dimension_and_its_parts_add_up():
    modeldef, state, step = setup()
    batch = jax.tree.map(jnp.asarray, batch_of(0))
    _, metrics = jax.jit(step)(state, batch)
    key = jax.random.fold_in(jax.random.key(0), 0)
    expected = loss_of(modeldef, state.params, batch, key) / np.log(2)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["elbo"], metrics["distortion"] + metrics["rate"], rtol=1e-6)
    np.testing.assert_allclose(metrics["kl"].sum(), metrics["rate"], rtol=1e-5)
    assert metrics["kl"].shape == (1,)


def test_microbatches_are_the_batch_with_its_noise():
    batch = jax.tree.map(jnp.asarray, batch_of(1))
    runs = []
    for steps in (1, 4):
        _, state, step = setup(grad_accum_steps=steps)
        runs.append(jax.jit(step)(state, batch))
    (whole, metrics), *others = runs
    for after, same in others:
        for name in ("loss", "kl", "gradient_norm", "layer_gradient_norms"):
            np.testing.assert_allclose(same[name], metrics[name], rtol=1e-5, err_msg=name)
        # Adam's second moment is the gradient squared, and hides no factor.
        for name, value in whole.opt_state[0].nu.items():
            np.testing.assert_allclose(
                after.opt_state[0].nu[name], value, rtol=1e-3, atol=1e-12, err_msg=name
            )
        assert int(after.step) == 1


def test_noise_depends_on_the_step_alone():
    _, state, step = setup()
    run = jax.jit(step)
    _, first = run(state, batch_of(0))
    _, again = run(state, batch_of(0))
    _, later = run(state.replace(step=state.step + 1), batch_of(0))
    assert float(first["loss"]) == float(again["loss"]) != float(later["loss"])


def test_padding_counts_nothing():
    _, state, step = setup()
    run = jax.jit(step)
    batch = batch_of(0)
    padded = {name: np.array(values) for name, values in batch.items()}
    padded["mask"][6:] = 0
    other = {name: np.array(values) for name, values in padded.items()}
    other["image"][6:] = 0
    _, a = run(state, padded)
    _, b = run(state, other)
    assert float(a["loss"]) == float(b["loss"]) and float(a["gradient_norm"]) == pytest.approx(
        float(b["gradient_norm"])
    )


def test_split_and_merge_round_trip():
    modeldef, state, _ = setup()
    again, params, _ = parameters.split(modeldef.merge(state.params))
    assert again == modeldef and hash(again) == hash(modeldef)
    assert all(np.array_equal(params[name], state.params[name]) for name in state.params)
    with pytest.raises(KeyError):
        modeldef.merge({})
