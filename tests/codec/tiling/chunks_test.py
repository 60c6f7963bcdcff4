"""Tests of chunks of time: the size asked for, or the default by the size of the frames."""

import itertools

import numpy as np
import pytest
from tiny_video_codec import tiny_codec

from pipeline.codec.tiling import chunks


@pytest.mark.parametrize(
    "height, width, tile, frames",
    [
        (128, 128, None, 8),
        (720, 1280, None, 8),
        (720, 1280, 64, 32),
        (144, 176, None, 8),
        (90, 90, None, 16),
        (64, 64, None, 32),
        (64, 64, 256, 32),
        (16, 16, None, 32),
    ],
)
def test_chunks_of_small_frames_are_longer_for_causal_networks(height, width, tile, frames):
    assert chunks.default_chunk(height, width, tile=tile, causal=True) == frames
    assert chunks.default_chunk(height, width, tile=tile, causal=False) == 8


@pytest.mark.parametrize(
    "chunk, causal, lengths",
    [
        (4, True, [1, 4, 4, 1]),
        (4, False, [5, 4, 1]),
        (3, True, [1, 3, 3, 3]),
        (0, True, [1, 9]),
        (0, False, [10]),
    ],
)
def test_groups_have_the_requested_lengths(chunk, causal, lengths):
    lead = None if causal else 1
    groups = list(chunks.group(range(10), chunk, lead))
    assert (
        list(itertools.chain(*groups)) == list(range(10))
        and [len(group) for group in groups] == lengths
    )
    if chunk:
        assert [part.shape[1] for part in chunks.split(np.zeros((1, 10)), chunk, lead)] == lengths


@pytest.mark.parametrize(
    "chunk, latents", [(8, 2), (4, 1), (1, 1), (0, 0), (None, None), ("auto", "auto")]
)
def test_chunks_convert_from_frames_to_latents(chunk, latents):
    assert chunks.in_latents(chunk, 4) == latents


def test_groups_are_read_lazily():
    frames = iter(range(100))
    groups = chunks.group(frames, 3, None)
    assert (
        next(frames) == 0
        and next(groups) == [1]
        and next(groups) == [2, 3, 4]
        and next(frames) == 5
    )
    assert list(chunks.group([], 3, None)) == []


def test_the_first_item_is_seen_and_kept():
    first, items = chunks.peeked(range(3, 6))
    assert first == 3 and list(items) == [3, 4, 5]


def test_default_chunks_follow_the_frame_size_and_do_not_change_the_result():
    codec = tiny_codec()
    clip = np.random.default_rng(0).integers(0, 256, (41, 16, 16, 3), np.uint8)
    pieces = list(codec.encode_frames(clip))
    assert [len(piece) for piece in pieces] == [1, 8, 2]  # 1, 32 and 8 frames
    z = np.concatenate(pieces)
    np.testing.assert_allclose(
        z, np.concatenate(list(codec.encode_frames(clip, chunk=4))), atol=1e-5
    )
    frames = np.stack(list(codec.decode_frames(pieces)))
    by_two = np.stack(list(codec.decode_frames(pieces, chunk=2)))
    assert frames.shape == clip.shape and np.abs(frames.astype(int) - by_two).max() <= 1
