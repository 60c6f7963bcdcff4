"""Video files for tests.

Frame i is grey of level LEVEL * i (restarting at 0 every 42 frames), with a red upper left quarter.
"""

import fractions
import pathlib
from collections.abc import Sequence

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
