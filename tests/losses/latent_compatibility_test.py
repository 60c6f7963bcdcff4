"""The latents' constraint: its targets, its value and where its gradient goes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.types import Latent, Outputs
from pipeline.losses.latent_compatibility import latent_compatibility, target_frames

KEY = jax.random.key(0)


def outputs(z):
    return Outputs(None, (Latent(z, jnp.zeros_like(z)),))


def enlarge(z):
    """A decoder of images: the first three latent channels, each pixel eight times."""
    return jnp.repeat(jnp.repeat(z[..., :3], 8, axis=1), 8, axis=2)


def test_targets_are_the_first_frame_and_one_of_each_group():
    drawn = np.stack([target_frames(key, 4) for key in jax.random.split(KEY, 200)])
    assert not drawn[:, 0].any()
    for latent in (1, 2, 3):
        assert set(drawn[:, latent]) == set(range(4 * latent - 3, 4 * latent + 1))
    assert target_frames(KEY, 1).tolist() == [0]


def test_it_is_the_distance_to_the_chosen_frames_of_each_example():
    clip = jax.random.uniform(jax.random.key(1), (2, 9, 8, 16, 3), minval=-1, maxval=1)
    z = jax.random.normal(jax.random.key(2), (2, 3, 1, 2, 4))
    loss = latent_compatibility(outputs(z), {"video": clip}, decode=enlarge, key=KEY)
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
        return float(latent_compatibility(of_each, {"video": clip}, decode=enlarge, key=KEY)[0])

    assert still(1) > 1 and still(5) == pytest.approx(still(1), rel=1e-6)


def test_latents_that_the_decoder_understands_cost_nothing():
    still = jnp.broadcast_to(jnp.asarray([-1.0, 0.0, 1.0]), (1, 5, 8, 8, 3))
    z = jnp.broadcast_to(jnp.asarray([-1.0, 0.0, 1.0, 7.0]), (1, 2, 1, 1, 4))
    loss, grad = jax.value_and_grad(
        lambda z: latent_compatibility(outputs(z), {"video": still}, decode=enlarge, key=KEY).sum()
    )(z + 0.5)
    assert float(loss) == pytest.approx(0.5 * still[:, 0].size)
    assert (grad[..., :3] > 0).all() and not grad[..., 3].any()
    assert (
        float(latent_compatibility(outputs(z), {"video": still}, decode=enlarge, key=KEY)[0]) == 0
    )


def test_an_image_is_a_clip_of_one_frame():
    image = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    z = jnp.zeros((2, 1, 1, 1, 4))
    loss = latent_compatibility(outputs(z), {"image": jnp.asarray(image)}, decode=enlarge, key=KEY)
    np.testing.assert_allclose(loss, np.abs(image / 127.5 - 1).sum((1, 2, 3)), rtol=1e-5)


def test_lengths_must_fit():
    with pytest.raises(DataError, match="3 frames of latents are not of a clip of 8 frames"):
        latent_compatibility(
            outputs(jnp.zeros((1, 3, 1, 1, 4))),
            {"video": jnp.zeros((1, 8, 8, 8, 3))},
            decode=enlarge,
            key=KEY,
        )
