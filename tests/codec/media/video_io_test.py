"""Tests that sound stays in sync when videos are rewritten, and that colours follow the tags."""

import fractions

import av
import numpy as np
import pytest
from PIL import Image
from video_files import REORDERED, pictures, write_frames

from pipeline.codec.media.video_io import Timing, VideoReader, VideoWriter
from pipeline.data.media.container import open_input

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


def copied(source, target) -> list[str]:
    """Write a file's frames and sound to another one, and return the remarks."""
    with (
        VideoReader(source) as reader,
        VideoWriter(
            target, reader.timing, pixel_aspect=reader.pixel_aspect, sound_of=source
        ) as writer,
    ):
        for index, frame in enumerate(reader):
            writer.write(frame, reader.pts[index])
        writer.end = reader.end
    return [*reader.remarks, *writer.remarks]


@pytest.mark.parametrize("turned", [False, True])
def test_the_shape_of_pixels_is_kept_and_turned_with_the_frame(turned, tmp_path):
    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(32, 27)
        if turned:
            stream.set_display_rotation(90)

    source = write_frames(tmp_path / "a.mp4", pictures(3), prepare=prepare)
    assert not copied(source, tmp_path / "b.mp4")
    with open_input(tmp_path / "b.mp4") as container:
        expected = fractions.Fraction(27, 32) if turned else fractions.Fraction(32, 27)
        assert container.streams.video[0].sample_aspect_ratio == expected


def test_square_pixels_need_no_tag(tmp_path):
    copied(write_frames(tmp_path / "a.mp4", pictures(3)), tmp_path / "b.mp4")
    with open_input(tmp_path / "b.mp4") as container:
        assert container.streams.video[0].sample_aspect_ratio in (None, 1)


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_the_last_frame_keeps_its_duration(frames, tmp_path):
    source = tmp_path / "a.gif"
    first, *rest = (Image.fromarray(pixels) for pixels in pictures(frames))
    durations = [100] * (frames - 1) + [2000]
    first.save(source, save_all=True, append_images=rest, duration=durations)
    copied(source, tmp_path / "b.mp4")
    copied(tmp_path / "b.mp4", tmp_path / "c.mp4")
    for name in "bc":
        with open_input(tmp_path / f"{name}.mp4", thorough=True) as container:
            stream = container.streams.video[0]
            assert float(stream.duration * stream.time_base) == pytest.approx(sum(durations) / 1000)
            assert stream.frames == frames


def test_all_tracks_of_sound_are_kept_with_their_language(tmp_path):
    source = write_frames(tmp_path / "a.mp4", pictures(24), tracks=2)
    with av.open(str(source)) as container, av.open(str(tmp_path / "b.mp4"), "w") as renamed:
        copies = [renamed.add_stream_from_template(stream) for stream in container.streams]
        copies[2].metadata["language"] = "deu"
        for packet in container.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream_index]
                renamed.mux(packet)
    remarks = copied(tmp_path / "b.mp4", tmp_path / "c.mp4")
    assert remarks == ["with 2 tracks of sound, as the original"]
    with open_input(tmp_path / "c.mp4") as container:
        assert [stream.language for stream in container.streams.audio] == ["und", "deu"]
        packets = [packet for packet in container.demux() if packet.size]
    counts = [sum(packet.stream_index == track for packet in packets) for track in (1, 2)]
    assert counts[0] == counts[1] >= 24
    # Interleaved: no player has to read far ahead for one of the streams.
    reached = {}
    for packet in packets:
        reached[packet.stream_index] = float(packet.dts * packet.time_base)
        assert len(reached) < 3 or max(reached.values()) - min(reached.values()) < 1.5


def test_sound_that_mp4_does_not_take_is_remarked(tmp_path):
    def sound(container, codec):
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), "s16", "mono")
        frame.sample_rate = RATE
        return stream, frame

    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as container:
        video = container.add_stream("libx264", rate=12)
        video.height, video.width, video.pix_fmt = 32, 48, "yuv420p"
        voice, heard = sound(container, "pcm_u8")
        for pixels in pictures(5):
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(voice.encode(heard))
        for stream in (video, voice):
            container.mux(stream.encode(None))
    assert copied(source, tmp_path / "b.mp4") == ["without its sound: mp4 does not accept pcm_u8"]


def test_reordered_frames_of_an_avi_keep_their_times_and_the_sound_its_place(tmp_path):
    source = write_frames(tmp_path / "a.avi", pictures(24), options=REORDERED, tracks=1)
    copied(source, tmp_path / "b.mp4")
    with VideoReader(tmp_path / "b.mp4") as reader:
        assert len(list(reader)) == 24
    steps = np.diff(reader.pts) * float(reader.timing.time_base)
    np.testing.assert_allclose(steps, 1 / 12, atol=1e-3)
    with open_input(tmp_path / "b.mp4") as container:
        starts = [float(stream.start_time * stream.time_base) for stream in container.streams]
    assert abs(starts[0] - starts[1]) < 0.07  # a packet of sound
