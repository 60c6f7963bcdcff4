"""The target of compilation is part of what a traced function is cached by."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pipeline.backend import target


def mesh(context: int) -> Mesh:
    return Mesh(
        np.array(jax.devices()[:context]).reshape(1, 1, context), ("replica", "fsdp", "context")
    )


def test_default_target_is_the_default_backend_without_a_mesh():
    assert target.backend() == jax.default_backend()
    assert target.splitting_mesh() is None


def test_a_function_is_traced_again_for_another_target():
    seen = []

    @jax.jit
    def double(x):
        seen.append((target.backend(), target.splitting_mesh() is not None))
        return 2 * x

    x = jnp.ones(())
    double(x)
    with target.compiling_for("tpu", mesh=mesh(context=2)):
        double(x)
    double(x)
    assert seen == [(jax.default_backend(), False), ("tpu", True)]


def test_a_mesh_without_context_splits_nothing():
    with target.compiling_for(mesh=mesh(context=1)):
        assert target.splitting_mesh() is None
