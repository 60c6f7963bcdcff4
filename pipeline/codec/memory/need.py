"""The peak memory of coding a clip, or a chunk of a stream, cut in one way.

XLA says what each compiled program needs besides its arguments. The rest is known from shapes: the
weights, the input, the caches that wait for the next chunk (one for each tile), the results of
earlier pieces, and what joins the tiles. On a CPU, whose memory is the host's, arrays of NumPy
count too.
"""

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from pipeline.backend.program_memory import ProgramMemory
from pipeline.codec.memory.cut import Cut, tiles_of
from pipeline.codec.tiling.pieces import Piece, piece_shapes, pieces_of
from pipeline.codec.tiling.side import Side


@dataclasses.dataclass(frozen=True)
class Clip:
    """What is coded.

    Attributes:
      shape, dtype: of the input, filled to what the codec takes; a stream has any number of
        elements.
      streams: whether it comes, and its results go, a chunk at a time.
    """

    shape: tuple[int, ...]
    dtype: Any
    streams: bool

    @property
    def on_host(self) -> bool:
        """Whether the device's memory is the host's."""
        return jax.default_backend() == "cpu"


@dataclasses.dataclass(frozen=True)
class Parts:
    """Bytes of what a clip needs, cut in one way.

    Attributes:
      running: the program of the largest piece of a tile: its input, intermediate results, outputs
        and next cache.
      cache: the cache of a tile between two chunks.
      piece: the outputs of the largest piece of whole frames, as the program gives them.
      kept: what is kept of them; frames are uint8.
      results: what is kept of the whole clip.
    """

    running: int | float
    cache: int | float
    piece: int | float
    kept: int | float
    results: int | float


def largest_piece(side: Side, clip: Clip, cut: Cut) -> tuple[int, ...]:
    """Return the shape of the longest piece of a tile."""
    return max(piece_shapes(side, _tile_shape(side, clip, cut), cut.chunk), key=math.prod)


def _tile_shape(side: Side, clip: Clip, cut: Cut) -> tuple[int, ...]:
    tiles = tiles_of(side, clip.shape, cut.tile)
    if tiles is None:
        return clip.shape
    height, width = (length * side.factor for length in tiles.size)
    return (*clip.shape[:-3], height, width, clip.shape[-1])


def worst_piece(side: Side, state: tuple[Any, Any], clip: Clip, cut: Cut) -> tuple[Piece, Parts]:
    """Return the piece, of a tile, whose program needs the most, and its parts but for the program.

    That is the longest one, and of several the one with the largest cache.
    """
    shape = _tile_shape(side, clip, cut)
    pieces = pieces_of(side, state, shape, clip.dtype, cut.chunk)
    worst = max(pieces, key=lambda each: (each.arguments[-1].shape[1], size(each.arguments[2])))
    area = math.prod(clip.shape[-3:-1]) / math.prod(shape[-3:-1])
    results = sum(each.count * _kept(side, each) for each in pieces) * area
    return worst, Parts(
        running=size(worst.arguments[-1]),
        cache=max(size(each.arguments[2]) for each in pieces),
        piece=size(worst.outputs) * area,
        kept=_kept(side, worst) * area,
        results=0.0 if clip.streams else results,
    )


def with_program(parts: Parts, memory: ProgramMemory) -> Parts:
    """Return the parts with what the program needs."""
    return dataclasses.replace(parts, running=parts.running + memory.running)


def peak(side: Side, weights: int, clip: Clip, cut: Cut, parts: Parts) -> int | float:
    """Return the most bytes that are in use at once."""
    tiles = tiles_of(side, clip.shape, cut.tile)
    several = len(piece_shapes(side, clip.shape, cut.chunk)) > 1
    count = 1 if tiles is None else len(tiles.corners)
    held = weights + (_given(side, clip, cut) if clip.on_host else 0)
    caches = count * parts.cache if several else 0.0
    joining = 0.0  # Tiles are joined on the host.
    if tiles is not None and clip.on_host:
        joining = parts.piece + 2 * parts.piece / count
    running = held + caches + max(0.0, parts.results - parts.kept) + parts.running + joining
    # Frames of a piece become uint8 on the device, where they are whole.
    finishing = held + caches + parts.results + (parts.kept if side.decodes else 0.0)
    finishing += 2 * parts.piece if clip.on_host and tiles is not None else parts.piece
    together = held + parts.results * (2 if several and clip.on_host else 1)
    return max(running, finishing, together)


def _given(side: Side, clip: Clip, cut: Cut) -> int | float:
    """Return the bytes of the input on the host: of a stream, the frames of a chunk, stacked."""
    if not clip.streams:
        return math.prod(clip.shape) * np.dtype(clip.dtype).itemsize
    longest = max(math.prod(each) for each in piece_shapes(side, clip.shape, cut.chunk))
    return 2 * longest * np.dtype(clip.dtype).itemsize


def _kept(side: Side, piece: Piece) -> int | float:
    """Return the bytes of what is kept of a piece: its outputs, frames as uint8."""
    if side.decodes:
        return sum(math.prod(each.shape) for each in piece.outputs)
    return size(piece.outputs)


def size(arrays: Any) -> int:
    """Return the bytes of a tree of arrays or shapes."""
    return sum(
        math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(arrays)
    )
