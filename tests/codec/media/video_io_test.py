"""Tests that sound stays in sync when videos are rewritten, and that colours follow the tags."""

import fractions

import av
import numpy as np
import pytest

from pipeline.codec.media.video_io import Timing, VideoReader, VideoWriter

RATE = 16_000
COLOURS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
WEIGHTS = {
    1: (0.2126, 0.0722),
    6: (0.299, 0.114),
    9: (0.2627, 0.0593),
}  # of red and blue: BT.709, BT.601, BT.2020


def write_with_sound(path, video_from: float, sound_from: float) -> None:
    """Write 24 frames and 4 s of sound with different starts; silence but for a burst after 2 s."""
    sound = np.zeros(4 * RATE, np.float32)
    sound[2 * RATE : 2 * RATE + 320] = np.sin(np.arange(320))
    with av.open(str(path), "w") as container:
        video, voice = (container.add_stream(*kind) for kind in (("libx264", 12), ("aac", RATE)))
        video.height, video.width, video.pix_fmt, voice.layout = 16, 24, "yuv420p", "mono"
        for index in range(24):
            frame = av.VideoFrame.from_ndarray(
                np.full((16, 24, 3), 10 * index, np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = (
                round(1000 * video_from) + index * 1000 // 12,
                fractions.Fraction(1, 1000),
            )
            container.mux(video.encode(frame))
        for start in range(0, len(sound), 1000):
            part = av.AudioFrame.from_ndarray(
                sound[None, start : start + 1000], format="fltp", layout="mono"
            )
            part.sample_rate, part.time_base = RATE, fractions.Fraction(1, RATE)
            part.pts = start + round(sound_from * RATE)
            container.mux(voice.encode(part))
        for stream in (video, voice):
            container.mux(stream.encode(None))


def seconds(path) -> tuple[float, float, int]:
    """Return the times of the first frame and of the burst, and the number of sound packets."""
    with av.open(str(path)) as container:
        first = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        loudest = max(container.decode(audio=0), key=lambda frame: np.abs(frame.to_ndarray()).max())
        heard = loudest.time + np.abs(loudest.to_ndarray()[0]).argmax() / RATE
    with av.open(str(path)) as container:
        return first, heard, sum(packet.size > 0 for packet in container.demux(audio=0))


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize("video_from, sound_from", [(0, 0), (1.5, 0), (0, 1.5), (2, 1.5)])
def test_sound_stays_in_sync(suffix, video_from, sound_from, tmp_path):
    source, target = tmp_path / f"source.{suffix}", tmp_path / "target.mp4"
    write_with_sound(source, video_from, sound_from)
    with (
        VideoReader(source) as reader,
        VideoWriter(target, reader.timing, sound_of=source) as writer,
    ):
        for index, frame in enumerate(reader):
            writer.write(frame, reader.pts[index])
    assert not writer.remarks
    (first, heard, packets), (first_before, heard_before, packets_before) = (
        seconds(target),
        seconds(source),
    )
    assert heard_before - first_before == pytest.approx(sound_from + 2 - video_from, abs=0.1)
    assert heard - first == pytest.approx(heard_before - first_before, abs=2e-3)
    assert packets == packets_before
    assert min(first, heard - 2) == pytest.approx(0, abs=0.1)  # no gap before the earlier one


def write_yuv(path, matrix: int, full: bool, depth: int, tagged: bool, side: int) -> None:
    """Return one frame of squares of COLOURS, converted to YUV here and not by a library."""
    red, blue = WEIGHTS[matrix]
    r, g, b = np.moveaxis(COLOURS / 255, -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    chroma = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    one, black, gain, chroma_gain = 1 << (depth - 8), *((0, 255, 255) if full else (16, 219, 224))
    planes = [one * (black + gain * y), *(one * (128 + chroma_gain * part) for part in chroma)]
    name = "yuv420p" if depth == 8 else "yuv420p10le"
    frame = av.VideoFrame(6 * side, 4 * side, name)
    for plane, values in zip(frame.planes, planes):
        size = plane.height // 4
        pixels = (
            np.rint(values).astype("u1" if depth == 8 else "<u2").repeat(size, 0).repeat(size, 1)
        )
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : pixels.view(np.uint8).shape[1]] = pixels.view(np.uint8)
        plane.update(rows.tobytes())
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=10, options={"crf": "2", "preset": "ultrafast"}
        )
        stream.height, stream.width, stream.pix_fmt = frame.height, frame.width, name
        if tagged:
            stream.codec_context.colorspace, stream.codec_context.color_range = (
                matrix,
                2 if full else 1,
            )
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def centres(frame: np.ndarray, side: int) -> np.ndarray:
    return frame[side // 2 :: side, side // 2 :: side].astype(int)


@pytest.mark.parametrize(
    "matrix, full, depth, tagged, side",
    [
        (1, False, 8, True, 16),
        (1, True, 10, True, 16),
        (6, False, 8, True, 16),
        (6, False, 10, True, 16),
        (6, True, 8, True, 16),
        (6, False, 8, True, 216),  # HD, but the tag decides
        (9, False, 10, True, 16),
        (6, False, 8, False, 16),  # without a tag players take SD as BT.601
        (1, False, 8, False, 216),  # and HD as BT.709
    ],
)
def test_colours_follow_the_tags(matrix, full, depth, tagged, side, tmp_path):
    write_yuv(tmp_path / "x.mkv", matrix, full, depth, tagged, side)
    with VideoReader(tmp_path / "x.mkv") as reader:
        (frame,) = reader
    assert np.abs(centres(frame, side) - COLOURS).max() <= 4


@pytest.mark.parametrize("side", [16, 17])
def test_written_files_have_tags_that_restore_their_colours(side, tmp_path):
    frame = COLOURS.repeat(side, 0).repeat(side, 1)[: 4 * side - 1 if side % 2 else None]
    with VideoWriter(
        tmp_path / "x.mp4", Timing(fractions.Fraction(1, 10), fractions.Fraction(10))
    ) as writer:
        writer.write(frame, 0)
    with VideoReader(tmp_path / "x.mp4") as reader:
        (back,) = reader
    assert np.abs(centres(back, side) - centres(frame, side)).max() <= 4
    with av.open(str(tmp_path / "x.mp4")) as container:
        about = container.streams.video[0].codec_context
        tags = about.colorspace, about.color_primaries, about.color_trc, about.color_range
        assert tags == (1, 1, 1, 1)  # BT.709, limited range
