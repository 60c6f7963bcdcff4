"""Rows of a .csv or .jsonl list, read strictly: every fault is one line with the file and the line.

A .csv names its columns in the first line, and has a field for every column in each further line;
an empty field is left out. Fields are separated by commas and may be quoted, but do not go over
several lines: a path with a line break needs a .jsonl.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.core.construct import nearest
from pipeline.core.errors import DataError

SUFFIXES = (".csv", ".jsonl")
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}

# (line, values by key): text in a .csv, any JSON value but null in a .jsonl
Row = tuple[int, dict[str, Any]]


def rows(file: str, keys: Sequence[str], *, path: str) -> Iterator[Row]:
    """Yield the rows of a list whose columns are some of `keys`, called `path` in messages.

    Raises:
      DataError: a fault in the list; the message has its line. OSError: it cannot be read.
    """
    with open(file, "rb") as opened:
        text = _decoded(opened.read(), path)
    found = _csv(text, keys, path) if path.lower().endswith(".csv") else _jsonl(text, path)
    for number, row in found:
        for key in row:
            if key not in keys:
                raise DataError(
                    f"{path}, line {number}: {key!r} is not known: {nearest(key, keys)}"
                )
        yield number, row


def _decoded(content: bytes, path: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line} is not text in UTF-8: {error.reason}") from None
    if "\0" in text:
        raise DataError(
            f"{path}, line {text.count(chr(10), 0, text.index(chr(0))) + 1}: a NUL byte"
        )
    return text


def _csv(text: str, keys: Sequence[str], path: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        where = f"{path}, line {line}"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{where}: {_quoting(str(error))}") from None
        if reader.line_num > line:
            raise DataError(
                f"{where}: a quoted field goes on in the next line: is a quote missing?"
            )
        if not fields:
            continue
        if not header:
            header = fields
            _check_header(header, keys, where)
            continue
        if len(fields) != len(header):
            raise DataError(
                f"{where} has {len(fields)} fields, and the first line names {len(header)} columns"
            )
        yield line, {key: value for key, value in zip(header, fields) if value}


def _quoting(words: str) -> str:
    """Return csv's words, or plainer ones for a quote that is not closed."""
    return "a quote is not closed" if "unexpected end" in words else f"wrong quoting: {words}"


def _check_header(header: Sequence[str], keys: Sequence[str], where: str) -> None:
    named = ", ".join(keys)
    for separator, name in _OTHER_SEPARATORS.items():
        if any(separator in field for field in header):
            raise DataError(f"{where}: the columns are separated by {name}: commas are right")
    for field in header:
        if field not in keys:
            raise DataError(
                f"{where} names the columns, and {field!r} is not known: {nearest(field, keys)}"
                if field
                else f"{where} has a column without a name: known: {named}"
            )
        if header.count(field) > 1:
            raise DataError(f"{where} names the column {field!r} twice")


def _jsonl(text: str, path: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            reason = str(error).partition(": line 1")[0]
            raise DataError(f"{where} is not JSON: {reason}") from None
        if not isinstance(row, dict):
            raise DataError(f"{where} is not an object: {line.strip()[:40]}")
        yield number, {key: value for key, value in row.items() if value is not None}


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} is there twice")
        found[key] = value
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
