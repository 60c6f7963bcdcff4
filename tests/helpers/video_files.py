"""Video files for tests.

Frame i is grey of level LEVEL * i (restarting at 0 every 42 frames), with a red upper left quarter.
"""

import fractions
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import av
import numpy as np

LEVEL = 6
MILLISECOND = fractions.Fraction(1, 1000)


def picture(number: int, height: int, width: int) -> np.ndarray:
    pixels = np.full((height, width, 3), LEVEL * (number % 42), np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    return pixels


def numbers(clip: np.ndarray) -> list[int]:
    """Return the indices of frames, from the grey of their lower right quarter."""
    _, height, width, _ = clip.shape
    grey = clip[:, height * 5 // 8 : height * 7 // 8, width * 5 // 8 : width * 7 // 8].mean(
        (1, 2, 3)
    )
    return np.rint(grey / LEVEL).astype(int).tolist()


def write_video(
    path: pathlib.Path,
    frames: int = 24,
    size: tuple[int, int] = (32, 48),
    *,
    rate: int = 12,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    keyframe_every: int = 6,
    milliseconds: Sequence[int] | None = None,
    rotation: int = 0,
    sound: bool = False,
    second_stream: bool = False,
    title: str = "",
) -> pathlib.Path:
    """Write a video at a constant `rate`, or with frame i at milliseconds[i]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(
        str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}
    ) as container:
        streams = [container.add_stream(codec, rate=rate) for _ in range(1 + second_stream)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = *size, pixel_format
            stream.codec_context.gop_size = keyframe_every
            if milliseconds is not None:
                stream.time_base = stream.codec_context.time_base = MILLISECOND
        container.metadata["title"] = title
        if rotation:
            streams[0].set_display_rotation(rotation)
        voice = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for number in range(frames):
            for flipped, stream in enumerate(streams):
                pixels = picture(number, *size)
                frame = av.VideoFrame.from_ndarray(
                    255 - pixels if flipped else pixels, format="rgb24"
                )
                if milliseconds is not None:
                    frame.pts, frame.time_base = milliseconds[number], MILLISECOND
                container.mux(stream.encode(frame))
            if voice is not None:
                container.mux(voice.encode(silence(number)))
        for stream in [*streams, *([voice] if voice else [])]:
            container.mux(stream.encode(None))
    return path


def write_frames(
    path: pathlib.Path,
    frames: Iterable[np.ndarray],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    source: str = "rgb24",
    times: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    prepare: Callable[[Any], None] = lambda stream: None,
    tracks: int = 0,
) -> pathlib.Path:
    """Write frames at 12 a second, or at twelfths of a second; `prepare` gets the stream.

    `tracks` is the number of audio tracks, which are silent.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    clock = fractions.Fraction(1, 12)
    with av.open(str(path.absolute()), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=12, options=options or {})
        frames = list(frames)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        prepare(stream)
        voices = [container.add_stream("aac", rate=16_000, layout="mono") for _ in range(tracks)]
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format=source)
            frame.pts, frame.time_base = number if times is None else times[number], clock
            container.mux(stream.encode(frame))
            for voice in voices:
                container.mux(voice.encode(silence(number)))
        for each in [stream, *voices]:
            container.mux(each.encode(None))
    return path


# Three reordered frames between the others, whatever their content.
REORDERED = {"bf": "3", "x264-params": "b-adapt=0:scenecut=0:keyint=12"}


def pictures(count: int, height: int = 32, width: int = 48) -> list[np.ndarray]:
    return [picture(number, height, width) for number in range(count)]


def write_with_edit_list(path: pathlib.Path, whole: pathlib.Path, skipped: int) -> pathlib.Path:
    """Copy an .mp4 with an edit list that leaves out its first frames."""
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        ticks = round(skipped / 12 / stream.time_base)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, copy
                target.mux(packet)
    return path


def damage(path: pathlib.Path, number: int) -> pathlib.Path:
    """Overwrite 200 bytes in the middle of a packet of the video."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        position = packets[number].pos + packets[number].size // 2
    content = bytearray(path.read_bytes())
    content[position : position + 200] = bytes(200)
    path.write_bytes(content)
    return path


def noise(count: int, height: int = 64, width: int = 96) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def silence(number: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(
        np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
    )
    frame.sample_rate, frame.pts = 16_000, 1024 * number
    return frame


def write_sound(path: pathlib.Path) -> pathlib.Path:
    with av.open(str(path), "w") as container:
        voice = container.add_stream("aac", rate=16_000, layout="mono")
        for number in range(20):
            container.mux(voice.encode(silence(number)))
        container.mux(voice.encode(None))
    return path
