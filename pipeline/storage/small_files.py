"""Reading of JSON files that may be damaged: empty, cut off, zero-filled or of another shape.

A folder of the file's name counts as a damaged file.

The owner of a folder sets a damaged file aside as NAME.damaged, reports it in one line, and goes on
without it. Others only read.
"""

import json
import pathlib
from collections.abc import Callable
from typing import Any

from pipeline.core.notices import notice
from pipeline.storage.paths import Path

SUFFIX = ".damaged"
Check = Callable[[Any], bool]


def content_of(path: Path | pathlib.Path, is_right: Check) -> Any:
    """Return the content of a JSON file, or None if there is none or it is damaged.

    Args:
      is_right: whether content has the shape that is expected.

    Raises:
      OSError: the file is there and cannot be read.
    """
    content, _ = _read(path, is_right)
    return content


def mend(path: Path | pathlib.Path, is_right: Check, then: str, *, keep: bool = False) -> bool:
    """Set a damaged JSON file aside; return whether it was damaged.

    Args:
      then: what happens without it, for the message.
      keep: leave the file too, to be replaced.
    """
    _, damage = _read(path, is_right)
    if damage:
        kept = set_aside(path, keep=keep)
        notice(f"{path} is damaged ({damage}), and kept as {kept.name}: {then}")
    return bool(damage)


def mend_lines(path: pathlib.Path, is_right: Check, keep: Check = lambda entry: True) -> None:
    """Set the damaged lines of a JSONL file aside, and drop others for which `keep` is False.

    The lines that stay end with a newline, so that more can be appended. The file is written anew
    only if something changes.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        notice(f"{path} is a folder, and kept as {set_aside(path).name}")
        return
    kept, damaged, changed = [], [], False
    for line in lines:
        entry = entry_of(line, is_right)
        if entry is None:
            damaged.append(line)
        elif keep(entry):
            kept.append(line if line.endswith(b"\n") else line + b"\n")
            changed |= kept[-1] is not line
        else:
            changed = True
    if damaged:
        aside = path.with_name(path.name + SUFFIX)
        with aside.open("ab") as file:
            file.write(b"".join([*damaged, b"" if damaged[-1].endswith(b"\n") else b"\n"]))
        what = "1 line" if len(damaged) == 1 else f"{len(damaged)} lines"
        notice(f"{path}: {what} could not be read, kept in {aside.name}")
    if damaged or changed:
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(b"".join(kept))
        partial.replace(path)


def parsed(text: str | bytes) -> Any:
    """Return the content of a JSON text. Raises ValueError for anything else, however deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def entry_of(line: bytes, is_right: Check) -> Any:
    """Return the content of a line of JSON, or None if it is damaged."""
    try:
        entry = parsed(line)
    except ValueError:
        return None
    return entry if is_right(entry) else None


def set_aside(path: Path | pathlib.Path, *, keep: bool = False) -> Any:
    """Give a file the first free name of NAME.damaged, NAME.damaged2, ...; return the new path.

    With `keep` the file stays as well; a folder in its place does not.
    """
    target, number = path.with_name(path.name + SUFFIX), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}{SUFFIX}{number}")
    if path.is_dir():
        return path.rename(target)
    target.write_bytes(path.read_bytes())  # a bucket has no renames
    if not keep:
        path.unlink()
    return target


def _read(path: Path | pathlib.Path, is_right: Check) -> tuple[Any, str]:
    """Return the content, and what is wrong with it."""
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except IsADirectoryError:
        return None, "a folder"
    if not text.strip(b"\0 \t\r\n"):
        return None, "empty" if not text else "nothing but zeros or spaces"
    try:
        content = parsed(text)
    except ValueError:
        return None, "no JSON"
    return (content, "") if is_right(content) else (None, "JSON of another shape")
