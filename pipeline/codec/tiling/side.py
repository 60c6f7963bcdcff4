"""The two sides of a codec, its encoder and its decoder, as they code the pieces of a clip."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from pipeline.backend.jit import jit
from pipeline.codec.tiling import chunks, padding
from pipeline.codec.tiling.blend import Blend, Choice, Tiles
from pipeline.codec.tiling.coding import coded
from pipeline.codec.tiling.cuts import Arrays, Cuts, decoder_cuts, encoder_cuts
from pipeline.codec.tiling.parts import decode_part, encode_part
from pipeline.codec.tiling.sizes import Sizes
from pipeline.core.errors import DataError
from pipeline.core.parameters import ModelDef

# Side in pixels; None is whole frames.
Tile = int | Literal["auto"] | None


@dataclasses.dataclass(frozen=True)
class Side:
    """An encoder, which takes frames, or a decoder, which takes latents.

    Attributes:
      name: "encode" or "decode".
      elements: what a chunk is a number of, in words.
      is_video: whether it takes clips; otherwise images.
      factor: elements of the input along each side of a latent.
      spatial_factor: pixels along each side of a latent.
      cuts: where clips may be cut in time.
      function: (parameters, other variables, cache, piece) -> (outputs, next cache).
      program: the same, compiled.
      joints: makes what joins the tiles of each output.
    """

    name: str
    elements: str
    is_video: bool
    factor: int
    spatial_factor: int
    cuts: Cuts
    function: Callable[..., Any]
    program: jit
    joints: Callable[[Tiles], list[Blend | Choice]]

    @property
    def decodes(self) -> bool:
        """Whether it is a decoder."""
        return self.name == "decode"

    def require_time(self) -> None:
        """Raise DataError if it takes images, of which there are no streams."""
        if not self.is_video:
            raise DataError(f"{self.name}_frames: this codec is of images, which have no time")

    def checked_chunk(self, chunk: Any) -> chunks.Chunk:
        """Return a chunk in elements of this side, 0 for whole clips, "auto" or None.

        Raises:
          DataError: it is none of these, or cannot be.
        """
        step = self.cuts.step
        if chunk is None or _is_auto(chunk) or (self.is_video and _is_zero(chunk)):
            return chunk
        if self.is_video and padding.is_chunk(chunk, step):
            return chunk
        multiple = "1 or more" if step == 1 else f"a multiple of {step}"
        kind = f"a whole number, {multiple}" if self.is_video else "not for a codec of images"
        raise DataError(f"{self.name}: chunk={chunk!r} ({self.elements}) must be {kind}")

    def checked_tile(self, tile: Any) -> Tile:
        """Return a tile in pixels, "auto" or None, or raise DataError if it cannot be."""
        factor = self.spatial_factor
        if tile is None or _is_auto(tile) or padding.is_tile(tile, factor):
            return tile
        kind = f"a whole number that is a multiple of {factor}, and at least {2 * factor}"
        raise DataError(f"tile={tile!r} (pixels) must be {kind}")

    def coded(self, state: tuple[Any, Any], pieces: Iterable[Any], tile: int | None) -> Iterator:
        """Yield the outputs of consecutive pieces, each whole or in tiles of so many pixels.

        `state` is (parameters, other variables).
        """

        def part(cache: Any, x: Any) -> tuple[Arrays, Any]:
            return self.program(*state, cache, x)

        side = None if tile is None else tile // self.spatial_factor
        return coded(part, pieces, self.cuts, side=side, factor=self.factor, blends=self.joints)


def _is_auto(given: Any) -> bool:
    return isinstance(given, str) and given == "auto"


def _is_zero(given: Any) -> bool:
    return padding.is_whole(given) and given == 0


def encoder(modeldef: ModelDef, model: Any, sizes: Sizes, *, has_codes: bool) -> Side:
    """Return the encoder of a model; of one with codes, its outputs are their indices."""
    causal = sizes.is_video and model.encoder_causal
    cuts = encoder_cuts(causal=causal, windows=sizes.windows, factor=sizes.temporal_factor)
    function = functools.partial(encode_part, modeldef, cuts.carries)
    return Side(
        name="encode",
        elements="frames at a time after the first one",
        is_video=sizes.is_video,
        factor=sizes.spatial_factor,
        spatial_factor=sizes.spatial_factor,
        cuts=cuts,
        function=function,
        program=jit(function, what="the encoder"),
        joints=lambda tiles: [Choice(tiles)] if has_codes else [Blend(tiles, 1), Blend(tiles, 1)],
    )


def decoder(modeldef: ModelDef, model: Any, sizes: Sizes) -> Side:
    """Return the decoder of a model; its output is float frames."""
    causal = sizes.is_video and model.decoder_causal
    cuts = decoder_cuts(causal=causal, windows=sizes.windows, factor=sizes.temporal_factor)
    function = functools.partial(decode_part, modeldef, cuts.carries)
    return Side(
        name="decode",
        elements="latent frames at a time",
        is_video=sizes.is_video,
        factor=1,
        spatial_factor=sizes.spatial_factor,
        cuts=cuts,
        function=function,
        program=jit(function, what="the decoder"),
        joints=lambda tiles: [Blend(tiles, sizes.spatial_factor)],
    )
