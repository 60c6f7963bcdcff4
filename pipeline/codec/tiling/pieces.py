"""The pieces in which a side of a codec codes a clip: the shapes of each, and of its cache.

They are those that pipeline.codec.tiling.coding codes, of one tile. Pieces with the same shapes are
one program.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from pipeline.codec.tiling import chunks
from pipeline.codec.tiling.side import Side
from pipeline.nn.cache import Memory, places_for


@dataclasses.dataclass(frozen=True)
class Piece:
    """Pieces of a clip that one program codes.

    Attributes:
      count: number of these pieces in the clip.
      arguments: shapes of the parameters, other variables, cache (None for a first piece, or a
        network that has none) and input; parameters and variables may be arrays.
      outputs, cache: shapes of what the program gives, and of the cache that the next piece gets.
    """

    count: int
    arguments: tuple[Any, Any, Any, jax.ShapeDtypeStruct]
    outputs: tuple[jax.ShapeDtypeStruct, ...]
    cache: Any


def pieces_of(
    side: Side, state: tuple[Any, Any], shape: tuple[int, ...], dtype: Any, chunk: int | None
) -> list[Piece]:
    """Return the pieces of a batch, in the order of their first occurrence.

    Args:
      state: (parameters, other variables), or their shapes.
      shape: of the input, [b t h w c] or [b h w c], filled to what the codec takes.
      dtype: of the input.
      chunk: elements of the input at a time; None for all at once.
    """
    evaluate = side.program.outermost.eval_shape
    counts: dict[Any, int] = {}
    pieces: dict[Any, Piece] = {}
    cache, known = None, ()
    for each in piece_shapes(side, shape, chunk):
        leaves, tree = jax.tree.flatten(cache)
        key = (each, tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        counts[key] = counts.get(key, 0) + 1
        if key not in pieces:
            arguments = (*state, cache, jax.ShapeDtypeStruct(each, dtype))
            pieces[key] = Piece(0, arguments, *evaluate(*arguments))
        if side.cuts.carries:
            cache, known = _with_room(pieces[key].cache, cache, known)
    return [dataclasses.replace(piece, count=counts[key]) for key, piece in pieces.items()]


def piece_shapes(side: Side, shape: tuple[int, ...], chunk: int | None) -> list[tuple[int, ...]]:
    """Return the shape of each piece of an input, with the elements that it takes again."""
    if not side.is_video:
        return [shape]
    batch, elements, *place = shape
    pieces = side.cuts.pieces(np.empty((1, elements), bool), chunk)
    taken = chunks.with_overlap(pieces, side.cuts.overlap)
    return [(batch, piece.shape[1], *place) for piece, _ in taken]


def _with_room(
    shapes: tuple[Any, ...], before: tuple[Any, ...] | None, known: tuple[int, ...]
) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """Return the shapes of pipeline.nn.cache.with_room, and the frames that each memory has.

    `before` is the cache that the piece was given, and `known` the frames in it.
    """
    found, counts = [], []
    for index, each in enumerate(shapes):
        if not isinstance(each, Memory):
            found.append(each)
            counts.append(0)
            continue
        places: Any = 0 if before is None else before[index].frames.shape[1]
        count = (known[index] if known else 0) + each.frames.shape[1] - places
        batch, _, *rest = each.frames.shape
        frames = jax.ShapeDtypeStruct((batch, places_for(count), *rest), each.frames.dtype)
        found.append(Memory(frames, each.count))
        counts.append(count)
    return tuple(found), tuple(counts)
