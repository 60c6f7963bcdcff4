"""--label of `strata encode` and `strata reconstruct`: the classes of the files.

--label is one class for all files; a .csv or .jsonl list with the columns `path`, relative to the
list, and `label`; or `folders`, which takes the names of the files' folders for those of the
classes: numbers, or as many names as there are classes, which count in their order.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from pipeline.cli.file_batch import Input
from pipeline.core import labels
from pipeline.core.errors import ConfigError, DataError
from pipeline.data import list_file
from pipeline.storage.paths import is_remote

FOLDERS = "folders"


def define(values: flags.FlagValues) -> None:
    """Define --label."""
    flags.DEFINE_string(
        "label",
        None,
        "Class of all files, a number from 0; a .csv or .jsonl list of `path` and `label`; or "
        "`folders`, whose names are the classes.",
        flag_values=values,
    )


def of_files(text: str | None, inputs: Sequence[Input], codec: Any) -> dict[str, int]:
    """Return the label of each input by the name of its result; empty without --label.

    Raises:
      ConfigError: the codec takes no labels, or one is no class of it.
      DataError: the list cannot be read, or lacks a file.
    """
    if text is None:
        return {}
    num_classes = labels.num_classes_of(codec)
    if not num_classes:
        raise ConfigError(f"--label {text}: this codec takes no labels")
    names = [name for _, name in inputs]
    if text == FOLDERS:
        found = _of_folders(inputs, num_classes)
    elif text.lower().endswith(list_file.SUFFIXES):
        found = _of_list(text, inputs)
    else:
        found = [_number(text, f"--label {text}")] * len(inputs)
    for (path, _), label in zip(inputs, found, strict=True):
        try:
            labels.checked(label, num_classes, 1)
        except DataError as error:
            raise ConfigError(f"--label {text}: {path}: {error}") from None
    return dict(zip(names, found, strict=True))


def _of_folders(inputs: Sequence[Input], num_classes: int) -> list[int]:
    folders = [pathlib.PurePosixPath(os.fspath(path)).parent.name for path, _ in inputs]
    names = sorted(set(folders))
    if all(name.isdecimal() for name in names):
        return [int(name) for name in folders]
    if len(names) != num_classes:
        raise ConfigError(
            f"--label {FOLDERS}: the files are in folders of {len(names)} names, "
            f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}, and this codec has "
            f"{num_classes} classes: name the folders by the classes' numbers, or give a list"
        )
    return [names.index(name) for name in folders]


def _of_list(text: str, inputs: Sequence[Input]) -> list[int]:
    if is_remote(text):
        raise ConfigError(f"--label {text}: the list is a local file: copy it first")
    known: dict[str, int] = {}
    try:
        for line, row in list_file.rows(text, ("path", "label"), path=text):
            where = f"{text}, line {line}"
            if not isinstance(row.get("path"), str):
                raise DataError(f"{where} has no path")
            place = _place(os.path.join(os.path.dirname(text), row["path"]))
            known[place] = _number(str(row.get("label", labels.UNKNOWN)), where)
    except OSError as error:
        raise ConfigError(f"--label {text}: {error.strerror}") from None
    for path, _ in inputs:
        if _place(os.fspath(path)) not in known:
            raise DataError(f"--label {text} has no line for {path}")
    return [known[_place(os.fspath(path))] for path, _ in inputs]


def _place(path: str) -> str:
    return path if is_remote(path) else os.path.realpath(path)


def _number(text: str, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(
            f"{where}: the label {text!r} must be a number from 0, or -1 for an unknown class"
        ) from None
