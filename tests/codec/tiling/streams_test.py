"""Tests of streaming: clips come back at their size, a chunk at a time, with one-line errors."""

import functools
import inspect
import warnings

import numpy as np
import pytest
from tiny_video_codec import tiny_codec

from pipeline.codec.any_size import AnySizeCodec
from pipeline.core.errors import DataError


@pytest.fixture(scope="module")
def codec() -> AnySizeCodec:
    return tiny_codec()


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (13, 16, 16, 3), np.uint8)


def test_a_clip_of_any_length_and_size_comes_back_at_its_size(codec, clip):
    odd = clip[:6, :13, :15]
    with pytest.warns(UserWarning) as warned:
        latents = codec.encode_frames(iter(odd), chunk=4)
        assert latents.size is None
        out = np.stack(list(codec.decode_frames(latents, chunk=1)))
    assert [str(one.message).split(";")[0] for one in warned] == [
        "encode_frames: 13x15 pixels are padded to 16x16",
        "encode_frames: 6 frames are padded to 9 (1 + 4k)",
    ]
    assert latents.size == odd.shape[:3] and out.shape == odd.shape
    with pytest.warns(UserWarning, match="padded"):
        encoding = codec.encode(odd[None])
    whole = np.asarray(codec.decode(encoding.mode(), size=encoding.size))[0]
    assert np.abs(out.astype(int) - whole).max() <= 1
    # Latents that do not come from a stream are cropped to a given size.
    pieces = list(encoding.mode())
    sizes = {
        size: np.stack(list(codec.decode_frames(pieces, chunk=1, size=size))).shape
        for size in (None, (3, 7))
    }
    assert sizes == {None: (9, 16, 16, 3), (3, 7): (9, 3, 7, 3)}
    assert len(list(codec.decode_frames(pieces, chunk=1, size=latents.size))) == 6


def test_a_clip_that_fits_gives_no_warning(codec, clip):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(codec.decode_frames(codec.encode_frames(clip[:9], chunk=4), chunk=1))) == 9


def test_frames_are_read_at_most_one_chunk_ahead(codec, clip):
    taken = []
    frames = (taken.append(frame) or frame for frame in clip)
    first = next(latents := codec.encode_frames(frames, chunk=4))
    assert len(first) == 1 and len(taken) == 1
    next(latents)
    assert len(taken) == 5
    taken.clear()
    frames = (taken.append(frame) or frame for frame in clip)
    out = codec.decode_frames(codec.encode_frames(frames, chunk=4), chunk=1)
    assert not taken
    for done, _ in enumerate(out, 1):
        assert done <= len(taken) < done + 4
    assert done == len(taken) == 13


class Unchecked:
    """A codec without the tests' runtime type checks, which would raise before the codec does."""

    def __init__(self, codec: AnySizeCodec):
        for method in (AnySizeCodec.encode_frames, AnySizeCodec.decode_frames):
            setattr(self, method.__name__, functools.partial(inspect.unwrap(method), codec))


def z(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda codec, clip: codec.encode_frames([clip[0], clip[1, :8]]),
            "frame 1 is 8x16 uint8, .* 16x16 uint8",
        ),
        (
            lambda codec, clip: codec.encode_frames([clip[0], z(16, 16, 3)]),
            "frame 1 is 16x16 float32",
        ),
        (
            lambda codec, clip: codec.encode_frames([clip]),
            r"frame 0 is \[13, 16, 16, 3\], .* \[height width 3\]",
        ),
        (lambda codec, clip: codec.encode_frames(["frame.png"]), "frame 0 is str"),
        (lambda codec, clip: codec.encode_frames([]), "there are no frames"),
        (lambda codec, clip: codec.encode_frames(None), "an iterable of frames, not NoneType"),
        (lambda codec, clip: codec.encode_frames(clip, chunk="8"), "chunk='8' .* whole number"),
        (lambda codec, clip: codec.encode_frames(clip, tile=20), "tile=20"),
        (
            lambda codec, clip: codec.decode_frames([z(1, 2, 2, 3)]),
            r"piece 0 .*\[1, 2, 2, 3\], .* width 2\]",
        ),
        (lambda codec, clip: codec.decode_frames(z(1, 2, 2, 2)), r"piece 0 .*\[2, 2, 2\]"),
        (
            lambda codec, clip: codec.decode_frames([z(1, 2, 2, 2), z(1, 2, 3, 2)]),
            "piece 1 .* 2x3, .* are 2x2",
        ),
        (lambda codec, clip: codec.decode_frames([]), "there are no latents"),
        (lambda codec, clip: codec.decode_frames(3), "an iterable of pieces of latents, not int"),
        (lambda codec, clip: codec.decode_frames([z(1, 2, 2, 2)], size=16), "size=16 must be"),
        (
            lambda codec, clip: codec.decode_frames([z(1, 2, 2, 2)], size=(5, 16, 16)),
            "frames 5, .* give 1",
        ),
        (
            lambda codec, clip: codec.decode_frames([z(1, 2, 2, 2)], size=(17, 16)),
            "height 17, .* give 16",
        ),
    ],
)
def test_invalid_input_gives_a_one_line_error(codec, clip, call, message):
    with pytest.raises(DataError, match=message) as error:
        list(call(Unchecked(codec), clip))
    assert "\n" not in str(error.value)
