"""A codec as a folder: config.json, model.safetensors, README.md (the model card) and preview.png."""

import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline import grids
from pipeline.codec.model_card import model_card
from pipeline.errors import CheckpointError, ConfigError

FORMAT = "strata-codec"
VERSION = 1
CONFIG, WEIGHTS, CARD, PREVIEW = "config.json", "model.safetensors", "README.md", "preview.png"


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """config.json of a codec.

    Raises:
      ConfigError: there is no such folder, or it holds no codec. CheckpointError: config.json is damaged, or of a
        newer version.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ConfigError(_no_folder(folder))
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{folder} holds no codec: there is no {CONFIG} in it (strata export makes one)") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        hint = "; of a run, export a codec first: strata export --workdir" if (folder / "checkpoints").is_dir() else ""
        raise ConfigError(f"{path} is not a codec's (its `format` is not {FORMAT!r}){hint}")
    if config.get("format_version") != VERSION:
        raise CheckpointError(
            f"{path} has format_version {config.get('format_version')!r}, and this Strata reads {VERSION}: "
            "install the version that wrote it, or a newer one"
        )
    for key in ("model", "image"):
        if not isinstance(config.get(key), dict):
            raise CheckpointError(f"{path} is damaged: it has no `{key}`")
    return config


def read_weights(folder: str | os.PathLike[str], shapes: Mapping[str, Any]) -> dict[str, Shaped[np.ndarray, "..."]]:
    """model.safetensors, which must hold exactly the arrays of `shapes`, by name.

    Raises:
      CheckpointError: it is missing or damaged, or an array is missing, of another shape, or one too many.
    """
    path = pathlib.Path(folder) / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS}")
    try:
        with safe_open(path, framework="numpy") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            check_shapes(found, {name: tuple(shape.shape) for name, shape in shapes.items()}, where=str(path))
            return {name: np.asarray(file.get_tensor(name), shapes[name].dtype) for name in found}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or cut short: {error}") from None


def check_shapes(found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]], *, where: str) -> None:
    """Raises CheckpointError that names the first array missing, too many or misshaped, and counts the others."""
    for names, what in (
        (wanted.keys() - found.keys(), "lacks"),
        (found.keys() - wanted.keys(), "has, and the model has not,"),
    ):
        if names:
            raise CheckpointError(f"{where} {what} {_first_of(names)}")
    misshaped = {name for name in wanted if found[name] != wanted[name]}
    if misshaped:
        name = min(misshaped)
        raise CheckpointError(
            f"{where}: {name} is {list(found[name])}, and the model's {list(wanted[name])}"
            + (f" (and {len(misshaped) - 1} more differ)" if len(misshaped) > 1 else "")
        )


def write(
    folder: str | os.PathLike[str],
    config: Mapping[str, Any],
    weights: Mapping[str, Shaped[np.ndarray, "..."]],
    *,
    license: str = "unknown",
    preview: UInt8[np.ndarray, "height width 3"] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a codec's folder, whole or not at all.

    Raises:
      ConfigError: the folder is not empty, and `overwrite` is not given or it holds no codec; or it cannot be written.
    """
    folder = pathlib.Path(folder)
    check_free(folder, overwrite=overwrite)
    partial = folder.absolute().parent / f".{folder.absolute().name}.partial-{os.getpid()}"
    try:
        partial.mkdir(parents=True)
        (partial / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
        save_file({name: np.ascontiguousarray(array) for name, array in weights.items()}, partial / WEIGHTS)
        (partial / CARD).write_text(model_card(config, license=license, preview=PREVIEW if preview is not None else ""))
        if preview is not None:
            grids.save(partial / PREVIEW, preview)
        _replace(folder, partial)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{folder} was not written: {getattr(error, 'strerror', None) or error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_free(folder: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Raises ConfigError where a codec may not be written: over anything but, if asked to, a codec."""
    folder = pathlib.Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: give a folder for the codec")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not _is_codec(folder):
        raise ConfigError(f"{folder} is not empty and holds no codec: give another folder")
    if not overwrite:
        raise ConfigError(f"{folder} holds a codec already: give another folder, or --overwrite")


def _is_codec(folder: pathlib.Path) -> bool:
    try:
        return json.loads((folder / CONFIG).read_text())["format"] == FORMAT
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _replace(folder: pathlib.Path, partial: pathlib.Path) -> None:
    if folder.is_dir():
        old = partial.with_name(f"{partial.name}.old")
        folder.rename(old)
        partial.rename(folder)
        shutil.rmtree(old)
    else:
        partial.rename(folder)


def _no_folder(folder: pathlib.Path) -> str:
    name = str(folder)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        local = name.split("/")[1]
        return (
            f"there is no folder {name}; a codec of that name on the Hugging Face hub must be downloaded first: "
            f"pip install huggingface_hub && hf download {name} --local-dir {local}"
        )
    return f"there is no folder {name}: give one that strata export wrote"


def _first_of(names: set[str]) -> str:
    return min(names) + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")
