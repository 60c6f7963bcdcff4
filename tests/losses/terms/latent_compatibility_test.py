"""The constraint on latents: its targets, its value, its gradient, and its frozen codec."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from autoencoders import ldm
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.types import Latent, Outputs
from pipeline.losses import objective
from pipeline.losses.terms import latent_compatibility
from pipeline.losses.terms.latent_compatibility import target_frames

KEY = jax.random.key(0)
distance = jax.jit(latent_compatibility.distance, static_argnames="decode")


def outputs(z):
    return Outputs(None, (Latent(z, jnp.zeros_like(z)),))


def enlarge(z):
    """Decode images: the first three latent channels, each pixel repeated eight times."""
    return jnp.repeat(jnp.repeat(z[..., :3], 8, axis=1), 8, axis=2)


def test_targets_are_the_first_frame_and_one_frame_of_each_group():
    draw = jax.jit(jax.vmap(lambda key: target_frames(key, 4)))
    drawn = np.asarray(draw(jax.random.split(KEY, 200)))
    assert not drawn[:, 0].any()
    for latent in (1, 2, 3):
        assert set(drawn[:, latent]) == set(range(4 * latent - 3, 4 * latent + 1))
    assert target_frames(KEY, 1).tolist() == [0]


def test_the_value_is_the_distance_to_the_chosen_frames_of_each_example():
    clip = jax.random.uniform(jax.random.key(1), (2, 9, 8, 16, 3), minval=-1, maxval=1)
    z = jax.random.normal(jax.random.key(2), (2, 3, 1, 2, 4))
    loss = distance(outputs(z), {"video": clip}, decode=enlarge, key=KEY)
    chosen = target_frames(KEY, 3)
    expected = [
        sum(np.abs(enlarge(z[b])[t] - clip[b, chosen[t]]).sum() for t in range(3)) / 3
        for b in range(2)
    ]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_an_image_counts_as_much_as_a_clip_of_any_length():
    z = jax.random.normal(jax.random.key(1), (1, 1, 1, 1, 4))
    image = jax.random.uniform(jax.random.key(2), (1, 1, 8, 8, 3), minval=-1)

    def still(latents):
        clip = jnp.repeat(image, 4 * latents - 3, axis=1)
        of_each = outputs(jnp.repeat(z, latents, axis=1))
        return float(distance(of_each, {"video": clip}, decode=enlarge, key=KEY)[0])

    assert still(1) > 1 and still(5) == pytest.approx(still(1), rel=1e-6)


def test_latents_that_the_decoder_decodes_exactly_cost_nothing():
    still = jnp.broadcast_to(jnp.asarray([-1.0, 0.0, 1.0]), (1, 5, 8, 8, 3))
    z = jnp.broadcast_to(jnp.asarray([-1.0, 0.0, 1.0, 7.0]), (1, 2, 1, 1, 4))
    loss, grad = jax.jit(
        jax.value_and_grad(
            lambda z: distance(outputs(z), {"video": still}, decode=enlarge, key=KEY).sum()
        )
    )(z + 0.5)
    assert float(loss) == pytest.approx(0.5 * still[:, 0].size)
    assert (grad[..., :3] > 0).all() and not grad[..., 3].any()
    assert float(distance(outputs(z), {"video": still}, decode=enlarge, key=KEY)[0]) == 0


def test_an_image_is_a_clip_of_one_frame():
    image = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    z = jnp.zeros((2, 1, 1, 1, 4))
    loss = distance(outputs(z), {"image": jnp.asarray(image)}, decode=enlarge, key=KEY)
    np.testing.assert_allclose(loss, np.abs(image / 127.5 - 1).sum((1, 2, 3)), rtol=1e-5)


def test_a_clip_of_another_length_is_an_error():
    with pytest.raises(DataError, match="3 frames of latents do not belong to a clip of 8 frames"):
        distance(
            outputs(jnp.zeros((1, 3, 1, 1, 4))),
            {"video": jnp.zeros((1, 8, 8, 8, 3))},
            decode=enlarge,
            key=KEY,
        )


IMAGES = ldm(channels=(4, 4, 4, 4), groups=2, attention=False)


def test_the_term_uses_the_frozen_codec_that_it_is_passed():
    modeldef, params, _ = parameters.split(models.create(IMAGES, rngs=nnx.Rngs(0)))
    recipe = {"l1": {}, "latent_compatibility": {"weight": 0.25, "codec": "folder"}}
    found, frozen = objective.create(recipe, load_codec=lambda path: (modeldef, params))
    assert frozen.keys() == {f"latent_compatibility.{name}" for name in params}
    rng = np.random.default_rng(0)
    clip = jnp.asarray(rng.uniform(-1, 1, (2, 5, 8, 8, 3)), jnp.float32)
    z = jnp.asarray(rng.normal(size=(2, 2, 1, 1, 4)), jnp.float32)

    class Same:
        def mean(self):
            return clip

    batch = {"video": clip}
    outputs = Outputs(Same(), (Latent(z, jnp.zeros_like(z)),))
    losses = jax.jit(lambda frozen: found(outputs, batch, 3, {}, frozen))(frozen)
    model = modeldef.merge(params)
    key = jax.random.fold_in(KEY, 3)
    alone = Outputs(None, outputs.latents)
    cost = distance(alone, batch, decode=lambda z: model.decode((z,)).mean(), key=key)
    np.testing.assert_allclose(losses.regularizer, 0.25 * cost, rtol=1e-4)
    np.testing.assert_allclose(losses.logged["latent_compatibility"], cost / (8 * 8 * 3), rtol=1e-5)


def test_without_a_weight_no_codec_is_read():
    def load_codec(path):
        raise AssertionError(path)

    recipe = {"l1": {}, "latent_compatibility": {"weight": 0.0, "codec": "absent"}}
    objective.create(recipe, load_codec=load_codec)
    for settings, message in [
        ({"weight": 1.0}, r"objective\.latent_compatibility\.codec is missing"),
        ({"wait": 1.0}, r"objective\.latent_compatibility\.wait .* did you mean 'weight'"),
    ]:
        with pytest.raises(ConfigError, match=message):
            objective.create({"l1": {}, "latent_compatibility": settings}, load_codec=load_codec)
