"""How a codec cuts a batch or a stream: as it was asked to, and "auto" by a budget of memory."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.codec.memory.auto import AutoCuts
from pipeline.codec.memory.cut import Cut
from pipeline.codec.memory.need import Clip
from pipeline.codec.tiling.chunks import Chunk
from pipeline.codec.tiling.side import Side, Tile
from pipeline.codec.tiling.sizes import Sizes


class Cutting:
    """Cuts of a codec with these sizes, of images or frames of so many channels.

    `state` gives (parameters, other variables) on the device, when "auto" is first used.
    """

    def __init__(self, state: Callable[[], tuple[Any, Any]], sizes: Sizes, channels: int):
        self._state, self._sizes, self._channels = state, sizes, channels
        self._budget: int | None = None
        self._auto: AutoCuts | None = None

    @property
    def budget(self) -> int | None:
        """Bytes that coding may take; None is what the device has left."""
        return self._budget

    @budget.setter
    def budget(self, budget: int | None) -> None:
        self._budget, self._auto = budget, None

    def of_batch(self, side: Side, x: Any, chunk: Chunk, tile: Tile) -> Cut:
        """Return the cut of a batch [b t h w c] or [b h w c], filled to what the codec takes."""
        if not isinstance(chunk, str) and not isinstance(tile, str):
            return Cut(chunk or None, tile)
        clip = Clip(tuple(x.shape), np.dtype(x.dtype), streams=False)
        return self._chosen(side, clip, chunk or None, tile)

    def of_stream(self, side: Side, first: Any, chunk: Chunk, tile: Tile) -> Cut:
        """Return the cut of a stream whose first frame, or latent, is `first` [h w c]."""
        height, width = (
            length * self._sizes.spatial_factor // side.factor for length in first.shape[:2]
        )
        usual = side.cuts.default_chunk(height, width, tile=None if isinstance(tile, str) else tile)
        if side.cuts.fixed and not side.decodes:
            chunk = side.cuts.step
        chunk = usual if chunk is None else chunk
        if not isinstance(chunk, str) and not isinstance(tile, str):
            return Cut(chunk, tile)
        # The second chunk after the first piece has the cache that all later ones have.
        place = self._sizes.padded(1 + 2 * usual * side.cuts.unit, height, width)
        shape = self._sizes.latent_shape(*place) if side.decodes else (*place, self._channels)
        clip = Clip((1, *shape), np.dtype(first.dtype), streams=True)
        return self._chosen(side, clip, chunk, tile)

    def _chosen(self, side: Side, clip: Clip, chunk: Chunk, tile: Tile) -> Cut:
        if self._auto is None:
            self._auto = AutoCuts(self._state(), self._budget)
        return self._auto.cut(side, clip, chunk, tile)
