"""Keys of microbatches: their draws are rows of the whole batch's draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.training.steps import row_keys

ROWS, STEPS = 3, 4
DRAWS = {
    "normal": lambda key, rows: jax.random.normal(key, (rows, 5, 2)),
    "normal of frames": lambda key, rows: jax.random.normal(key, (rows * 6, 5)),
    "uniform": lambda key, rows: jax.random.uniform(key, (rows,)),
    "gumbel": lambda key, rows: jax.random.gumbel(key, (rows, 7)),
    "logistic": lambda key, rows: jax.random.logistic(key, (rows, 7)),
    "bernoulli": lambda key, rows: jax.random.bernoulli(key, 0.5, (rows, 7)),
    "integers": lambda key, rows: jax.random.randint(key, (rows, 7), 0, 1000),
    "categorical": lambda key, rows: jax.random.categorical(key, jnp.zeros((rows, 4, 9))),
    "half": lambda key, rows: jax.random.normal(key, (rows, 5), jnp.bfloat16),
    "after a split": lambda key, rows: jax.random.normal(jax.random.split(key)[1], (rows, 2)),
    "of a layer": lambda key, rows: jax.lax.map(
        lambda layer: jax.random.normal(jax.random.fold_in(key, layer), (rows, 2)), jnp.arange(3)
    ).swapaxes(0, 1),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=list(DRAWS))
def test_a_microbatch_draws_its_rows_of_the_batch(draw):
    key = jax.random.fold_in(jax.random.key(3), 8)
    whole = np.asarray(draw(key, ROWS * STEPS).astype(jnp.float32))
    whole = whole.reshape(ROWS * STEPS, -1)
    for index in range(STEPS):
        own = row_keys.of_microbatch(key, index, rows=ROWS, steps=STEPS)
        part = np.asarray(draw(own, ROWS).astype(jnp.float32)).reshape(ROWS, -1)
        np.testing.assert_array_equal(part, whole[index::STEPS])


def test_a_draw_that_is_not_by_rows_is_the_same_in_all_microbatches():
    key = jax.random.key(3)
    for shape in ((), (4,), (0, 2)):
        own = row_keys.of_microbatch(key, 2, rows=ROWS, steps=STEPS)
        np.testing.assert_array_equal(
            jax.random.normal(own, shape), jax.random.normal(key, shape), err_msg=str(shape)
        )


def test_positions_beyond_32_bits():
    first, stride, rest = 70_003, 3_000_017, 2_999_999
    high, low = row_keys._position(jnp.uint32([first]), stride, jnp.uint32([rest]))
    assert (int(high[0]) << 32) + int(low[0]) == first * stride + rest > 1 << 32
    high, low = row_keys._position(jnp.uint32([65_536]), 65_537, jnp.uint32([0xFFFF0000]))
    assert (int(high[0]) << 32) + int(low[0]) == 65_536 * 65_537 + 0xFFFF0000


def test_memory_is_that_of_a_microbatch():
    """The program for one microbatch of many holds no array of the whole batch's size."""

    def draw(key, index):
        own = row_keys.of_microbatch(key, index, rows=2, steps=64)
        return jax.random.normal(own, (2, 1000)).sum()

    text = jax.jit(draw).lower(jax.random.key(0), jnp.int32(5)).as_text()
    assert "2x1000" in text and "128x1000" not in text and "128000" not in text
