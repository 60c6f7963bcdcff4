"""Resolve "auto" for chunks and tiles: the best cut of a clip that fits a budget of memory."""

from typing import Any

from pipeline.backend import device_memory
from pipeline.codec.memory import byte_sizes, choice, need
from pipeline.codec.memory.cut import Cut, cuts
from pipeline.codec.memory.meter import Meter
from pipeline.codec.memory.need import Clip
from pipeline.codec.tiling.chunks import Chunk
from pipeline.codec.tiling.side import Side, Tile
from pipeline.core.errors import ConfigError
from pipeline.core.notices import notice

# Of what is available, for what else allocates memory.
SHARE = 0.9


class AutoCuts:
    """Chooses cuts for a codec, and remembers them.

    A choice compiles the program that is then used, and where the clip does not obviously fit, one
    of a small tile and a few others.

    Args:
      state: (parameters, other variables), on the device.
      budget: bytes; None is nine tenths of what the device has left.
    """

    def __init__(self, state: tuple[Any, Any], budget: int | None):
        self._state, self._weights = state, need.size(state)
        # The weights are there already.
        self._budget = budget or int(SHARE * device_memory.available()) + self._weights
        self._chosen: dict[Any, tuple[Cut, int | float]] = {}

    @property
    def choices(self) -> list[tuple[Cut, int | float]]:
        """The cuts that were chosen, with the peaks in bytes that are predicted for them."""
        return list(self._chosen.values())

    def cut(self, side: Side, clip: Clip, chunk: Chunk, tile: Tile) -> Cut:
        """Return the cut of a clip, and say on standard error what was chosen, once.

        Raises:
          ConfigError: the budget is too small for the smallest piece that the codec takes, or the
            backend does not say what programs need.
        """
        key = (side.name, clip, chunk, tile)
        if key not in self._chosen:
            self._chosen[key] = self._search(side, clip, chunk, tile)
        return self._chosen[key][0]

    def _search(self, side: Side, clip: Clip, chunk: Any, tile: Any) -> tuple[Cut, int | float]:
        found = cuts(side, clip.shape, chunk, tile, streams=clip.streams)
        smallest = min((each.chunk for each in found if each.chunk), default=None)
        meter = Meter(side, self._state, clip, smallest)
        budget = byte_sizes.text(self._budget)
        try:
            cut, peak = choice.first_that_fits(
                found, self._budget, measure=meter.measure, estimate=meter.estimate
            )
        except choice.TooSmall as error:
            assert isinstance(error.choice, Cut)
            raise ConfigError(
                f"{side.name}: memory={budget} is too small for {_clip(side, clip)}: "
                f"{_words(side, error.choice)} needs {byte_sizes.text(error.need)}, with "
                f"{byte_sizes.text(self._weights)} of weights, and nothing needs less"
            ) from None
        notice(
            f"{side.name} {_clip(side, clip)}: {_words(side, cut)}; needs "
            f"{byte_sizes.text(peak)} of {budget}"
        )
        return cut, peak


def _clip(side: Side, clip: Clip) -> str:
    """Return the size of a clip or image in words, in pixels and frames."""
    batch, *time, height, width, _ = clip.shape
    scale = side.spatial_factor // side.factor
    size = "x".join(map(str, (height * scale, width * scale)))
    if clip.streams:
        return f"a stream of {size}"
    kind = (
        f"{time[0]} {'latent ' * side.decodes}frames of {size}" if time else f"an image of {size}"
    )
    return kind if batch == 1 else f"a batch of {batch}, each {kind}"


def _words(side: Side, cut: Cut) -> str:
    """Return a cut as the arguments that ask for it."""
    tile = "whole frames" if cut.tile is None else f"tile={cut.tile}"
    if not side.is_video:
        return tile.replace("whole frames", "whole")
    return f"{tile}, {f'chunk={cut.chunk}' if cut.chunk else 'the whole clip at once'}"
