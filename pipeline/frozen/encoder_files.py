"""Reads the tensors and settings of a frozen encoder from a folder or a file, without torch.

A folder is one of transformers: config.json, model.safetensors or pytorch_model.bin, and maybe
preprocessor_config.json. A file is the authors', or that of a folder on its own.
"""

import json
import pathlib
from typing import Any

import numpy as np

from pipeline.core.errors import DataError, one_line
from pipeline.formats import weight_files
from pipeline.storage import transfer

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def read(path: str) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, Any]]:
    """Return the tensors, the content of config.json and that of preprocessor_config.json; {} for
    what there is not.

    Raises:
      DataError: something is missing or damaged. ConfigError: a file of an unknown kind.
    """
    folder = transfer.local_copy(path)
    if not folder.is_dir():
        return weight_files.load(path), {}, {}
    for name in WEIGHTS:
        if (folder / name).exists():
            tensors = weight_files.load(str(folder / name))
            return tensors, _settings(folder / CONFIG), _settings(folder / PROCESSOR)
    raise DataError(f"{path} holds no weights: a folder with {' or '.join(WEIGHTS)} is expected")


def _settings(file: pathlib.Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} is damaged: {one_line(error)}") from None
    if not isinstance(found, dict):
        raise DataError(f"{file} is damaged: it must be an object with settings")
    # Files of CLIP and SigLIP hold an encoder of texts too.
    vision = found.get("vision_config")
    return {**found, **vision, "model_type": found.get("model_type")} if vision else found
