"""Predict the peaks of a clip's cuts: exactly by compiling, and by estimates from that."""

import dataclasses
import math
from typing import Any

import jax

from pipeline.codec.memory import need
from pipeline.codec.memory.curve import Curve
from pipeline.codec.memory.cut import Cut
from pipeline.codec.memory.need import Clip, Parts
from pipeline.codec.tiling.side import Side
from pipeline.core.errors import ConfigError

# Pieces of at most so many pixels are compiled at once, without a smaller one to learn from.
SMALL = 9 * 128**2
_PROBED = 16  # latents along each side of the piece to learn from
_CONTEXT = 2  # frames that a causal convolution takes of earlier chunks


class Meter:
    """The predicted peaks of a clip's cuts, exact ones by compiling, and estimates from these.

    `chunk` is the smallest one that is considered, if any.
    """

    def __init__(self, side: Side, state: tuple[Any, Any], clip: Clip, chunk: int | None):
        self._side, self._state, self._clip, self._chunk = side, state, clip, chunk
        self._weights = need.size(state)
        self._running = Curve()
        # By the size of the largest piece: its shape, and what was measured.
        self._known: dict[int | float, tuple[tuple[int, ...], Parts]] = {}

    def measure(self, cut: Cut) -> int | float:
        """Return the peak of a cut; its largest program is compiled, for the codec to use."""
        parts = self._measured(self._clip, cut)
        if parts is None:
            return math.inf
        return need.peak(self._side, self._weights, self._clip, cut, parts)

    def estimate(self, cut: Cut) -> int | float:
        """Return an estimate of the peak from pieces that were measured.

        It is 0 for a small clip, so that the best cut of that is measured at once. Of a larger one
        a small piece is measured first.
        """
        piece = need.largest_piece(self._side, self._clip, cut)
        if not self._known:
            scale = 1 if self._side.factor > 1 else self._side.spatial_factor**2
            if math.prod(piece[:-1]) * scale * self._side.cuts.unit <= SMALL:
                return 0.0
            if self._measured(*self._small()) is None:
                return math.inf
        size = self._size(piece, cut)
        shape, parts = self._known[min(self._known, key=lambda each: abs(math.log(each / size)))]
        area = math.prod(piece[-3:-1]) / math.prod(shape[-3:-1])
        frames = math.prod(self._clip.shape[-3:-1]) / math.prod(shape[-3:-1])
        length = piece[1] / shape[1] if self._side.is_video else 1.0
        whole = self._clip.shape[1] / shape[1] if self._side.is_video else 1.0
        guess = Parts(
            running=self._running.at(size),
            cache=parts.cache * area,
            piece=parts.piece * frames * length,
            kept=parts.kept * frames * length,
            results=0.0 if self._clip.streams else parts.kept * frames * whole,
        )
        return need.peak(self._side, self._weights, self._clip, cut, guess)

    def _measured(self, clip: Clip, cut: Cut) -> Parts | None:
        """Return the parts of a cut, and keep them; None if the compiler says that it is too large.

        Raises:
          ConfigError: the backend does not say what a program needs.
        """
        piece, parts = need.worst_piece(self._side, self._state, clip, cut)
        try:
            memory = self._side.program.memory(*piece.arguments)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return None
        if memory is None:
            raise ConfigError(
                f'{self._side.name}: "auto" needs to know what programs take, which this backend '
                "does not say: give tile and chunk as numbers"
            )
        parts = need.with_program(parts, memory)
        shape = piece.arguments[-1].shape
        size = self._size(shape, cut)
        self._known[size] = shape, _per_frame(parts, clip, shape)
        self._running.add(size, parts.running)
        return parts

    def _small(self) -> tuple[Clip, Cut]:
        """Return a small tile of the clip to learn from, and how it is cut in time."""
        side, shape = self._side, self._clip.shape
        place = [min(length, _PROBED * side.factor) for length in shape[-3:-1]]
        time = shape[1:-3]
        if self._chunk and side.cuts.windows is None:
            # The second chunk after the first piece has the cache that all later ones have.
            time = (min(shape[1], 1 + 2 * self._chunk),)
        small = (shape[0], *time, *place, shape[-1])
        return dataclasses.replace(self._clip, shape=small), Cut(self._chunk, None)

    def _size(self, shape: tuple[int, ...], cut: Cut) -> int | float:
        """Return the elements of a piece, with those that a cache has of earlier ones."""
        earlier = _CONTEXT if cut.chunk and self._side.cuts.carries else 0
        batch, *time, height, width, _ = shape
        return batch * (math.prod(time) + earlier) * height * width


def _per_frame(parts: Parts, clip: Clip, shape: tuple[int, ...]) -> Parts:
    """Return the parts with `piece` and `kept` of a tile, not of whole frames."""
    share = math.prod(shape[-3:-1]) / math.prod(clip.shape[-3:-1])
    return dataclasses.replace(parts, piece=parts.piece * share, kept=parts.kept * share)
