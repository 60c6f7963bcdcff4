"""A clip split in height over four devices: the loss and gradients of one, with rows exchanged and
little gathered.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from autoencoders import wf_vae
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from pipeline import models
from pipeline.backend import target
from pipeline.core import parameters
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding


@pytest.fixture(scope="module")
def parts():
    modeldef, params, model_state = parameters.split(
        models.create(wf_vae(image_size=32), rngs=nnx.Rngs(0))
    )
    clip = jax.random.uniform(jax.random.key(0), (2, 5, 32, 32, 3), minval=-1, maxval=1)

    def loss(params, clip):
        outputs = modeldef.merge(params, model_state)(
            {"video": clip}, key=jax.random.key(1), train=True
        )
        wavelets = sum(jnp.abs(a - b).mean() for a, b in outputs.aux["wavelets"])
        return jnp.abs(outputs.recon.mean() - clip).mean() + outputs.latents[0].kl.mean() + wavelets

    return params, clip, loss


def test_loss_and_gradients_are_those_of_one_device(parts):
    params, clip, loss = parts
    expected = jax.jit(jax.value_and_grad(loss))(params, clip)
    mesh = meshes.create(fsdp=1, context=4, devices=jax.devices()[:4])
    with target.compiling_for(mesh=mesh):
        split = jax.jit(jax.value_and_grad(loss)).lower(
            jax.device_put(params, NamedSharding(mesh, PartitionSpec())),
            jax.device_put(clip, NamedSharding(mesh, sharding.CLIPS)),
        )
    program = split.compile()
    found = program(
        jax.device_put(params, NamedSharding(mesh, PartitionSpec())),
        jax.device_put(clip, NamedSharding(mesh, sharding.CLIPS)),
    )
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    for name, gradient in expected[1].items():
        scale = float(jnp.abs(gradient).max())
        # Sums of pixels in another order; a row that is missing or counted twice shows in whole per
        # cents.
        np.testing.assert_allclose(found[1][name], gradient, atol=1e-4 * scale + 1e-7, err_msg=name)
    hlo = program.as_text()
    assert "collective-permute" in hlo
    # Attention sees whole frames, of the latents' size: 4 rows. Nothing larger comes together.
    gathered = [
        list(map(int, dims.split(",")))
        for dims in re.findall(r"= f32\[([\d,]+)\]\S* all-gather\(", hlo)
    ]
    assert all(np.prod(shape) <= 2 * 2 * 4 * 4 * 16 for shape in gathered), gathered
