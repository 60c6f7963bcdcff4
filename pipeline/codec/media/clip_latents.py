"""Store a clip's latents in a safetensors file, written and read in pieces of constant memory."""

import contextlib
import dataclasses
import fractions
import json
import pathlib
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import safetensors
from jaxtyping import Shaped

from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.checks import checked_latents
from pipeline.codec.media.video_io import Timing
from pipeline.core.errors import ConfigError, DataError, one_line

FORMAT, VERSION = "strata-clip-latents", "1"
# The header precedes the data but is known only after it: reserve room, padded with spaces.
_HEADER = 4096
# Types of indices, and their names in a safetensors file.
_INTEGERS: dict[Any, str] = {
    np.dtype(kind): f"U{8 * np.dtype(kind).itemsize}" for kind in ("u1", "u2", "u4")
}


@dataclasses.dataclass(frozen=True)
class About:
    """Metadata to decode a clip.

    Attributes:
      size: number of frames, and their height and width in pixels.
      pts: presentation time of each frame, in units of `timing.time_base`.
      end: the time at which the last frame ends; None if it is shown for 1 / rate seconds.
      pixel_aspect: width of a pixel divided by its height.
    """

    size: tuple[int, int, int]
    timing: Timing
    pts: Sequence[int]
    end: int | None = None
    pixel_aspect: fractions.Fraction = fractions.Fraction(1)


class Writer:
    """A writer of tensors "latents" and "pts" [frames] int64.

    Latents are float32 [t h w d], or indices of codes in an unsigned integer type, [t h w] or
    [t h w m].

    The file gets its name when it is complete.

    Raises:
      ConfigError: the file cannot be written.
    """

    def __init__(self, path: pathlib.Path, fingerprint: str):
        self.path, self._fingerprint = path, fingerprint
        self._partial = path.with_name(path.name + ".partial")
        self._shape: tuple[int, ...] | None = None
        self._dtype = np.dtype(np.float32)
        self._frames = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("wb")
        except OSError as error:
            raise ConfigError(f"--out {path}: {error.strerror}") from None
        self._put(b"\0" * (8 + _HEADER))

    def write(self, latents: Shaped[np.ndarray, "t h w *d"]) -> None:
        """Append latent frames, all of one shape and type."""
        self._shape = latents.shape[1:]
        self._dtype = latents.dtype if latents.dtype in _INTEGERS else np.dtype(np.float32)
        self._frames += len(latents)
        self._put(np.ascontiguousarray(latents, self._dtype.newbyteorder("<")).tobytes())

    def finish(self, about: About) -> None:
        """Write the times and the header, and give the file its name."""
        assert self._shape is not None
        pts = np.asarray(about.pts, "<i8")
        end = self._dtype.itemsize * self._frames * int(np.prod(self._shape))
        self._put(pts.tobytes())
        metadata = {"format": FORMAT, "format_version": VERSION, "codec": self._fingerprint}
        metadata |= {
            "size": " ".join(map(str, about.size)),
            "time_base": str(about.timing.time_base),
        }
        metadata |= {"rate": str(about.timing.rate)}
        # Readers of the first files of this version know neither, and do without.
        if about.end is not None:
            metadata["end"] = str(about.end)
        if about.pixel_aspect != 1:
            metadata["pixel_aspect"] = str(about.pixel_aspect)
        header: dict[str, Any] = {"__metadata__": metadata}
        header["latents"] = {
            "dtype": _INTEGERS.get(self._dtype, "F32"),
            "shape": [self._frames, *self._shape],
            "data_offsets": [0, end],
        }
        header["pts"] = {
            "dtype": "I64",
            "shape": [len(pts)],
            "data_offsets": [end, end + pts.nbytes],
        }
        text = json.dumps(header).encode().ljust(_HEADER)
        self._file.seek(0)
        self._put(struct.pack("<Q", len(text)) + text)
        self._file.close()
        self._partial.replace(self.path)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        with contextlib.suppress(OSError):
            self._partial.unlink()

    def _put(self, content: bytes) -> None:
        try:
            self._file.write(content)
        except OSError as error:
            raise ConfigError(f"--out {self.path}: {error.strerror}") from None


@contextlib.contextmanager
def opened(
    path: pathlib.Path, fingerprint: str
) -> Iterator[tuple[About, Iterator[Shaped[np.ndarray, "1 h w *d"]]]]:
    """Open a file of latents and yield its metadata and an iterator over its latent frames.

    Frames are as they were written: `latents_of` turns those of indices into latents.

    Raises:
      DataError: the file does not exist, holds something else, is damaged, or was written with
        another codec.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            about = _about(path, file.metadata() or {}, fingerprint, file)
            stored = file.get_slice("latents")
            count = stored.get_shape()[0]
            yield (
                about,
                (
                    _checked(stored[index : index + 1], f"{path}: its latents")
                    for index in range(count)
                ),
            )
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (safetensors.SafetensorError, OSError) as error:
        reason = one_line(error)
        raise DataError(f"{path} is not a complete safetensors file: {reason}") from None


def latents_of(codec: AnySizeCodec, stored: Shaped[np.ndarray, "t h w *d"]) -> Any:
    """Return the latents [t h w d] of frames from a file, which may be indices of codes."""
    if stored.dtype not in _INTEGERS:
        return stored
    z = codec.latents_of(stored[None] if codec.is_video else stored)
    return np.asarray(z[0] if codec.is_video else z)


def _checked(stored: np.ndarray, what: str) -> np.ndarray:
    return stored if stored.dtype in _INTEGERS else checked_latents(stored, what)


def _about(path: pathlib.Path, metadata: dict[str, str], fingerprint: str, file: Any) -> About:
    if metadata.get("format") != FORMAT or metadata.get("format_version") != VERSION:
        raise DataError(
            f"{path} does not hold latents of a clip from strata encode (version {VERSION})"
        )
    if metadata.get("codec") != fingerprint:
        raise DataError(f"{path} was encoded with another codec, which must decode it")
    try:
        frames, height, width = map(int, metadata["size"].split())
        timing = Timing(
            fractions.Fraction(metadata["time_base"]), fractions.Fraction(metadata["rate"])
        )
        pts = [int(at) for at in file.get_tensor("pts")]
        end = int(metadata["end"]) if "end" in metadata else None
        pixel_aspect = fractions.Fraction(metadata.get("pixel_aspect", "1"))
    except (KeyError, ValueError, ZeroDivisionError):
        raise DataError(f"{path}: its size or timing is missing or damaged") from None
    if len(pts) != frames:
        raise DataError(f"{path} has times of {len(pts)} frames, but should have {frames}")
    return About((frames, height, width), timing, pts, end, pixel_aspect)
