"""Schedules: their shapes, exact ends, and errors of recipes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core import schedules
from pipeline.core.errors import ConfigError


def values(recipe, steps):
    schedule = jax.jit(schedules.create(recipe, where="objective.beta"))
    return np.array([schedule(jnp.int32(step)) for step in steps])


def test_a_number_is_constant():
    np.testing.assert_array_equal(values(0.25, [0, 10**6]), 0.25)
    np.testing.assert_array_equal(values(dict(name="constant", value=4), [7]), 4)


def test_linear_is_constant_outside_its_range():
    recipe = dict(name="linear", steps=100, start=0.5, end=2.5, begin=10)
    np.testing.assert_allclose(values(recipe, [0, 10, 60, 110, 10**6]), [0.5, 0.5, 1.5, 2.5, 2.5])


def test_cyclical_repeats_a_linear_rise():
    # Eighths of a cycle, M = 4 cycles, R = 1/2: up over the first half, flat over the second.
    recipe = dict(name="cyclical", steps=800, cycles=4, ratio=0.5)
    tooth = [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    np.testing.assert_allclose(values(recipe, range(0, 800, 25)), tooth * 4, atol=1e-6)
    np.testing.assert_array_equal(values(recipe, [800, 825, 10**6]), 1)


@pytest.mark.parametrize("steepness", [1.0, 10.0, 40.0])
def test_sigmoid_reaches_its_ends_exactly(steepness):
    recipe = dict(name="sigmoid", steps=100, begin=20, steepness=steepness)
    curve = values(recipe, [0, 20, 45, 70, 95, 120, 500])
    assert curve[0] == curve[1] == 0 and curve[-1] == curve[-2] == 1
    np.testing.assert_allclose(curve[3], 0.5, atol=1e-6)
    np.testing.assert_allclose(curve[2] + curve[4], 1, atol=1e-6)
    assert (np.diff(curve[1:-1]) > 0).all()


def test_sigmoid_is_the_logistic_function_between_its_ends():
    logistic = 1 / (1 + np.exp(-10 * (np.arange(0, 101, 10) / 100 - 0.5)))
    expected = (logistic - logistic[0]) / (logistic[-1] - logistic[0])
    np.testing.assert_allclose(
        values(dict(name="sigmoid", steps=100), range(0, 101, 10)), expected, atol=1e-6
    )


@pytest.mark.parametrize(
    "recipe, message",
    [
        (dict(name="linaer", steps=5), "did you mean 'linear'"),
        (dict(name="linear", stpes=5), "objective.beta.stpes .* did you mean 'steps'"),
        (dict(name="linear"), "objective.beta.steps is missing"),
        (dict(name="linear", steps=0), "at least 1"),
        (dict(name="cyclical", steps=5, ratio=0.0), "ratio"),
        (dict(name="sigmoid", steps=5, steepness=0.0), "steepness"),
        (dict(steps=5), "must be a number or a schedule"),
    ],
)
def test_invalid_recipes_are_config_errors(recipe, message):
    with pytest.raises(ConfigError, match=message):
        schedules.create(recipe, where="objective.beta")
