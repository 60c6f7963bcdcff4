"""Doubling in time, by repetition and linearly, and aligned bilinear doubling in space."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.nn.resample import aligned_bilinear_double, double_frames, interpolate_frames


def clip(*values):
    """Return a clip of one-pixel frames."""
    return jnp.asarray(values, jnp.float32).reshape(1, -1, 1, 1, 1)


@pytest.mark.parametrize(
    "double, first, later",
    [
        (double_frames, [1, 3, 3, 7, 7], [1, 1, 3, 3, 7, 7]),
        # After the first frame, each pair lies 1/4 of the way to its neighbors; ends extend
        # outward.
        (interpolate_frames, [1, 3, 4, 6, 7], [1, 1.5, 2.5, 4, 6, 7]),
    ],
)
def test_first_frame_of_a_clip_is_not_doubled(double, first, later):
    np.testing.assert_allclose(double(clip(1, 3, 7), first=True).ravel(), first)
    np.testing.assert_allclose(double(clip(1, 3, 7), first=False).ravel(), later)
    np.testing.assert_allclose(double(clip(5), first=True).ravel(), [5])


@pytest.mark.parametrize("double, ahead", [(double_frames, 0), (interpolate_frames, 1)])
def test_how_many_later_frames_an_output_depends_on(double, ahead):
    seen = jax.jacobian(lambda x: double(x, first=True).ravel())(clip(*range(5))).reshape(9, 5)
    last = [int(np.flatnonzero(row).max()) for row in np.asarray(seen)]
    own = [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert max(place - frame for place, frame in zip(last, own)) == ahead
    # Repetition commutes with splitting a clip into chunks.
    if not ahead:
        whole, x = double(clip(*range(5)), first=True), clip(*range(5))
        parts = [double(x[:, :2], first=True), double(x[:, 2:], first=False)]
        np.testing.assert_array_equal(jnp.concatenate(parts, axis=1), whole)


def test_aligned_doubling_keeps_corners_and_straight_lines():
    ramp = jnp.broadcast_to(jnp.arange(4.0)[None, :, None, None], (1, 4, 3, 1))
    doubled = aligned_bilinear_double(ramp)
    np.testing.assert_allclose(doubled[0, :, 2, 0], np.linspace(0, 3, 8), atol=1e-6)
    np.testing.assert_array_equal(
        aligned_bilinear_double(jnp.ones((1, 1, 1, 2))).shape, (1, 2, 2, 2)
    )
