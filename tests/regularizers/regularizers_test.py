"""What each regularizer does to latents, in numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.regularizers.channel_dropping import channel_dropping
from pipeline.regularizers.equivariance import equivariance, transform
from pipeline.regularizers.masking import mask, masking
from pipeline.regularizers.noise import noise
from pipeline.regularizers.noise_sync import noise_sync

KEY = jax.random.key(0)


def test_latents_and_images_are_turned_alike():
    part = equivariance(scales=(0.5,))
    assert part.images is not None
    z = jax.random.normal(KEY, (2, 4, 4, 3))
    images = jnp.repeat(jnp.repeat(z, 4, axis=1), 4, axis=2)  # each latent is a block of pixels
    for seed in range(6):
        key = jax.random.key(seed)
        small = part.latents(z, key, {}, "0.5x")
        target = part.images(images, key, "0.5x")
        assert small.shape == (2, 2, 2, 3) and target.shape == (2, 8, 8, 3)
        np.testing.assert_allclose(target.reshape(2, 2, 4, 2, 4, 3).mean((2, 4)), small, atol=1e-6)


def test_turns_are_clockwise_and_four_are_none():
    x = jnp.arange(4.0).reshape(1, 2, 2, 1)  # 0 1 / 2 3
    np.testing.assert_array_equal(transform(x, scale=1, turns=1)[0, ..., 0], [[2, 0], [3, 1]])
    again = x
    for _ in range(4):
        again = transform(again, scale=1, turns=1)
    np.testing.assert_array_equal(again, x)
    clip = jnp.stack([x, 2 * x], axis=1)
    np.testing.assert_array_equal(
        transform(clip, scale=1, turns=1)[:, 1], 2 * transform(x, scale=1, turns=1)
    )


def test_images_that_are_not_square_cannot_turn():
    with pytest.raises(ConfigError, match="not 2x4: set it to False"):
        transform(jnp.zeros((1, 2, 4, 3)), scale=1, turns=1)
    assert transform(jnp.zeros((1, 2, 4, 3)), scale=0.5).shape == (1, 1, 2, 3)


def test_without_a_change_nothing_is_changed():
    part = equivariance(probability=0.0)
    assert part.images is not None
    z = jax.random.normal(KEY, (2, 4, 4, 3))
    assert {part.choose(0, step) for step in range(100)} == {"1"}
    assert part.latents(z, KEY, {}, "1") is z and part.images(z, KEY, "1") is z


def test_half_of_the_steps_are_changed():
    part = equivariance()
    changed = [part.choose(1, step) != "1" for step in range(4000)]
    assert np.mean(changed) == pytest.approx(0.5, abs=0.03)


def test_noise_has_one_deviation_an_example_up_to_the_highest():
    z = jnp.zeros((500, 8, 8, 4))
    deviations = np.asarray(noise(highest=0.8).latents(z, KEY, {}, "")).std(axis=(1, 2, 3))
    assert deviations.max() < 0.9 and deviations.mean() == pytest.approx(0.4, abs=0.03)
    assert deviations.std() == pytest.approx(0.8 / 12**0.5, abs=0.03)


def test_noise_sync_moves_a_share_along_the_path():
    z = jnp.ones((2000, 4, 4, 2))
    changed = noise_sync(probability=0.25).latents(z, KEY, {}, "")
    moved = np.asarray((changed != z).any(axis=(1, 2, 3)))
    assert moved.mean() == pytest.approx(0.25, abs=0.03)
    # z_t = (1 - t) + t e: the mean over many is 1 - E t = 1/2, whatever t is.
    assert np.asarray(changed)[moved].mean() == pytest.approx(0.5, abs=0.03)


def test_channels_are_dropped_from_the_last_one_on():
    part = channel_dropping(fewest=2, step=2, latent_channels=7)
    z = 1 + jnp.abs(jax.random.normal(KEY, (3, 4, 4, 7)))
    counts = set()
    for seed in range(40):
        kept = np.asarray(part.latents(z, jax.random.key(seed), {}, "") != 0).all(axis=(0, 1, 2))
        assert (np.diff(kept.astype(int)) <= 0).all()
        counts.add(int(kept.sum()))
    assert counts == {2, 4, 6, 7}
    with pytest.raises(ConfigError, match="fewest=16 must be from 1 to the 4 channels"):
        channel_dropping(latent_channels=4)


def test_as_many_positions_are_masked_as_the_ratio_says():
    for ratio, wanted in ((0.0, 0), (0.25, 16), (0.01, 1), (1.0, 64)):
        assert mask(KEY, jnp.float32(ratio), (8, 8), (1, 1)).sum() == wanted
    blocks = np.asarray(mask(KEY, jnp.float32(0.5), (2, 8, 9), (2, 2, 2)))
    assert blocks.sum() == 2 * 4 * (144 // 2 // 8) and not blocks[..., 8].any()
    assert (blocks[0] == blocks[1]).all(), "a block is masked as a whole"


def test_masked_positions_have_the_learned_vector_and_the_others_their_own():
    part = masking(ratios=(0.5,), probabilities=(1.0,), latent_channels=3)
    z, token = jax.random.normal(KEY, (2, 4, 4, 3)), jnp.array([9.0, 8.0, 7.0])
    changed = np.asarray(part.latents(z, KEY, {"token": token}, ""))
    masked = (changed == np.asarray(token)).all(axis=-1)
    assert masked.sum(axis=(1, 2)).tolist() == [8, 8] and (masked[0] == masked[1]).all()
    np.testing.assert_array_equal(changed[~masked], np.asarray(z)[~masked])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(ratios=(0.5, 0.1)), "need one of probabilities each"),
        (dict(probabilities=(0.5, 0.1, 0.1, 0.1)), "must add up to 1"),
        (dict(block=(0, 1, 1)), "three numbers of 1 or more"),
    ],
)
def test_impossible_masks_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        masking(**arguments, latent_channels=3)
