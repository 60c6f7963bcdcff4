"""A path is always a local file, and a cover is no video."""

import pathlib
import struct

import av
import numpy as np
import pytest
from av.stream import Disposition
from video_files import pictures, silence, write_frames, write_video

from pipeline.codec.media.video_io import VideoReader, VideoWriter
from pipeline.data.loading.example_files import write_examples
from pipeline.data.media.video_file import VideoFile
from pipeline.data.unreadable import Unreadable
from pipeline.data.videos.video_data import VideoData

NAMES = ["concat:a.mp4", "04:23.mp4", "http:a.mp4", "a%03d.mp4", "[a]*.mp4", "-i.mp4", "a#b?.mp4"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_that_of_a_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_frames(pathlib.Path("a.mp4"), pictures(1))
    write_frames(pathlib.Path("five.mp4"), pictures(5)).rename(name)
    with VideoFile(name) as file:
        assert len(list(file.frames_from(file.begin))) == 5
    with VideoReader(name) as reader:
        frames = list(reader)
    target = pathlib.Path("o:1") / name
    with VideoWriter(target, reader.timing, sound_of=pathlib.Path(name)) as writer:
        for frame, pts in zip(frames, reader.pts, strict=True):
            writer.write(frame, pts)
    assert target.is_file()


def test_examples_are_written_to_a_folder_of_any_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frames(pathlib.Path("i:n/a:1.mp4"), pictures(1))
    data = VideoData("videos", "i:n", image_size=16, num_frames=1, eval_path="i:n")
    assert write_examples(data, "o:2", split="eval", num=1) == ["o:2/eval-000000.mp4"]
    assert pathlib.Path("o:2/eval-000000.mp4").is_file()


@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile a.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.mp4\n#EXT-X-ENDLIST\n",
    ],
)
def test_lists_of_other_files_are_no_videos(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    write_frames(pathlib.Path("a.mp4"), pictures(1))
    pathlib.Path("list.mp4").write_text(content)
    for data in ("list.mp4", content.encode()):
        with pytest.raises(Unreadable, match="not a video"):
            VideoFile(data)


def test_a_name_with_a_nul_is_not_cut_there(tmp_path):
    write_frames(tmp_path / "a.mp4", pictures(1))
    with pytest.raises(Unreadable, match="NUL"):
        VideoFile(f"{tmp_path}/a.mp4\0.txt")


def write_with_cover(path: pathlib.Path, frames: int, sound: bool) -> pathlib.Path:
    with av.open(str(path), "w") as container:
        streams = []
        if frames:
            streams.append(container.add_stream("libx264", rate=12))
            streams[0].height, streams[0].width, streams[0].pix_fmt = 32, 48, "yuv420p"
        cover = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 8, 16, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        voice = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        picture = av.VideoFrame.from_ndarray(np.full((8, 16, 3), 90, np.uint8), format="rgb24")
        container.mux(cover.encode(picture))
        for pixels in pictures(frames):
            container.mux(streams[0].encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        for number in range(5 * sound):
            container.mux(voice.encode(silence(number)))
        for stream in [*streams, cover, *([voice] if voice else [])]:
            container.mux(stream.encode(None))
    return path


def boxes(content: bytes) -> list[bytes]:
    """Split the content of a box of MP4 into the boxes in it."""
    found = []
    while content:
        (size,) = struct.unpack(">I", content[:4])
        found.append(content[:size])
        content = content[size:]
    return found


def put_cover_first(path: pathlib.Path) -> None:
    """Move the box that holds the cover before those of the other streams; offsets stay."""
    top = boxes(path.read_bytes())
    number = next(index for index, box in enumerate(top) if box[4:8] == b"moov")
    inside = sorted(boxes(top[number][8:]), key=lambda box: box[4:8] != b"udta")
    top[number] = top[number][:8] + b"".join(inside)
    path.write_bytes(b"".join(top))


def test_a_cover_is_not_the_video_even_if_it_comes_first(tmp_path):
    path = write_with_cover(tmp_path / "a.mp4", frames=5, sound=False)
    put_cover_first(path)
    with av.open(str(path)) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["mjpeg", "h264"]
    with VideoFile(str(path)) as file, VideoReader(path) as reader:
        assert [frame.size for frame in file.frames_from(file.begin)] == 5 * [(32, 48)]
        assert [frame.shape for frame in reader] == 5 * [(32, 48, 3)] and not reader.remarks


def test_sound_with_a_cover_is_no_video(tmp_path):
    path = write_with_cover(tmp_path / "a.mp4", frames=0, sound=True)
    with pytest.raises(Unreadable, match="no video in it, only sound"):
        VideoFile(str(path))


def test_the_first_of_several_videos_is_used_with_a_remark(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=3, second_stream=True)
    with VideoReader(path) as reader:
        assert len(list(reader)) == 3 and reader.remarks == ["the first of 2 video streams"]
