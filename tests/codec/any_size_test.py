"""Chunks, tiles and sizes of convolutional codecs, on a small WF-VAE with random weights."""

import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_video_codec import tiny_codec

from pipeline.codec.any_size import AnySizeCodec
from pipeline.core.errors import DataError
from pipeline.pretrained.load import Codec

# Without the tests' runtime type checks, which would raise before the codec does.
ENCODE, DECODE = inspect.unwrap(AnySizeCodec.encode), inspect.unwrap(AnySizeCodec.decode)


@pytest.fixture(scope="module")
def codec() -> AnySizeCodec:
    return tiny_codec()


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, 13, 16, 16, 3), np.uint8)


@pytest.mark.parametrize("chunk", [4, pytest.param(8, marks=pytest.mark.slow)])
def test_chunks_give_the_latents_of_the_whole(codec, clip, chunk):
    whole = codec.encode(clip)
    parts = codec.encode(clip, chunk=chunk)
    np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-5)
    np.testing.assert_allclose(parts.logvar, whole.logvar, atol=1e-5)


@pytest.mark.parametrize("chunk", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_chunks_give_the_frames_of_the_whole(codec, chunk):
    z = jax.random.normal(jax.random.key(0), (1, 4, 2, 2, 2))
    whole, parts = (np.asarray(codec.decode(z, chunk=size), np.int32) for size in (None, chunk))
    assert whole.shape == (1, 13, 16, 16, 3)
    assert (
        np.abs(whole - parts).max() <= 1 and (whole != parts).mean() < 1e-3
    )  # values that lie between two of uint8
    _, other = divmod(3, chunk)
    plan = [1] + [chunk] * (3 // chunk) + [other] * (other > 0)
    # Before they are rounded: frames by chunks of [1, 4, 4, 4] and [1, 8, 4].
    np.testing.assert_allclose(float_frames(codec, z, plan), float_frames(codec, z, [4]), atol=1e-5)


def float_frames(codec, z, plan):
    """Return what codec.decode computes, chunk by chunk, before it is rounded."""
    parts, cache = [], None
    for chunk in np.split(np.asarray(z), np.cumsum(plan)[:-1], axis=1):
        (frames,), cache = codec.decoder_side.program(*codec.state, cache, chunk)
        parts.append(np.asarray(frames))
    return np.concatenate(parts, axis=1)


def test_prefixes_are_stable_and_the_first_frame_is_the_image(codec, clip):
    whole = codec.encode(clip).mode()
    np.testing.assert_allclose(codec.encode(clip[:, :9]).mode(), whole[:, :3], atol=1e-5)
    np.testing.assert_allclose(codec.encode(clip[:, :1]).mode(), whole[:, :1], atol=1e-5)


@pytest.mark.parametrize("frames", [10, 11])
def test_frames_in_and_frames_out(codec, clip, frames):
    """Streaming uses constant memory; the last chunk is padded, and the padding is cropped."""
    with pytest.warns(UserWarning, match=f"encode_frames: {frames} frames are padded to 13"):
        latents = list(codec.encode_frames(iter(clip[0, :frames]), chunk=4))
    assert [len(piece) for piece in latents] == [1, 1, 1, 1]
    with pytest.warns(UserWarning, match=f"{frames} frames are padded to 13"):
        whole = codec.encode(clip[:, :frames])
    np.testing.assert_allclose(np.concatenate(latents), whole.mean[0], atol=1e-5)
    out = list(codec.decode_frames(latents, chunk=2, size=whole.size))
    assert len(out) == frames and out[0].shape == (16, 16, 3) and out[0].dtype == np.uint8
    expected = np.asarray(codec.decode(whole.mode(), size=whole.size))[0]
    assert np.abs(np.stack(out).astype(int) - expected).max() <= 1


def test_odd_sizes_are_filled_told_and_cut_back(codec, clip):
    odd = clip[:, :6, :13, :15]
    with pytest.warns(
        UserWarning, match="6 frames are padded to 9 .* 13x15 pixels are padded to 16x16"
    ):
        encoding = codec.encode(odd)
    assert encoding.size == (6, 13, 15)
    whole = codec.decode(encoding.mode())
    assert whole.shape == (1, 9, 16, 16, 3)
    for size, shape in (((6, 13, 15), (6, 13, 15)), ((13, 15), (9, 13, 15)), ((3, 7), (9, 3, 7))):
        cut = codec.decode(encoding.mode(), size=size)
        np.testing.assert_array_equal(cut, whole[:, : shape[0], : shape[1], : shape[2]])
        assert cut.shape == (1, *shape, 3)
    with pytest.warns(UserWarning, match="padded"):
        assert codec.reconstruct(odd).shape == odd.shape


def test_tiles_of_a_whole_frame_are_the_whole(codec, clip):
    np.testing.assert_allclose(
        codec.encode(clip, tile=16).mode(), codec.encode(clip).mode(), atol=1e-6
    )


def test_tiles_cover_larger_frames_in_chunks_of_time(codec):
    clip = np.random.default_rng(1).integers(0, 256, (1, 5, 40, 24, 3), np.uint8)
    tiled = codec.encode(clip, tile=16, chunk=4)
    assert tiled.mean.shape == (1, 2, 5, 3, 2)
    np.testing.assert_allclose(tiled.mean, codec.encode(clip, tile=16).mean, atol=1e-5)
    out = codec.decode(tiled.mode(), tile=16, chunk=1)
    assert out.shape == clip.shape and out.dtype == jnp.uint8


def test_saved_and_loaded_by_its_folder(codec, clip, tmp_path):
    codec.save_pretrained(tmp_path / "codec")
    config = tmp_path / "codec" / "config.json"
    content = json.loads(config.read_text())
    assert (
        content["codec"]["encoder_causal"]
        and content["codec"]["decoder_causal"]
        and content["codec"]["causal"]
    )
    # The older form, with one value of causality for encoder and decoder.
    content["codec"] = {"is_video": True, "causal": True, "spatial_factor": 8, "temporal_factor": 4}
    config.write_text(json.dumps(content))
    again = Codec.from_pretrained(tmp_path / "codec")
    assert isinstance(again, AnySizeCodec) and again.is_video and again.causal
    np.testing.assert_array_equal(
        again.encode(clip[:, :5]).mode(), codec.encode(clip[:, :5]).mode()
    )


def test_sample_and_kl_of_the_posterior(codec, clip):
    encoding = codec.encode(clip[:, :5])
    draws = jnp.stack([encoding.sample(jax.random.key(i)) for i in range(200)])
    np.testing.assert_allclose(draws.mean(0), encoding.mean, atol=0.5)
    assert float(encoding.kl()[0]) >= 0


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda codec, clip: codec.encode(clip, chunk=6), "chunk=6 .* multiple of 4"),
        (lambda codec, clip: ENCODE(codec, clip, chunk="8"), "chunk='8' .* whole number"),
        (lambda codec, clip: codec.encode(clip, tile=20), "tile=20 .* multiple of 8"),
        (lambda codec, clip: ENCODE(codec, clip, tile="256"), "tile='256' .* whole number"),
        (lambda codec, clip: codec.encode(clip[:, 0]), "a clip of one frame"),
        (lambda codec, clip: codec.encode(clip.astype(np.float32)), r"\[-1, 1\]"),
        (lambda codec, clip: codec.decode(np.zeros((1, 2, 2, 2, 3))), "height width 2"),
        (lambda codec, clip: codec.decode(np.zeros((1, 2, 2, 2, 2)), chunk=-1), "1 or more"),
        (
            lambda codec, clip: DECODE(codec, np.zeros((1, 2, 2, 2, 2)), chunk="2"),
            "chunk='2' .* whole number",
        ),
        (
            lambda codec, clip: codec.decode(np.zeros((1, 2, 2, 2, 2)), size=(4,)),
            r"size=\(4,\) must be \(height, width\)",
        ),
        (
            lambda codec, clip: codec.decode(np.zeros((1, 2, 2, 2, 2)), size=(0, 4)),
            "whole numbers above 0",
        ),
        (
            lambda codec, clip: codec.decode(np.zeros((1, 2, 2, 2, 2)), size=(9, 4, 4)),
            "frames 9, .* give 5",
        ),
        (
            lambda codec, clip: codec.decode(np.zeros((1, 2, 2, 2, 2)), size=(4, 17)),
            "width 17, .* give 16",
        ),
        (lambda codec, clip: codec.sample(1, jax.random.key(0)), "no prior"),
        (lambda codec, clip: codec.normalize(np.zeros((1, 2, 2, 2, 2))), "--stats"),
    ],
)
def test_bad_input_is_one_clear_line(codec, clip, call, message):
    with pytest.raises(DataError, match=message):
        call(codec, clip)
