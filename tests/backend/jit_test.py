"""`jit`: compiler options at the outermost call, and a plain jax.jit inside a caller's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.backend.jit import compiler_options, jit


@functools.partial(jit, static_argnames="power")
def raised(x: jax.Array, *, power: int = 2) -> jax.Array:
    """Return the sum of x to a power."""
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


def test_only_the_cpu_has_options_and_accepts_them():
    assert compiler_options("gpu") is None and compiler_options("tpu") is None
    options = compiler_options("cpu")
    assert options
    jax.jit(jnp.sin, compiler_options=options).lower(ONES).compile()


def test_flags_of_the_environment_are_not_overridden(monkeypatch):
    level = "xla_backend_optimization_level"
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
    kept = compiler_options("cpu")
    assert kept and level in kept
    monkeypatch.setenv("XLA_FLAGS", f"--xla_cpu_use_fusion_emitters=false --{level}=3")
    assert compiler_options("cpu") == {name: kept[name] for name in kept if name != level}


def test_programs_need_less_memory_than_by_default():
    """Reduce eight products to numbers: one product is held at a time, not all."""

    def numbers(x: jax.Array) -> list[jax.Array]:
        return [(jnp.sin(x + step) @ x).max() for step in range(8)]

    x = jnp.ones((256, 256))
    plain = jax.jit(numbers).lower(x).compile().memory_analysis()
    ours = (
        jax.jit(numbers, compiler_options=compiler_options("cpu"))
        .lower(x)
        .compile()
        .memory_analysis()
    )
    assert ours.temp_size_in_bytes <= 0.5 * plain.temp_size_in_bytes


def test_name_and_docstring_are_kept():
    assert raised.__name__ == "raised" and raised.__doc__ == "Return the sum of x to a power."
