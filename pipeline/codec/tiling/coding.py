"""Code the pieces of a clip, or an image, one after another, each whole or in tiles."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from pipeline.codec.tiling import chunks
from pipeline.codec.tiling.blend import Blend, Choice, Tiles
from pipeline.codec.tiling.cuts import Arrays, Cuts
from pipeline.nn.cache import CacheArrays, with_room

Part = Callable[[CacheArrays | None, Any], tuple[Arrays, CacheArrays | None]]


def coded(
    part: Part,
    pieces: Iterable[Any],
    cuts: Cuts,
    *,
    side: int | None,
    factor: int,
    blends: Callable[[Tiles], list[Blend | Choice]],
) -> Iterator[Arrays]:
    """Yield the outputs of one side of a codec for consecutive pieces in time.

    Args:
      part: codes a piece or a tile of one, with the feature cache of the one before in that place.
      pieces: [b t h w c], or one image [b h w c].
      cuts: how pieces overlap in time.
      side: side of tiles in latents; None for whole frames.
      factor: elements of a piece along each side of a latent.
      blends: makes what joins the tiles of each output.
    """

    def outputs() -> Iterator[tuple[Arrays, bool]]:
        caches: dict[tuple[int, int], CacheArrays | None] = {}
        for x, overlapping in chunks.with_overlap(pieces, cuts.overlap):
            tiles = _tiles(x.shape[-3] // factor, x.shape[-2] // factor, side)
            if tiles is None:
                arrays, cache = part(caches.get((0, 0)), x)
                caches[0, 0] = with_room(cache)
            else:
                joints = blends(tiles)
                for corner in tiles.corners:
                    tile = tiles.cut(x, corner, factor)
                    values, cache = part(caches.get(corner), tile)
                    caches[corner] = with_room(cache)
                    for joint, value in zip(joints, values):
                        joint.add(corner, np.asarray(value))
                arrays = tuple(joint.result() for joint in joints)
            yield arrays, overlapping

    return cuts.joined(outputs())


def _tiles(height: int, width: int, side: int | None) -> Tiles | None:
    """Return the tiles of `height` x `width` latents; None where one tile holds all."""
    if side is None:
        return None
    tiles = Tiles(height, width, side)
    return None if len(tiles.corners) == 1 else tiles
