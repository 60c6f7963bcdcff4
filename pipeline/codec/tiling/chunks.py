"""How much of a clip is coded at a time."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

# So many frames after the first one, or latent frames; None is the whole clip, "auto" what `usual` says.
Chunk = int | Literal["auto"] | None
FRAMES, PIXELS = 8, 128**2


def usual(height: int, width: int, *, tile: int | None, causal: bool) -> int:
    """Frames at a time where nobody says how many: 8, and up to 32 while they have no more pixels than 8 of 128x128.

    A chunk of few pixels takes longer to read the weights than to use them (docs/benchmarks.md). What a network gives
    that is not causal depends on its chunks: there it is 8 at any size.
    """
    pixels = min(height, tile or height) * min(width, tile or width)
    return FRAMES * min(4, max(1, PIXELS // pixels)) if causal else FRAMES


def in_latents(chunk: Chunk, temporal_factor: int) -> Chunk:
    """So many frames as latent frames, one at least; "auto", None and the 0 of whole files stay what they are."""
    return chunk if not chunk or isinstance(chunk, str) else max(1, chunk // temporal_factor)


def cut(x: Any, chunk: int, causal: bool) -> Iterator[Any]:
    """Arrays [b t ...] that are x [b t ...] one after another."""
    first = 1 if causal else 1 + chunk  # a causal network has the first frame alone, as an image
    yield x[:, :first]
    for start in range(first, x.shape[1], chunk):
        yield x[:, start : start + chunk]


def grouped(
    items: Iterable[Any], chunk: Chunk, causal: bool, usual: Callable[[Any], int]
) -> Iterator[list[Any]]:
    """Lists of `chunk` items, of "auto" of as many as usual(the first item) says; the last may be shorter."""
    iterator = iter(items)
    head = list(itertools.islice(iterator, 1))
    if not head:
        return
    then = usual(head[0]) if isinstance(chunk, str) else chunk
    iterator = itertools.chain(head, iterator)
    count = 1 if causal else None if then is None else 1 + then
    while group := list(itertools.islice(iterator, count)):
        yield group
        count = then
