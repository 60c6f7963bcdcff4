"""Help of a command: its module's docstring and its flags, for the width of the terminal."""

import contextvars
import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from absl import flags

_MOST = 100  # columns
_NAME = 30  # columns of a flag's name and value, where they fit

# Flags of the commands that are asked for instead of shown, or None.
_asked: contextvars.ContextVar[list[flags.FlagValues] | None] = contextvars.ContextVar(
    "asked", default=None
)


def show(values: flags.FlagValues, doc: str, after: str = "") -> None:
    """Print a command's help: its docstring, its flags, and what comes `after` them."""
    asked = _asked.get()
    if asked is not None:
        asked.append(values)
        return
    width = columns()
    parts = [reflowed(doc, width), *_flag_lines(values, width), after]
    print("\n\n".join(part for part in parts if part))


def flags_of(run: Callable[[list[str]], int], argv: list[str]) -> list[flags.Flag]:
    """Return the flags of a command, sorted by name; nothing is printed or run."""
    found: list[flags.FlagValues] = []
    token = _asked.set(found)
    try:
        run([*argv, "--help"])
    finally:
        _asked.reset(token)
    return [flag for values in found for flag in flags_in(values)]


def flags_in(values: flags.FlagValues) -> list[flags.Flag]:
    """Return the flags of a set, sorted by name."""
    return [values[name] for name in sorted(values)]


def columns() -> int:
    """Return the width of help: the terminal's, or 80 columns where there is none."""
    return min(shutil.get_terminal_size((80, 24)).columns, _MOST)


def reflowed(text: str, width: int) -> str:
    """Return a docstring with its paragraphs and synopses folded to a width.

    Indented text and tables stay as they are.
    """
    blocks = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join("\n".join(_block(block.strip("\n"), width)) for block in blocks)


def rows(pairs: dict[str, str], width: int, indent: int = 18) -> str:
    """Return one entry for each pair of a name and a text, which is folded beside the name."""
    lines: list[str] = []
    for name, text in pairs.items():
        lines += _entry(name, text, width, indent)
    return "\n".join(lines)


def _block(block: str, width: int) -> Iterator[str]:
    lines = block.split("\n")
    if lines[0].startswith("strata "):
        for call in block.replace("\nstrata ", "\0strata ").split("\0"):
            yield from _synopsis(call, width)
    elif any(line.startswith(" ") or "   " in line for line in lines):
        yield from lines
    else:
        yield from textwrap.wrap(" ".join(lines), width, break_on_hyphens=False)


def _synopsis(call: str, width: int) -> Iterator[str]:
    """Fold a synopsis between its arguments; what is in brackets stays together."""
    words: list[str] = []
    for word in call.split():
        if words and words[-1].count("[") > words[-1].count("]"):
            words[-1] += f" {word}"
        else:
            words.append(word)
    line = ""
    for word in words:
        if line.strip() and len(line) + 1 + len(word) > width:
            yield line
            line = f"    {word}"
        else:
            line = f"{line} {word}" if line else word
    yield line


def _flag_lines(values: flags.FlagValues, width: int) -> list[str]:
    found = flags_in(values)
    if not found:
        return []
    first = [flag for flag in found if flag.name in ("config", "workdir", "codec", "from", "out")]
    lines = ["Flags:"]
    for flag in [*first, *(flag for flag in found if flag not in first)]:
        lines += _entry(_spelled(flag), _purpose(flag), width, _NAME)
    return ["\n".join(lines)]


def _entry(name: str, text: str, width: int, indent: int) -> list[str]:
    lines = textwrap.wrap(text, max(width - indent, 20), break_on_hyphens=False) or [""]
    head, margin = f"  {name}", " " * indent
    if len(head) + 2 > indent:
        return [head, *(margin + line for line in lines)]
    return [f"{head:<{indent}}{lines[0]}".rstrip(), *(margin + line for line in lines[1:])]


def _spelled(flag: Any) -> str:
    """Return a flag with a word for its value."""
    if flag.boolean:
        return f"--[no]{flag.name}"
    return f"--{flag.name} {value_of(flag)}"


def value_of(flag: Any) -> str:
    """Return a word for the value that a flag takes."""
    if flag.name == "config":
        return "F[:arg]"
    if is_path(flag):
        return "PATH"
    if choices(flag):
        return "NAME"
    kinds = {"int": "N", "float": "X", "comma separated list of strings": "A,B"}
    return kinds.get(flag.flag_type(), "TEXT")


def is_path(flag: Any) -> bool:
    """Return whether the value of a flag is a path."""
    # `strata train` checks its folder itself, after its processes have found each other.
    return flag.name == "workdir" or getattr(flag, "is_path", False)


def choices(flag: Any) -> list[str]:
    """Return the values that a flag may have, or nothing if they are not listed."""
    return list(getattr(flag, "enum_values", None) or getattr(flag.parser, "enum_values", []))


def _purpose(flag: Any) -> str:
    text = re.sub(r"^<[^>]*>: ", "", " ".join((flag.help or "").split()))  # absl's own list
    if choices(flag):
        text += f" One of {', '.join(choices(flag))}."
    if flag.default not in (None, "", False):
        default = "yes" if flag.default is True else flag.default_as_str.strip("'")
        text += f" Default: {default}."
    return text
