"""Find, read and write image files, and process many files without stopping at a bad one."""

import contextlib
import io
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pipeline.core.errors import ConfigError, DataError
from pipeline.data.images.decode import decode
from pipeline.data.listing import is_image, is_visible, walk
from pipeline.data.unreadable import Unreadable
from pipeline.storage.paths import AnyPath, Path, as_path, is_remote, sizes

# An input file, local or in a bucket, and the relative path of its result without suffix.
Source = pathlib.Path | Path
Input = tuple[Source, str]


def find(arguments: Sequence[str], accepts: Callable[[str], bool] = is_image) -> list[Input]:
    """Return the files named, and those in folders named whose names `accepts` takes, sorted.

    Folders are searched recursively, by the rule for data (pipeline.data.listing), and results keep
    their place in them. Results that would share
    a name keep their suffix, or get a number. A missing file is reported when it is opened.

    Raises:
      ConfigError: there are no files.
    """
    found: list[tuple[Source, pathlib.PurePath]] = []
    for argument in arguments:
        root = as_path(argument) if is_remote(argument) else pathlib.Path(argument)
        if not root.is_dir():
            found.append((root, pathlib.PurePath(root.name)))
            continue
        inside = _inside(root, accepts)
        if not inside:
            raise ConfigError(f"{argument} has no files to work on in it or in its subfolders")
        found += [(root / path, path) for path in inside]
    if not found:
        raise ConfigError("name the files or folders to work on")
    return list(zip([path for path, _ in found], _names([name for _, name in found])))


def _inside(root: Source, accepts: Callable[[str], bool]) -> list[pathlib.PurePath]:
    """Return the relative paths of the files below a folder that count, sorted."""
    if not isinstance(root, pathlib.Path):
        return sorted(
            pathlib.PurePosixPath(name)
            for name in sizes(root)
            if is_visible(name) and accepts(name)
        )
    return sorted(pathlib.PurePath(name) for name, _ in walk(str(root), accepts))


def read(
    path: str | os.PathLike[str], channels: int
) -> tuple[UInt8[np.ndarray, "h w c"], list[str]]:
    """Return the pixels of an image file, and remarks on its conversion to 8-bit RGB or grey.

    Raises:
      DataError: the file cannot be read as an image.
    """
    try:
        remarks: list[str] = []
        return decode(pathlib.Path(path).read_bytes(), channels, remarks=remarks), remarks
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except Unreadable as error:
        raise DataError(f"{path}: {error}") from None


def refuse_overwriting(inputs: Sequence[Input], out: AnyPath, suffix: str) -> None:
    """Raise ConfigError if a result would replace one of the inputs."""
    originals = {_resolved(path) for path, _ in inputs}
    for _, name in inputs:
        target = as_path(out) / f"{name}{suffix}"
        if _resolved(target) in originals:
            raise ConfigError(
                f"--out {out}: {target} is an input and would be replaced: give another folder"
            )


def _resolved(path: AnyPath) -> str:
    return os.fspath(path if is_remote(path) else pathlib.Path(path).resolve())


def save_png(path: pathlib.Path, image: UInt8[np.ndarray, "h w c"]) -> None:
    """Write a PNG atomically; raise ConfigError if it cannot be written."""
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, "PNG")
    save(path, file.getvalue())


def save(path: pathlib.Path, content: bytes) -> None:
    """Write a file atomically, creating its folder; raise ConfigError if it cannot be written."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise ConfigError(f"--out {path}: {error.strerror}") from None


def for_each(
    inputs: Iterable[Input],
    work: Callable[[Source, str], dict[str, Any]],
    failed: Callable[[str], None],
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return the results of the good files, and {path, error} of the bad ones.

    `failed` is called with each error as it happens.
    """
    results, failures = [], []
    for path, name in inputs:
        try:
            results.append({"path": str(path)} | work(path, name))
        except DataError as error:
            failed(str(error))
            failures.append({"path": str(path), "error": str(error)})
    return results, failures


def _names(paths: list[pathlib.PurePath]) -> list[str]:
    stems = [str(path.with_suffix("")) for path in paths]
    names, taken = [], set()
    for path, stem in zip(paths, stems):
        name = plain = stem if stems.count(stem) == 1 else str(path)
        number = 2
        while name in taken:
            name, number = f"{plain}-{number}", number + 1
        taken.add(name)
        names.append(name)
    return names
