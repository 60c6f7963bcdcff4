"""Strata's codec folder for `Codec.from_pretrained`: weights, config, model card, preview."""

import pathlib

import numpy as np
from jaxtyping import UInt8

from pipeline.codec import folder
from pipeline.codec.base import BaseCodec
from pipeline.core import grids
from pipeline.core.errors import ConfigError

FILES = (folder.WEIGHTS, folder.CARD, folder.CONFIG, folder.PREVIEW)


def write(
    codec: BaseCodec,
    out: pathlib.Path,
    *,
    preview: UInt8[np.ndarray, "height width 3"] | None = None,
) -> tuple[pathlib.Path, ...]:
    """Write model.safetensors, README.md and config.json, and preview.png if there is a preview.

    Each file is written completely or not at all.

    Raises:
      ConfigError: a file cannot be written.
    """
    codec.save_pretrained(out)
    paths = tuple(out / name for name in FILES)
    if preview is None:
        return paths[:-1]
    try:
        grids.save(paths[-1], preview)
    except OSError as error:
        raise ConfigError(f"{paths[-1]}: {error.strerror}") from None
    return paths
