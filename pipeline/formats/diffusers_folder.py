"""A folder of Hugging Face diffusers: config.json, and weights in one file or in shards.

The weights are safetensors, or else torch's pickles, which are read without running code in them.
Half precision is read as float32.
"""

import json
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from pipeline.core.errors import DataError, one_line
from pipeline.formats import state_dict

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
_STEM = "diffusion_pytorch_model"
# Names of the weights, the best first: whole files, then the indexes of shards.
_FILES = tuple(
    f"{_STEM}{variant}.{ending}"
    for ending in ("safetensors", "bin")
    for variant in ("", ".bf16", ".fp16")
)
_INDEXES = tuple(
    f"{_STEM}.{ending}.index{variant}.json"
    for ending in ("safetensors", "bin")
    for variant in ("", ".bf16", ".fp16")
)


def settings(path: str) -> dict[str, Any]:
    """Return the content of config.json.

    Raises:
      DataError: there is none, or it is damaged.
    """
    folder = pathlib.Path(path)
    file = folder / CONFIG
    if not file.exists() and (folder / "vae" / CONFIG).exists():
        raise DataError(f"{path} is a whole pipeline: give its autoencoder, {folder / 'vae'}")
    found = _json(file, f"a folder with {CONFIG} and {WEIGHTS} is expected")
    if not isinstance(found, dict):
        raise DataError(f"{file} is damaged: it must be an object with settings")
    return found


def load(path: str) -> dict[str, np.ndarray]:
    """Return the tensors of a folder, as float32.

    Raises:
      DataError: there are no weights, or a file is missing or damaged.
    """
    folder = pathlib.Path(path)
    for name in (*_FILES, *_INDEXES):
        if (folder / name).exists():
            return _load_shards(folder / name) if name in _INDEXES else _load_file(folder / name)
    raise DataError(
        f"{folder / WEIGHTS}: there is no such file; a folder with {CONFIG} and {WEIGHTS} is "
        "expected"
    )


def safetensors_of(names: Collection[str]) -> str | None:
    """Return the best file of weights among the names of a folder, or the index of shards; None if
    there are only pickles.
    """
    return next(
        (name for name in (*_FILES, *_INDEXES) if name in names and "bin" not in name), None
    )


def shards_of(index: pathlib.Path) -> list[str]:
    """Return the names of the files that an index names; of a file that is no index, none.

    Raises:
      DataError: the index is damaged, or names a file elsewhere.
    """
    return sorted(set(_weight_map(index).values())) if index.name in _INDEXES else []


def is_needed(name: str) -> bool:
    """Return whether a file of a folder may hold settings or weights."""
    return name == CONFIG or name.startswith((f"{_STEM}.", f"{_STEM}-"))


def content(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> tuple[tuple[str, bytes], ...]:
    """Return the files of a folder that diffusers' from_pretrained reads: (name, content) of each,
    config.json last.
    """
    weights = safetensors.numpy.save(dict(sorted(tensors.items())), {"format": "pt"})
    text = json.dumps(dict(settings), indent=2) + "\n"
    return (WEIGHTS, weights), (CONFIG, text.encode())


def _load_file(file: pathlib.Path) -> dict[str, np.ndarray]:
    if file.suffix == ".safetensors":
        return state_dict.load_safetensors(file)
    return {name: np.asarray(a, np.float32) for name, a in state_dict.load(str(file)).items()}


def _load_shards(index: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the tensors of all files that an index names."""
    places = _weight_map(index)
    tensors: dict[str, np.ndarray] = {}
    for file in sorted(set(places.values())):
        tensors |= _load_file(index.parent / file)
    if missing := sorted(places.keys() - tensors.keys()):
        raise DataError(
            f"{index} names {len(missing)} tensors that its files do not hold: {missing[0]}"
        )
    return tensors


def _weight_map(index: pathlib.Path) -> dict[str, str]:
    """Return the file of each tensor."""
    found = _json(index, "")
    places = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(places, dict) or not places:
        raise DataError(f"{index} is damaged: it must have a weight_map, a file for each tensor")
    for file in places.values():
        if not isinstance(file, str) or pathlib.PurePath(file).name != file:
            raise DataError(f"{index} names {file!r}, which is no file of its folder")
    return places


def _json(file: pathlib.Path, expected: str) -> Any:
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file; {expected}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} is damaged: {one_line(error)}") from None
