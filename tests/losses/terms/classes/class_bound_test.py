"""The bound of a model with a class at its closed form, and the weights of labelled examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.types import Outputs
from pipeline.losses.classes import unlabelled_bound
from pipeline.losses.terms.classes.class_bound import class_bound
from pipeline.losses.terms.classes.classification import classification

BOUNDS = jnp.array([[1.0, 2.5, 0.3]] * 2)
BATCH = {"image": np.zeros((2, 2, 2, 1), np.uint8), "label": jnp.array([-1, 1])}


def test_the_unlabelled_bound_is_a_logsumexp_where_it_is_smallest():
    @jax.jit
    def at(log_q):
        return unlabelled_bound(BOUNDS, log_q)

    best = jax.nn.log_softmax(-BOUNDS)
    np.testing.assert_allclose(at(best), -0.1746108, atol=1e-6)
    np.testing.assert_allclose(at(best), -jax.nn.logsumexp(-BOUNDS, axis=-1), atol=1e-6)
    for shift in ([0.1, 0, 0], [0, -0.3, 0], [1.0, 0, -1.0]):
        assert (at(jax.nn.log_softmax(-BOUNDS + jnp.array(shift))) > at(best)).all()


def test_a_label_chooses_its_bound_and_is_classified():
    log_q = jax.nn.log_softmax(-BOUNDS)
    outputs = Outputs(None, (), {"class_bounds": BOUNDS, "class_log_q": log_q})
    bound = class_bound().value(outputs, BATCH, 0, {})
    np.testing.assert_allclose(bound, [-0.1746108, 2.5], atol=1e-6)
    term = classification(num_examples=50_000, num_labelled=100)
    nats = term.value(outputs, BATCH, 0, {})
    np.testing.assert_allclose(nats, [0, -500 * log_q[1, 1]], rtol=1e-6)


def test_the_terms_need_classes_and_labelled_examples():
    with pytest.raises(ConfigError, match="with a class among"):
        class_bound().value(Outputs(None, (), {}), BATCH, 0, {})
    with pytest.raises(ConfigError, match="num_labelled=0 must be from 1"):
        classification(num_examples=10, num_labelled=0)
