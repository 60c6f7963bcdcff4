"""The pieces in which a codec codes a clip: the shapes of each, and of the cache that it is given.

They are those of pipeline.codec.tiling, which codes real clips. Pieces with the same shapes are one
program.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.build.outline import CodecOutline
from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.tiling import chunks
from pipeline.codec.tiling.cuts import Cuts, decoder_cuts, encoder_cuts
from pipeline.codec.tiling.parts import decode_part, encode_part
from pipeline.core.errors import ConfigError
from pipeline.nn.cache import Memory, places_for


@dataclasses.dataclass(frozen=True)
class Piece:
    """Pieces of a clip that one program codes.

    Attributes:
      count: number of these pieces in the clip.
      arguments: shapes of the parameters, other variables, cache (None for a first piece, or a
        network that has none) and input.
    """

    count: int
    arguments: tuple[Any, Any, Any, jax.ShapeDtypeStruct]


def cuts_of(codec: AnySizeCodec, outline: CodecOutline) -> Cuts:
    """Return where the side of the codec that is planned may be cut in time."""
    of_time: Any = dict(windows=codec.windows, factor=codec.temporal_factor)
    if outline.decodes:
        return decoder_cuts(causal=codec.decoder_causal, **of_time)
    return encoder_cuts(causal=codec.encoder_causal, **of_time)


def padded_size(codec: AnySizeCodec, size: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return frames, height and width of a clip once the codec has filled it to its factors.

    Raises:
      ConfigError: a codec of images is given several frames.
    """
    if not codec.is_video and size[0] != 1:
        raise ConfigError(f"this codec is of images, and takes HEIGHTxWIDTH, not {size[0]} frames")
    latents, rows, columns, _ = codec.latent_shape(*size)
    frames = 1 + codec.temporal_factor * (latents - 1) if codec.is_video else 1
    if codec.windows is not None:
        frames = codec.windows.num_frames(latents)
    return frames, rows * codec.spatial_factor, columns * codec.spatial_factor


def program_of(codec: AnySizeCodec, outline: CodecOutline) -> Callable[..., Any]:
    """Return the function that codes a piece, of the `arguments` of a Piece."""
    part = decode_part if outline.decodes else encode_part
    return functools.partial(part, codec.modeldef, cuts_of(codec, outline).carries)


def pieces_of(codec: AnySizeCodec, outline: CodecOutline) -> list[Piece]:
    """Return the pieces of a batch of one clip or image, in the order of their first occurrence.

    Raises:
      ConfigError: the codec cannot be cut into such chunks, or does not take such a clip.
    """
    program, carries = program_of(codec, outline), cuts_of(codec, outline).carries
    state = (
        {name: codec.weights[name] for name in codec.modeldef.param_names},
        {name: codec.weights[name] for name in codec.modeldef.other_names},
    )
    counts: dict[Any, int] = {}
    arguments: dict[Any, tuple[Any, ...]] = {}
    following: dict[Any, Any] = {}
    cache, known = None, ()
    for shape in _shapes(codec, outline):
        x = jax.ShapeDtypeStruct(shape, jnp.float32 if outline.decodes else jnp.uint8)
        leaves, tree = jax.tree.flatten(cache)
        key = (shape, tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        counts[key] = counts.get(key, 0) + 1
        if key not in following:
            arguments[key] = (*state, cache, x)
            following[key] = jax.eval_shape(program, *arguments[key])[1]
        if carries:
            cache, known = _with_room(following[key], cache, known)
    return [Piece(counts[key], arguments[key]) for key in counts]  # type: ignore[arg-type]


def _shapes(codec: AnySizeCodec, outline: CodecOutline) -> list[tuple[int, ...]]:
    """Return the shape of each piece, with the elements that it takes again."""
    frames, height, width = padded_size(codec, outline.size)
    factor, channels = 1, codec.image_shape[-1]
    if outline.decodes:
        factor, channels = codec.spatial_factor, codec.latent_channels
    place = (height // factor, width // factor, channels)
    cuts = cuts_of(codec, outline)
    chunk = _checked_chunk(codec, cuts, outline.chunk)
    if not codec.is_video:
        return [(1, *place)]
    elements = codec.latent_shape(*outline.size)[0] if outline.decodes else frames
    pieces = cuts.pieces(np.empty((1, elements)), chunk)
    taken = chunks.with_overlap(pieces, cuts.overlap)
    return [(1, piece.shape[1], *place) for piece, _ in taken]


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
