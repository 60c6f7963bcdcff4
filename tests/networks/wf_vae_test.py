"""A small WF-VAE: causal, its parts where the paper has them, and the authors' variants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from autoencoders import wf_vae
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import ConfigError


@pytest.fixture(scope="module")
def model():
    return models.create(wf_vae(num_blocks=1), rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def clip():
    return jax.random.uniform(jax.random.key(0), (1, 9, 16, 16, 3), minval=-1, maxval=1)


def test_shapes_and_the_wavelets_that_the_loss_compares(model, clip):
    outputs = jax.jit(lambda x: model({"video": x}, key=jax.random.key(1), train=False))(clip)
    (latent,) = outputs.latents
    assert latent.z.shape == latent.kl.shape == (1, 3, 2, 2, 2)
    assert outputs.recon.mean().shape == clip.shape
    (ours2, theirs2), (ours3, theirs3) = outputs.aux["wavelets"]
    assert ours2.shape == theirs2.shape == (1, 5, 4, 4, 12) and ours3.shape == theirs3.shape == (
        1,
        3,
        2,
        2,
        24,
    )


def test_no_latent_sees_a_later_frame_and_no_frame_a_later_latent(model, clip):
    encode = jax.jit(lambda x: model.encode(x)[0].mean)
    for frame, first in ((0, 0), (4, 1), (5, 2)):
        changed = (encode(clip.at[:, frame].multiply(-1)) != encode(clip)).any(axis=(0, 2, 3, 4))
        assert changed.tolist() == [latent >= first for latent in range(3)]
    z = jax.random.normal(jax.random.key(2), (1, 3, 2, 2, 2))
    decode = jax.jit(lambda z: model.decode((z,)).mean())
    for latent, first in ((1, 1), (2, 5)):  # a latent is four frames, the first one a single frame
        changed = (decode(z.at[:, latent].multiply(-1)) != decode(z)).any(axis=(0, 2, 3, 4))
        assert not changed[:first].any() and changed[first]


@pytest.mark.slow
def test_rematerialised_gradients_are_the_same(clip):
    def gradient(remat):
        made = models.create(wf_vae(remat=remat), rngs=nnx.Rngs(0))
        modeldef, params, model_state = parameters.split(made)

        def loss(params):
            outputs = modeldef.merge(params, model_state)(
                {"video": clip[:, :5]}, key=None, train=True
            )
            return jnp.square(outputs.recon.mean() - clip[:, :5]).sum()

        return jax.jit(jax.grad(loss))(params)

    for a, b in zip(jax.tree.leaves(gradient(False)), jax.tree.leaves(gradient(True))):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_what_the_authors_weights_need_is_not_causal():
    recipe = wf_vae(time_interpolation="linear", authors_wavelets=True)
    model = models.create(recipe, rngs=nnx.Rngs(0))
    assert model.encoder_causal and not model.decoder_causal
    z = jax.random.normal(jax.random.key(2), (1, 3, 2, 2, 2))
    decode = jax.jit(lambda z: model.decode((z,)).mean()[:, 4])
    assert (decode(z.at[:, 2].multiply(-1)) != decode(z)).any()


@pytest.mark.parametrize(
    "change, message",
    [(dict(image_size=12), "multiple of 8"), (dict(time_interpolation="cubic"), "nearest")],
)
def test_settings_that_cannot_be(change, message):
    with pytest.raises(ConfigError, match=message):
        models.create(wf_vae(**change), rngs=nnx.Rngs(0))
