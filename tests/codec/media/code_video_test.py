"""Tests that whole videos are coded in bounded memory, and that progress counts each frame once."""

import pytest
from tiny_video_codec import tiny_codec, write_video

from pipeline.codec.media import clip_latents, code_video
from pipeline.codec.media.video_io import VideoReader, VideoWriter

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
