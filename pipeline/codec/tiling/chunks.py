"""Split a clip into chunks of time that are coded one after another."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np

# Number of frames, or latent frames, and 0 for the whole clip; "auto" is as many as memory allows.
# None is what a function does by default: the whole clip, or of a stream `default_chunk`.
Chunk = int | Literal["auto"] | None
FRAMES, PIXELS = 8, 128**2


def default_chunk(height: int, width: int, *, tile: int | None, causal: bool) -> int:
    """Return the default frames per chunk: 8, or up to 32 if they have at most 8 * 128**2 pixels.

    A chunk of few pixels spends longer reading the weights than using them
    (docs/benchmarks/video.md).
    The output of a network that is not causal depends on the chunks, so there it is 8 at any size.
    """
    side = max(height, width) if tile is None else tile
    pixels = min(height, side) * min(width, side)
    return FRAMES * min(4, max(1, PIXELS // pixels)) if causal else FRAMES


def in_latents(chunk: Chunk, temporal_factor: int) -> Chunk:
    """Convert a chunk from frames to latent frames, at least one; keep "auto", None and 0."""
    return chunk if not chunk or isinstance(chunk, str) else max(1, chunk // temporal_factor)


def split(x: Any, chunk: int, lead: int | None) -> Iterator[Any]:
    """Yield x [b t ...] in consecutive chunks [b t ...] along time.

    The first one is longer by `lead`; with None it is one frame, which a causal network codes
    alone, as an image.
    """
    first = 1 if lead is None else lead + chunk
    yield x[:, :first]
    for start in range(first, x.shape[1], chunk):
        yield x[:, start : start + chunk]


def with_overlap(chunks: Iterable[Any], overlap: int) -> Iterator[tuple[Any, bool]]:
    """Yield each chunk with the last `overlap` frames of the previous one prepended, and whether
    any were.
    """
    last = None
    for chunk in chunks:
        whole = chunk if last is None else np.concatenate([last, chunk], axis=1)
        yield whole, whole is not chunk
        last = whole[:, -overlap:] if overlap else None


def peeked(items: Iterable[Any]) -> tuple[Any, Iterator[Any]]:
    """Return the first of some items, and an iterator over all of them. There must be one."""
    iterator = iter(items)
    first = next(iterator)
    return first, itertools.chain([first], iterator)


def group(items: Iterable[Any], chunk: int, lead: int | None) -> Iterator[list[Any]]:
    """Yield lists of `chunk` items, with 0 all of them; the last may be shorter.

    The first list is longer by `lead`, or with None has one item.
    """
    iterator = iter(items)
    count = 1 if lead is None else lead + chunk if chunk else None
    while items_of_chunk := list(itertools.islice(iterator, count)):
        yield items_of_chunk
        count = chunk or None
