"""Tests that whole videos are coded in bounded memory, and that progress counts each frame once."""

import dataclasses
import fractions

import numpy as np
import pytest
from tiny_video_codec import tiny_codec, write_video
from video_files import pictures, write_frames

from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.media import clip_latents, code_video
from pipeline.codec.media.video_io import Timing, VideoReader, VideoWriter
from pipeline.core.errors import DataError

FRAMES = 13


@pytest.fixture
def read_before(tmp_path, monkeypatch):
    """Record the number of frames read at each write of a frame or of latents."""
    write_video(tmp_path / "film.mp4", FRAMES, width=16)
    readers, counts = [], []

    class Reader(VideoReader):
        def __init__(self, path):
            super().__init__(path)
            readers.append(self)

    def counted(write):
        def counting(*arguments):
            counts.append(len(readers[-1].pts))
            write(*arguments)

        return counting

    monkeypatch.setattr(code_video, "VideoReader", Reader)
    for writer in (VideoWriter, clip_latents.Writer):
        monkeypatch.setattr(writer, "write", counted(writer.write))
    return counts


def test_at_most_one_chunk_is_read_ahead(read_before, tmp_path):
    told: list[tuple[int, int | None]] = []
    paths = tmp_path / "film.mp4", tmp_path / "out.mp4"
    code_video.reconstruct(
        tiny_codec(), *paths, chunk=4, advance=lambda done, of: told.append((done, of))
    )
    assert read_before == [1, *(4 * [5]), *(4 * [9]), *(4 * [13])]
    assert told == [(done, FRAMES) for done in range(1, FRAMES + 1)]
    read_before.clear()
    code_video.reconstruct(tiny_codec(), *paths, chunk=0)
    assert read_before == [1, *(12 * [13])]  # after the first frame, the rest of the video


def test_latents_are_written_as_frames_arrive(read_before, tmp_path):
    told: list[tuple[int, int | None]] = []
    paths = tmp_path / "film.mp4", tmp_path / "z.safetensors"
    code_video.encode(
        tiny_codec(), *paths, chunk=4, advance=lambda done, of: told.append((done, of))
    )
    assert read_before == [1, 5, 9, 13] and told == [(done, FRAMES) for done in read_before]
    told.clear()
    code_video.decode(
        tiny_codec(),
        paths[1],
        tmp_path / "out.mp4",
        advance=lambda done, of: told.append((done, of)),
    )
    assert told == [(done, FRAMES) for done in range(1, FRAMES + 1)]


class Plain(AnySizeCodec):
    """A codec whose latents are the frames themselves."""

    def __init__(self):
        """Need no model."""

    is_video = causal = encoder_causal = decoder_causal = True
    temporal_factor, fingerprint, num_codes = 1, "plain", 0

    def encode_frames(self, frames, **_):
        for frame in frames:
            yield frame[None].astype(np.float32)

    def decode_frames(self, latents, **_):
        for latent in latents:
            yield latent[0].astype(np.uint8)


def write_wide(path, tracks: int = 0):
    """Write 12 frames of pixels that are not square."""

    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(32, 27)

    return write_frames(path, pictures(12, 16, 24), prepare=prepare, tracks=tracks)


def test_latents_keep_the_shape_of_pixels_and_the_end_but_no_sound(tmp_path):
    film = write_wide(tmp_path / "a.mp4", tracks=2)
    latents, out = tmp_path / "z.safetensors", tmp_path / "b.mp4"
    remarks = code_video.encode(Plain(), film, latents)["remarks"]
    assert remarks == ["without its sound, which latents do not hold"]
    with clip_latents.opened(latents, "plain") as (about, stored):
        assert about.pixel_aspect == fractions.Fraction(32, 27)
        frames = list(stored)
    with clip_latents.Writer(latents, "plain") as writer:
        for frame in frames:
            writer.write(frame)
        writer.finish(dataclasses.replace(about, end=about.end * 3))
    code_video.decode(Plain(), latents, out)
    with VideoReader(out) as reader:
        assert len(list(reader)) == 12 and reader.pixel_aspect == fractions.Fraction(32, 27)
        assert float(reader.end * reader.timing.time_base) == pytest.approx(3, abs=2e-3)


def test_latents_written_before_their_end_was_kept_are_read(tmp_path):
    path = tmp_path / "z.safetensors"
    timing = Timing(fractions.Fraction(1, 10), fractions.Fraction(10))
    with clip_latents.Writer(path, "x") as writer:
        writer.write(np.zeros((1, 2, 2, 2), np.float32))
        writer.finish(clip_latents.About((1, 16, 16), timing, [0]))
    with clip_latents.opened(path, "x") as (about, _):
        assert about.end is None and about.pixel_aspect == 1


def test_a_reconstruction_side_by_side_keeps_the_shape_of_pixels(tmp_path):
    film = write_wide(tmp_path / "a.mp4")
    result = code_video.reconstruct(Plain(), film, tmp_path / "b.mp4", side_by_side=True)
    assert result["seconds"] == 1 and result["fps"] == 12
    with VideoReader(tmp_path / "b.mp4") as reader:
        assert next(iter(reader)).shape == (16, 48, 3)
        assert reader.pixel_aspect == fractions.Fraction(32, 27)


class Forgetful(Plain):
    """A codec whose frames in chunks are darker than those of a whole clip."""

    causal, windows = False, None

    def decode_frames(self, latents, *, chunk=None, **_):
        for latent in latents:
            yield latent[0].astype(np.uint8) // (1 if chunk == 0 else 2)


def test_chunks_are_compared_with_the_whole_clip(tmp_path, monkeypatch):
    film = write_wide(tmp_path / "a.mp4")
    paths = film, tmp_path / "b.mp4"
    assert "whole_clip_difference" not in code_video.reconstruct(Plain(), *paths)
    same = code_video.reconstruct(Plain(), *paths, verify_chunks=True)
    assert same["whole_clip_difference"] == 0
    other = code_video.reconstruct(Forgetful(), *paths, chunk=4, verify_chunks=True)
    assert other["whole_clip_difference"] > 50  # known of a codec that is not causal
    monkeypatch.setattr(Forgetful, "causal", True)
    with pytest.raises(DataError, match=r"a\.mp4: coded in chunks, frames differ"):
        code_video.reconstruct(Forgetful(), *paths, chunk=4, verify_chunks=True)
