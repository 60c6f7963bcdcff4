"""Strata's codec folder for `Codec.from_pretrained`: weights, config, model card, preview."""

import numpy as np
from jaxtyping import UInt8

from pipeline.codec import folder
from pipeline.codec.base import BaseCodec
from pipeline.core import grids
from pipeline.core.errors import ConfigError
from pipeline.storage import transfer
from pipeline.storage.paths import AnyPath, Path, as_path

FILES = (folder.WEIGHTS, folder.CARD, folder.CONFIG, folder.PREVIEW)


def write(
    codec: BaseCodec,
    out: AnyPath,
    *,
    preview: UInt8[np.ndarray, "height width 3"] | None = None,
) -> tuple[Path, ...]:
    """Write model.safetensors, README.md and config.json, and preview.png if there is a preview.

    Each file is written completely or not at all; in a bucket config.json comes last.

    Raises:
      ConfigError: a file cannot be written.
    """
    with transfer.written_folder(out, last=folder.CONFIG, name="codec folder") as root:
        codec.save_pretrained(root)
        if preview is not None:
            try:
                grids.save(root / folder.PREVIEW, preview)
            except OSError as error:
                raise ConfigError(f"{root / folder.PREVIEW}: {error.strerror}") from None
    names = FILES if preview is not None else FILES[:-1]
    return tuple(as_path(out) / name for name in names)
