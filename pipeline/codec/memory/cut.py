"""The ways to cut a clip for a budget of memory, those first that change results the least."""

import dataclasses
from typing import Any, Literal

from pipeline.codec.tiling.blend import Tiles
from pipeline.codec.tiling.pieces import piece_shapes
from pipeline.codec.tiling.side import Side

AUTO: Literal["auto"] = "auto"


@dataclasses.dataclass(frozen=True)
class Cut:
    """How a clip, or an image, is cut.

    Attributes:
      chunk: elements of the input at a time; None for all at once.
      tile: side of tiles in pixels; None for whole frames.
    """

    chunk: int | None
    tile: int | None


def tiles_of(side: Side, shape: tuple[int, ...], tile: int | None) -> Tiles | None:
    """Return the tiles of an input [... h w c]; None where one holds all."""
    if tile is None:
        return None
    height, width = (length // side.factor for length in shape[-3:-1])
    tiles = Tiles(height, width, tile // side.spatial_factor)
    return None if len(tiles.corners) == 1 else tiles


def cuts(side: Side, shape: tuple[int, ...], chunk: Any, tile: Any, *, streams: bool) -> list[Cut]:
    """Return the cuts of an input, the best first, that leave what is not "auto" as it is.

    Whole comes first; of a stream, whose end is not known, that is the default chunk. Then come
    shorter chunks, which give the same result where a side is causal or has windows. Where it does
    not, only those down to the default come before tiles. Tiles, which never give quite the same
    result, then go from large to small; the last resort is what was left out. Of chunks and tiles
    that cut into as many parts only the smallest is tried: larger ones overlap more and are slower.

    Args:
      shape: [b t h w c] or [b h w c], filled to what the codec takes. A stream has any t.
      chunk, tile: what the caller asks for: "auto", None, or a number of elements or pixels.
    """
    usual, chunks = _chunks(side, shape, chunk, streams=streams)
    exact = side.cuts.carries or side.cuts.windows is not None
    kept = [each for each in chunks if exact or each is None or each >= usual] or chunks[:1]
    rest = [each for each in chunks if each not in kept]
    sides = _tiles(side, shape) if tile == AUTO else []
    found = [Cut(each, None if tile == AUTO else tile) for each in kept]
    found += [Cut(kept[-1], each) for each in sides]
    if None in kept[:-1]:  # Without chunks no caches of all tiles wait for the next one.
        found += [Cut(None, each) for each in sides]
    smallest = sides[-1] if sides else found[0].tile
    return found + [Cut(each, smallest) for each in rest]


def _chunks(
    side: Side, shape: tuple[int, ...], chunk: Any, *, streams: bool
) -> tuple[int, list[int | None]]:
    """Return the default chunk, and the chunks to try, the longest first."""
    if not side.is_video or side.cuts.fixed or chunk != AUTO:
        return 0, [None if chunk == AUTO else chunk]
    step, elements = side.cuts.step, shape[1]
    height, width = (length // side.factor * side.spatial_factor for length in shape[-3:-1])
    usual = side.cuts.default_chunk(height, width, tile=None)
    if streams:
        return usual, list(range(usual, 0, -step))
    found: dict[int, int] = {}
    for each in range((elements - 1) // step * step, 0, -step):
        found[len(piece_shapes(side, shape, each))] = each
    return usual, [None, *(each for count, each in found.items() if count > 1)]


def _tiles(side: Side, shape: tuple[int, ...]) -> list[int]:
    """Return sides of tiles in pixels, the largest first."""
    largest = max(length // side.factor for length in shape[-3:-1])
    found: dict[int, int] = {}
    for each in range(largest - 1, 1, -1):
        tiles = tiles_of(side, shape, each * side.spatial_factor)
        assert tiles is not None
        found[len(tiles.corners)] = each * side.spatial_factor
    return list(found.values())
