"""Video files of many containers and codecs with the faults of real ones, and their frames."""

import fractions
import itertools
import pathlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import av
import numpy as np
import video_files
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

FRAMES, RATE, SIZE = 13, 12, (32, 48)
WITHIN = 14  # levels: a wrong matrix or range differs by more
NO_VIDEO = "no video in it"
# Container, encoder, pixel format.
FORMS = (
    ("mp4", "libx264", "yuv420p"),
    ("mp4", "libx264", "yuv444p"),
    ("mp4", "libx264", "yuv422p10le"),
    ("mp4", "libx264rgb", "rgb24"),
    ("mp4", "libx265", "yuv420p"),
    ("mp4", "libx265", "yuv420p10le"),
    ("mp4", "mpeg4", "yuv420p"),
    ("mp4", "libsvtav1", "yuv420p"),
    ("m4v", "libx264", "yuv420p"),
    ("mov", "libx264", "yuv420p"),
    ("mov", "prores_ks", "yuv422p10le"),
    ("mov", "qtrle", "rgb24"),
    ("mov", "mjpeg", "yuvj420p"),
    ("mkv", "libx264", "yuv420p"),
    ("mkv", "libx265", "yuv420p"),
    ("mkv", "ffv1", "yuv420p"),
    ("mkv", "ffv1", "yuv420p10le"),
    ("mkv", "ffv1", "gray"),
    ("mkv", "mpeg2video", "yuv420p"),
    ("avi", "huffyuv", "yuv422p"),
    ("mkv", "libvpx", "yuv420p"),
    ("webm", "libvpx", "yuv420p"),
    ("webm", "libvpx-vp9", "yuv420p"),
    ("avi", "mpeg4", "yuv420p"),
    ("avi", "mjpeg", "yuvj420p"),
    ("avi", "libx264", "yuv420p"),
    ("avi", "rawvideo", "yuv420p"),
)


class Clip(NamedTuple):
    """One file: how it is written, and its frames or words of its refusal.

    `frames` are the numbers of the pictures that it shows, and `turn` is applied to each. Of a
    `partial` one, only some of them. A codec command makes a remark that matches `remark`, and
    keeps the `shape` of pixels and the tracks of sound. `words` and `remark` may be several that
    are separated by |.
    """

    name: str
    write: Callable[[pathlib.Path], Any]
    frames: Sequence[int] = range(FRAMES)
    turn: Callable[[np.ndarray], np.ndarray] = lambda x: x
    size: tuple[int, int] = SIZE
    words: str = ""
    remark: str = ""
    partial: bool = False
    shape: fractions.Fraction | None = None
    within: int = WITHIN
    sounds: int = 0

    def pictures(self) -> np.ndarray:
        """Return the frames, [t h w 3]."""
        return np.stack(
            [self.turn(video_files.picture(number, *self.size)) for number in self.frames]
        )


def every() -> Iterator[Clip]:
    """Yield all clips; the same ones each time."""
    yield from _forms()
    yield from _names()
    yield from _times()
    yield from _matrices()
    yield from _colours()
    yield from _streams()
    yield from _layouts()
    yield from _damaged()


