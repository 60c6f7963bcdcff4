"""Opens video files with PyAV, and finds the video in them.

A path is always a local file: it is made absolute, so that FFmpeg takes no part of its name for a
protocol, a pattern or an option. Nothing is read from the network, whatever a file refers to. PyAV
is imported when the first file is opened.
"""

import io
import os
from typing import Any

from pipeline.core.errors import one_line
from pipeline.data.unreadable import Unreadable

# The first packets have what a decoder needs; reading on for exact rates takes several times
# longer.
_QUICK = {"analyzeduration": "0", "probesize": "32768"}
# Formats that name other files instead of holding a video.
_PLAYLISTS = ("concat", "dash", "hls", "imf")


def open_input(data: str | os.PathLike[str] | bytes, *, thorough: bool = False) -> Any:
    """Open PyAV's container of a file, by its path or its bytes.

    `thorough` reads as far as it takes to know the rates and lengths of all streams.

    Raises:
      Unreadable: the file is not a video.
    """
    import av
    from av.error import FFmpegError

    options: dict[str, str] = {} if thorough else dict(_QUICK)
    if isinstance(data, bytes):
        file: Any = io.BytesIO(data)
        options["protocol_whitelist"] = "none"
    else:
        file = _absolute(data)
        options["protocol_whitelist"] = "file"
    try:
        # Titles may have any encoding, so errors in metadata are ignored.
        container = av.open(file, options=options, metadata_errors="ignore")
    except (FFmpegError, OSError, ValueError) as error:
        # Also when memory runs out: damaged headers request absurd amounts of it.
        raise Unreadable(f"not a video that can be opened: {reason_of(error)}") from None
    if container.format.name in _PLAYLISTS:
        container.close()
        raise Unreadable("not a video: it is a list of other files")
    return container


def open_output(path: str | os.PathLike[str], **settings: Any) -> Any:
    """Open PyAV's container to write a file; `settings` are av.open's. Raises FFmpegError."""
    import av

    return av.open(_absolute(path), "w", **settings)


def _absolute(path: str | os.PathLike[str]) -> str:
    if "\0" in os.fspath(path):
        raise Unreadable("not a video that can be opened: its name has a NUL character")
    return os.path.abspath(path)


def video_stream(container: Any) -> Any:
    """Return the first stream of moving pictures; covers and thumbnails are none.

    Raises:
      Unreadable: there is none; the container is closed.
    """
    streams = video_streams(container)
    if not streams and not container.streams:
        container.close()
        raise Unreadable("not a video: it holds neither pictures nor sound, as if it were cut off")
    if not streams:
        sound = ", only sound" if container.streams.audio else ""
        container.close()
        raise Unreadable(f"it has no video in it{sound}")
    if streams[0].codec_context is None:
        container.close()
        raise Unreadable("it is coded in a way that PyAV has no decoder for")
    return streams[0]


def video_streams(container: Any) -> list[Any]:
    """Return the streams of moving pictures, without covers and thumbnails."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & still]


def has_decoding_times_only(container: Any) -> bool:
    """Return whether the container stores no presentation times, as AVI."""
    return container.format.name == "avi"


def reason_of(error: Exception) -> str:
    """Return the message of an error of FFmpeg."""
    return getattr(error, "strerror", None) or one_line(error) or type(error).__name__
