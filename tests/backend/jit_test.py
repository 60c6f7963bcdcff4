"""compiled.jit: XLA's options at the top, and a plain jit within a caller's own transformations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.backend import jit


@functools.partial(jit.jit, static_argnames="power")
def raised(x: jax.Array, *, power: int = 2) -> jax.Array:
    """The sum of x to a power."""
    return (x**power).sum()


ONES = jnp.arange(1.0, 4.0)


@pytest.mark.parametrize(
    ("transformed", "expected"),
    [
        (raised, 14.0),
        (jax.jit(raised), 14.0),
        (jax.grad(raised), [2.0, 4.0, 6.0]),
        (jax.jit(jax.grad(raised)), [2.0, 4.0, 6.0]),
        (lambda x: jax.vmap(raised)(x[:, None]), [1.0, 4.0, 9.0]),
        (lambda x: jax.jit(lambda: raised(x))(), 14.0),  # of constants alone
        (functools.partial(raised, power=3), 36.0),
    ],
    ids=["plain", "jit", "grad", "jit of grad", "vmap", "constants in jit", "static"],
)
def test_values_under_every_transformation(transformed, expected):
    np.testing.assert_allclose(transformed(ONES), expected)


def test_the_cpu_is_given_options_that_it_takes_and_others_none():
    assert jit.options("gpu") is None and jit.options("tpu") is None
    options = jit.options("cpu")
    assert options
    jax.jit(jnp.sin, compiler_options=options).lower(ONES).compile()


def test_programs_need_less_memory_than_by_default():
    """Eight products, of each only a number: one is held at a time, and not all."""

    def numbers(x: jax.Array) -> list[jax.Array]:
        return [(jnp.sin(x + step) @ x).max() for step in range(8)]

    x = jnp.ones((256, 256))
    plain = jax.jit(numbers).lower(x).compile().memory_analysis()
    ours = (
        jax.jit(numbers, compiler_options=jit.options("cpu")).lower(x).compile().memory_analysis()
    )
    assert ours.temp_size_in_bytes <= 0.5 * plain.temp_size_in_bytes


def test_it_keeps_the_name_and_the_text():
    assert raised.__name__ == "raised" and raised.__doc__ == "The sum of x to a power."