def write(
    path: pathlib.Path,
    *,
    frames: int = FRAMES,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    milliseconds: Sequence[int] | None = None,
    colours: tuple[int, int] | None = None,
    shape: fractions.Fraction | None = None,
    sounds: int = 0,
    options: dict[str, str] | None = None,
    b_frames: int = 0,
) -> pathlib.Path:
    """Write frames of video_files.picture.

    Args:
      milliseconds: the time of each frame; by default RATE a second.
      colours: matrix and range with which the pixels are stored, and which the file states.
      shape: aspect ratio of a pixel.
      sounds: number of tracks of silence.
      options: of the container.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=RATE)
        stream.height, stream.width, stream.pix_fmt = *size, pixel_format
        context = stream.codec_context
        context.gop_size = 6
        context.max_b_frames = b_frames
        context.options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        if shape is not None:
            context.sample_aspect_ratio = shape
        if colours is not None:
            context.colorspace, context.color_range = colours
            context.color_primaries = context.color_trc = 1
        if milliseconds is not None:
            stream.time_base = context.time_base = video_files.MILLISECOND
        voices = [container.add_stream("aac", rate=16_000, layout="mono") for _ in range(sounds)]
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(video_files.picture(number, *size), format="rgb24")
            stored: Any = {"format": pixel_format, "threads": 1}  # of 10 bits, threads give noise
            if colours is not None:
                stored |= {"dst_colorspace": colours[0], "dst_color_range": colours[1]}
            frame = frame.reformat(**stored)
            if milliseconds is not None:
                frame.pts, frame.time_base = milliseconds[number], video_files.MILLISECOND
            container.mux(stream.encode(frame))
            for voice in voices:
                container.mux(voice.encode(video_files.silence(number)))
        for one in (stream, *voices):
            container.mux(one.encode(None))
    return path


def _with(**settings: Any) -> Callable[[pathlib.Path], Any]:
    return lambda path: write(path, **settings)


def _forms() -> Iterator[Clip]:
    for suffix, codec, pixel_format in FORMS:
        name = f"{codec}-{pixel_format}.{suffix}"
        turn = _grey if pixel_format == "gray" else lambda x: x
        # This encoder writes outside of its memory for smaller frames.
        size = (64, 96) if codec == "libx265" else SIZE
        write_it = _with(codec=codec, pixel_format=pixel_format, size=size)
        within = 24 if codec in ("mjpeg", "mpeg2video", "mpeg4") else WITHIN
        yield Clip(name, write_it, turn=turn, size=size, within=within)
    yield Clip("LARGE.MP4", _with())
    yield Clip("matroska-named.mp4", _renamed("mkv"))
    yield Clip("mp4-named.avi", _renamed("mp4"))
    for size in ((33, 49), (24, 24), (34, 50)):
        name = f"{size[0]}x{size[1]}.mp4"
        yield Clip(name, _with(size=size, pixel_format="yuv444p"), size=size)


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None], 3, axis=2)


def _renamed(suffix: str) -> Callable[[pathlib.Path], Any]:
    return lambda path: write(path.with_suffix(f".{suffix}")).rename(path)


def _names() -> Iterator[Clip]:
    for name in (
        "concat:a.mp4",
        "04:23.mp4",
        "pipe:0.mp4",
        "http:a.mp4",
        "-v.mp4",
        "--out.mp4",
        "%d.mp4",
        "[1].mp4",
        "a b.mp4",
        "猫.mp4",
        "a.b.c.mp4",
        "quote'.mp4",
        "star*.mp4",
        "back\\slash.mp4",
        "x" * 200 + ".mp4",
    ):
        yield Clip(name, lambda path: write(path.with_name("plain.mp4")).rename(path))


def _times() -> Iterator[Clip]:
    irregular = [0, 40, 200, 210, 300, 333, 500, 800, 840, 900, 1000, 1500, 1510]
    for suffix, codec in (
        ("mp4", "libx264"),
        ("mkv", "libx264"),
        ("webm", "libvpx"),
        ("mov", "libx264"),
    ):
        write_it = _with(codec=codec, milliseconds=irregular)
        yield Clip(f"irregular.{suffix}", write_it)
        late = _with(codec=codec, milliseconds=[5000 + 83 * i for i in range(FRAMES)])
        yield Clip(f"late.{suffix}", late)
    for suffix in ("mp4", "mkv", "avi", "mov"):
        yield Clip(f"b-frames.{suffix}", _with(b_frames=2))
    for suffix in ("mp4", "mov"):
        yield Clip(f"edit-list.{suffix}", _edited, frames=range(6, FRAMES))
    yield Clip("animation.gif", _animation)


def _edited(path: pathlib.Path) -> None:
    """Write a file whose edit list hides the first six frames."""
    plain = write(path.with_name(f"plain{path.suffix}"))
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        given = source.streams.video[0]
        stream: Any = target.add_stream_from_template(given)
        for packet in source.demux(given):
            if packet.dts is None:
                continue
            shift = int(6 / RATE / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
            target.mux(packet)
    plain.unlink()


def _animation(path: pathlib.Path) -> None:
    frames = [Image.fromarray(video_files.picture(number, *SIZE)) for number in range(FRAMES)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=80, loop=0)


# Display matrices


def _turned(a: int, b: int, c: int, d: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return how a matrix places pixels: (x, y) goes to (a x + c y, b x + d y), up to a shift."""

    def turn(pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        y, x = np.mgrid[:height, :width]
        columns, rows = a * x + c * y, b * x + d * y
        columns, rows = columns - columns.min(), rows - rows.min()
        shown = np.empty((rows.max() + 1, columns.max() + 1, 3), np.uint8)
        shown[rows, columns] = pixels
        return shown

    return turn


def _patched(numbers: Sequence[int]) -> Callable[[pathlib.Path], Any]:
    def patch(path: pathlib.Path) -> None:
        data = bytearray(write(path).read_bytes())
        place = data.index(b"tkhd") + 44
        data[place : place + 36] = struct.pack(">9i", *numbers)
        path.write_bytes(data)

    return patch


def _matrices() -> Iterator[Clip]:
    one, last = 1 << 16, 1 << 30
    for first, sign_a, sign_b in itertools.product((True, False), (1, -1), (1, -1)):
        a, b, c, d = (sign_a, 0, 0, sign_b) if first else (0, sign_a, sign_b, 0)
        numbers = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, last)
        for suffix in ("mp4", "mov"):
            name = f"matrix{a:+d}{b:+d}{c:+d}{d:+d}.{suffix}"
            yield Clip(name, _patched(numbers), turn=_turned(a, b, c, d))
    for name, numbers in {
        "zeros": (0,) * 9,
        "shear": (one, one // 2, 0, 0, one, 0, 0, 0, last),
        "tilted": (46341, 46341, 0, -46341, 46341, 0, 0, 0, last),
    }.items():
        yield Clip(f"matrix-{name}.mp4", _patched(numbers), remark="matrix")


# Colours


def _colours() -> Iterator[Clip]:
    for name, matrix in (("709", Colorspace.ITU709), ("601", Colorspace.ITU601)):
        for place, full in (("tv", ColorRange.MPEG), ("full", ColorRange.JPEG)):
            for suffix in ("mp4", "mkv", "mov"):
                colours = (int(matrix), int(full))
                yield Clip(f"bt{name}-{place}.{suffix}", _with(colours=colours))
    yield Clip("transparent.mov", _transparent, frames=[0] * FRAMES, turn=lambda x: _white_top(x))


def _white_top(pixels: np.ndarray) -> np.ndarray:
    shown = pixels.copy()
    shown[: len(pixels) // 2] = 255
    return shown


def _transparent(path: pathlib.Path) -> None:
    pixels = video_files.picture(0, *SIZE)
    alpha = np.full((*SIZE, 1), 255, np.uint8)
    alpha[: SIZE[0] // 2] = 0
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("qtrle", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "argb"
        for _ in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.concatenate([alpha, pixels], 2), format="argb")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


# Streams


def _streams() -> Iterator[Clip]:
    for suffix in ("mp4", "mkv", "mov"):
        yield Clip(f"sound.{suffix}", _with(sounds=1), sounds=1)
        yield Clip(f"two-sounds.{suffix}", _with(sounds=2), sounds=2)
    yield Clip(
        "two-videos.mp4", lambda path: video_files.write_video(path, FRAMES, second_stream=True)
    )
    for suffix in ("mp4", "mov", "mkv"):
        yield Clip(f"only-sound.{suffix}", video_files.write_sound, words=NO_VIDEO)
    yield Clip("cover.mp4", _covered)
    yield Clip("only-a-cover.mp4", lambda path: _covered(path, film=False), words=NO_VIDEO)
    for shape in (fractions.Fraction(32, 27), fractions.Fraction(8, 9)):
        name = f"pixels-of-{shape.numerator}-to-{shape.denominator}.mp4"
        yield Clip(name, _with(shape=shape), shape=shape)


def _covered(path: pathlib.Path, *, film: bool = True) -> None:
    """Write a film, or sound, with an attached picture."""
    with av.open(str(path), "w") as container:
        cover: Any = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 16, 8, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        streams: list[Any] = [container.add_stream("libx264", rate=RATE)] if film else []
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        voice: Any = container.add_stream("aac", rate=16_000, layout="mono")
        picture = av.VideoFrame.from_ndarray(np.full((16, 8, 3), 99, np.uint8), format="rgb24")
        packets = [*cover.encode(picture), *cover.encode(None)]
        container.mux(packets)
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(video_files.picture(number, *SIZE), format="rgb24")
            for stream in streams:
                container.mux(stream.encode(frame))
            container.mux(voice.encode(video_files.silence(number)))
        for stream in [*streams, voice]:
            container.mux(stream.encode(None))


def _layouts() -> Iterator[Clip]:
    for name, flags in {
        "at-the-end": "",
        "fast-start": "faststart",
        "fragments": "frag_keyframe+empty_moov",
        "dash": "dash",
    }.items():
        for suffix in ("mp4", "mov"):
            options = {"movflags": flags} if flags else {}
            yield Clip(f"{name}.{suffix}", _with(options=options, sounds=1))


# Damage


def _damaged() -> Iterator[Clip]:
    codecs = {"mp4": "libx264", "mkv": "libx264", "webm": "libvpx", "avi": "mpeg4"}
    for suffix, codec in codecs.items():
        for name, change in {
            "empty": lambda data: b"",
            "start": lambda data: data[:60],
            "zeros": lambda data: bytes(len(data)),
            "html": lambda data: b"<!doctype html><p>404</p>" * 40,
        }.items():
            yield Clip(f"{name}.{suffix}", _changed(codec, change), words="not a video")
    for suffix in ("mkv", "webm"):
        half = _changed(codecs[suffix], _two_thirds)
        yield Clip(f"cut.{suffix}", half, partial=True, remark="ends early|damaged")
    whole_index = {"movflags": "faststart"}
    half = _changed("libx264", _two_thirds, options=whole_index)
    yield Clip("cut-with-index.mp4", half, partial=True, remark="ends early|damaged")
    yield Clip(
        "cut.mp4", _changed("libx264", lambda data: data[:-600]), words="video in it|not a video"
    )
    yield Clip("one-frame.mp4", _with(frames=1), frames=[0])


def _two_thirds(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _changed(
    codec: str, change: Callable[[bytes], bytes], **settings: Any
) -> Callable[[pathlib.Path], Any]:
    return lambda path: path.write_bytes(change(write(path, codec=codec, **settings).read_bytes()))
