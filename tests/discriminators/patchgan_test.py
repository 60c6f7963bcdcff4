"""PatchGAN: parameter counts, norms, and the same logits on every backend and mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from pipeline.backend import target
from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.discriminators.patchgan import PatchGAN2D, PatchGAN3D
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding


@pytest.mark.parametrize(
    "make, num_layers, count",
    [(PatchGAN2D, 3, 2_765_633), (PatchGAN3D, 4, 11_744_641), (PatchGAN3D, 3, 4_665_729)],
)
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_parameter_counts_are_the_authors(make, num_layers, count, norm):
    _, params, model_state = parameters.abstract(
        lambda: make(num_layers=num_layers, norm=norm, rngs=nnx.Rngs(0))
    )
    assert sum(leaf.size for leaf in params.values()) == count and not model_state


@pytest.mark.parametrize(
    "make, shape", [(PatchGAN2D, (3, 32, 24, 3)), (PatchGAN3D, (3, 5, 16, 16, 3))]
)
def test_logits_depend_on_other_examples_only_with_batch_norm(make, shape):
    x = jax.random.uniform(jax.random.key(0), shape, minval=-1)
    for norm, independent in (("group", True), ("none", True), ("batch", False)):
        model = make(channels=4, num_layers=1, norm=norm, rngs=nnx.Rngs(0))
        # The same shape compiles once: a batch of the first example three times.
        judge = nnx.jit(lambda model, x: model(x))
        same = np.allclose(judge(model, x)[0], judge(model, x[jnp.zeros(3, int)])[0], atol=1e-5)
        assert same == independent


def test_clips_are_judged_frame_by_frame_and_initial_weights_are_small():
    model = PatchGAN2D(channels=16, num_layers=2, rngs=nnx.Rngs(0))
    x = jax.random.uniform(jax.random.key(0), (2, 3, 16, 16, 3), minval=-1)
    logits = nnx.jit(model)(x)
    assert logits.shape == (2, 3, 2, 2) and logits.dtype == jnp.float32
    np.testing.assert_allclose(logits[0], nnx.jit(model)(x[0]), atol=1e-6)
    kernel = model.convs[1].kernel[...]
    assert abs(float(kernel.std()) - 0.02) < 1e-3 and abs(float(kernel.mean())) < 1e-3


@pytest.mark.parametrize(
    "make, shape", [(PatchGAN2D, (4, 32, 16, 3)), (PatchGAN3D, (4, 5, 32, 16, 3))]
)
def test_other_backends_and_split_heights_agree(make, shape):
    model = make(channels=4, num_layers=2, rngs=nnx.Rngs(0))
    x = jax.random.uniform(jax.random.key(0), shape, minval=-1)
    graph, state = nnx.split(model)

    def logits_and_gradient(state, x):
        return nnx.merge(graph, state)(x), jax.grad(
            lambda s: jnp.square(nnx.merge(graph, s)(x)).sum()
        )(state)

    expected = jax.jit(logits_and_gradient)(state, x)
    with target.compiling_for("gpu"):
        general = jax.jit(logits_and_gradient)(state, x)
    mesh = meshes.create(replica=1, fsdp=2, context=4)
    where = sharding.sharding_of(sharding.batch_sharding(mesh), x.ndim)
    with target.compiling_for(mesh=mesh):
        split = jax.jit(logits_and_gradient)(
            jax.device_put(state, NamedSharding(mesh, PartitionSpec())), jax.device_put(x, where)
        )
    for found in (general, split):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), found, expected
        )


def test_unknown_norm_is_a_config_error():
    with pytest.raises(
        ConfigError, match=r"discriminator\.norm='layer' must be one of group, batch, none"
    ):
        PatchGAN2D(norm="layer", rngs=nnx.Rngs(0))
