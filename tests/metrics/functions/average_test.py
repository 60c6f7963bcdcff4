import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.metrics.functions.average import Averages, masked_sum


def test_padding_is_not_averaged():
    averages = Averages()
    for values, mask in (([1.0, 2.0], [1.0, 1.0]), ([6.0, np.nan], [1.0, 0.0])):
        mask = jnp.array(mask)
        pair = jnp.array([values, values]).T
        averages.add(
            dict(x=masked_sum(jnp.array(values), mask), y=masked_sum(pair, mask)), mask.sum()
        )
    assert averages.count == 3 and averages.mean("x") == 3
    np.testing.assert_array_equal(averages.mean("y"), [3, 3])


def test_an_average_over_nothing_is_an_error():
    with pytest.raises(ZeroDivisionError):
        Averages().mean("x")
