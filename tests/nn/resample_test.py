"""Frames doubled in time: by repeating, which sees none ahead, and linearly, which sees one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.nn.resample import double_frames, interpolate_frames


def clip(*values):
    """Frames of one pixel."""
    return jnp.asarray(values, jnp.float32).reshape(1, -1, 1, 1, 1)


@pytest.mark.parametrize(
    "double, first, later",
    [
        (double_frames, [1, 3, 3, 7, 7], [1, 1, 3, 3, 7, 7]),
        # Of the frames after the first one each pair lies a quarter of the way to its neighbours; the ends go on.
        (interpolate_frames, [1, 3, 4, 6, 7], [1, 1.5, 2.5, 4, 6, 7]),
    ],
)
def test_a_clips_first_frame_stays_one(double, first, later):
    np.testing.assert_allclose(double(clip(1, 3, 7), first=True).ravel(), first)
    np.testing.assert_allclose(double(clip(1, 3, 7), first=False).ravel(), later)
    np.testing.assert_allclose(double(clip(5), first=True).ravel(), [5])


@pytest.mark.parametrize("double, ahead", [(double_frames, 0), (interpolate_frames, 1)])
def test_which_frames_are_seen(double, ahead):
    seen = jax.jacobian(lambda x: double(x, first=True).ravel())(clip(*range(5))).reshape(9, 5)
    last = [int(np.flatnonzero(row).max()) for row in np.asarray(seen)]
    own = [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert max(place - frame for place, frame in zip(last, own)) == ahead
    # Chunks of repeated frames are the whole's.
    if not ahead:
        whole, x = double(clip(*range(5)), first=True), clip(*range(5))
        parts = [double(x[:, :2], first=True), double(x[:, 2:], first=False)]
        np.testing.assert_array_equal(jnp.concatenate(parts, axis=1), whole)
