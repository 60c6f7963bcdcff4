"""Store an image's latents in a safetensors file, with the metadata to decode it."""

import dataclasses
import os
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from pipeline.codec.checks import checked_latents
from pipeline.codec.encodings import checked_indices
from pipeline.codec.fixed_size import FixedSizeCodec
from pipeline.codec.media.code_image import Fitted, Layers
from pipeline.codec.tiling.tiles import Tiling
from pipeline.core.errors import DataError, one_line

FORMAT, VERSION = "strata-latents", "1"


@dataclasses.dataclass(frozen=True)
class Stored:
    """What a file of latents holds.

    Attributes:
      latents: one array a layer, top first. tiling: the squares that they are of.
      how: how the image was fitted to the codec's size. label: its class, or None.
    """

    latents: Layers
    tiling: Tiling
    how: str
    label: int | None = None


def pack(codec: FixedSizeCodec, latents: Layers, fitted: Fitted, label: int | None = None) -> bytes:
    """Return the file content: tensors layer_000 (the top) on, [squares ...], and metadata."""
    tiling = fitted.tiling
    metadata = {
        "format": FORMAT,
        "format_version": VERSION,
        "codec": codec.fingerprint,
        "how": fitted.how,
    }
    metadata |= {"height": str(tiling.height), "width": str(tiling.width), "tile": str(tiling.size)}
    metadata |= {} if label is None else {"label": str(label)}
    return safetensors.numpy.save(
        {f"layer_{index:03}": z for index, z in enumerate(latents)}, metadata
    )


def unpack(path: str | os.PathLike[str], codec: FixedSizeCodec) -> Stored:
    """Read a file of latents.

    Raises:
      DataError: the file does not exist, holds something else, is damaged, or was written with
        another codec.
    """
    metadata, tensors = _read(path)
    if metadata.get("format") != FORMAT or metadata.get("format_version") != VERSION:
        raise DataError(f"{path} does not hold latents from strata encode (version {VERSION})")
    if metadata.get("codec") != codec.fingerprint:
        raise DataError(f"{path} was encoded with another codec, which must decode it")
    try:
        sides = [int(metadata[key]) for key in ("height", "width", "tile")]
        if min(sides) < 1:
            raise ValueError
        tiling = Tiling(*sides)
        label = int(metadata["label"]) if "label" in metadata else None
    except (KeyError, ValueError):
        raise DataError(f"{path}: its height, width, tile or label is missing or damaged") from None
    latents = tuple(tensors[name] for name in sorted(tensors))
    squares = tiling.rows * tiling.columns
    # Codes themselves are in files of versions that did not store indices.
    codes = codec.num_codes and all(np.issubdtype(z.dtype, np.integer) for z in latents)
    shapes = [shape[:-1] if codes else shape for shape in codec.latent_shapes]
    if [list(z.shape) for z in latents] != [[squares, *shape] for shape in shapes]:
        raise DataError(
            f"{path}: its latents do not have the shapes of {squares} squares of this codec"
        )
    for z, shape in zip(latents, shapes):
        if codes:
            checked_indices(z, (squares, *shape), codec.num_codes, f"{path}: its indices")
        else:
            checked_latents(z, f"{path}: its latents")
    return Stored(latents, tiling, metadata.get("how", str(tiling)), label)


def _read(path: str | os.PathLike[str]) -> tuple[Mapping[str, str], dict[str, np.ndarray]]:
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        reason = one_line(error)
        raise DataError(f"{path} is not a complete safetensors file: {reason}") from None
