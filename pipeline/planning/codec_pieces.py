"""The pieces in which the codec of an outline codes its clip (pipeline.codec.tiling.pieces)."""

import jax.numpy as jnp

from pipeline.build.outline import CodecOutline
from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.tiling import pieces
from pipeline.codec.tiling.cuts import Cuts
from pipeline.codec.tiling.pieces import Piece
from pipeline.codec.tiling.side import Side
from pipeline.core.errors import ConfigError


def side_of(codec: AnySizeCodec, outline: CodecOutline) -> Side:
    """Return the side of the codec that is planned."""
    return codec.decoder_side if outline.decodes else codec.encoder_side


def padded_size(codec: AnySizeCodec, size: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return frames, height and width of a clip once the codec has filled it to its factors.

    Raises:
      ConfigError: a codec of images is given several frames.
    """
    if not codec.is_video and size[0] != 1:
        raise ConfigError(f"this codec is of images, and takes HEIGHTxWIDTH, not {size[0]} frames")
    return codec.sizes.padded(*size)


def pieces_of(codec: AnySizeCodec, outline: CodecOutline) -> list[Piece]:
    """Return the pieces of a batch of one clip or image, in the order of their first occurrence.

    Raises:
      ConfigError: the codec cannot be cut into such chunks, or does not take such a clip.
    """
    side = side_of(codec, outline)
    chunk = _checked_chunk(codec, side.cuts, outline.chunk)
    place = padded_size(codec, outline.size)
    shape = codec.latent_shape(*place) if outline.decodes else (*place, codec.image_shape[2])
    shape = (1, *(shape if codec.is_video else shape[1:]))
    dtype = jnp.float32 if outline.decodes else jnp.uint8
    return pieces.pieces_of(side, codec.state, shape, dtype, chunk)


def _checked_chunk(codec: AnySizeCodec, cuts: Cuts, frames: int | None) -> int | None:
    """Return a chunk in elements of the side that is planned."""
    if frames is None:
        return None
    if not codec.is_video:
        raise ConfigError(f"--chunk {frames}: this codec is of images, which have no time")
    # A decoder takes a whole number of latents.
    step = cuts.step * cuts.unit
    if frames < 1 or frames % step:
        raise ConfigError(f"--chunk {frames} (frames) must be a multiple of {step} for this codec")
    return frames // cuts.unit
