"""Limits on a model whose settings a stranger wrote: its weights file says how large it is.

The names and shapes in the file's header bound what the settings may ask for. `check` refuses
settings that no model has before anything is built of them, and `counted` stops a construction,
which has shapes in place of arrays, as soon as it makes more variables than the file has tensors.
"""

import contextlib
import dataclasses
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from flax import nnx

from pipeline.core.errors import CheckpointError, shortened

MOST_INT = 8_192  # widths, depths, sides of images
MOST_CODES = 2**20  # of a codebook
MOST_STEPS = 2**40  # of training, in a schedule
MOST_ITEMS = 4_096  # of a list
MOST_LEAVES = 20_000  # of all settings
MOST_TEXT = 65_536  # letters
MOST_IN_TEXT = 65_536  # sum of the numbers in a text, such as "32x11,32d2"
_DEPTH = 32
_SPARE = 256  # variables beside the weights, such as the counters of nnx.Rngs
# Elements, which are not allocated, that a wrong setting may add: the reader of the file then says
# which tensors do not fit.
_SPARE_ELEMENTS = 2**24
_CODES = re.compile(r"codes|codebook|embeddings")
_TEXTS = ("_name_or_path", "_diffusers_version")  # are for people


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The number of tensors in a file and of all their elements."""

    tensors: int
    elements: int

    @staticmethod
    def of(shapes: Mapping[str, Any]) -> "Bounds":
        """Return the bounds for tensors of these shapes, which have an attribute `shape`."""
        return Bounds(len(shapes), sum(math.prod(each.shape) for each in shapes.values()))

    @contextlib.contextmanager
    def counted(self, where: str) -> Iterator[None]:
        """Refuse, in this thread, to make twice the nnx variables or elements that the file has.

        The factor is for files that hold several of our arrays in one tensor.

        Raises:
          CheckpointError: inside, at the first variable beyond the bounds.
        """
        left = {
            "variables": 2 * self.tensors + _SPARE,
            "elements": 2 * self.elements + _SPARE_ELEMENTS,
        }
        thread, variables = threading.get_ident(), cast(Any, nnx.Variable)
        construct = variables.__init__

        def counting(variable: Any, *arguments: Any, **settings: Any) -> None:
            construct(variable, *arguments, **settings)
            if threading.get_ident() != thread:
                return
            left["variables"] -= 1
            left["elements"] -= math.prod(getattr(variable.get_value(), "shape", ()))
            if min(left.values()) < 0:
                raise CheckpointError(
                    f"{where} asks for a larger model than its weights, which are "
                    f"{self.tensors:,} tensors of {self.elements:,} numbers"
                )

        with _lock:
            variables.__init__ = counting
            try:
                yield
            finally:
                variables.__init__ = construct


_lock = threading.Lock()


def check(settings: Any, where: str) -> None:
    """Check settings from a JSON file, for the sizes that any model may have.

    Raises:
      CheckpointError: a number, list, text or the whole is too large; the message begins with
        `where` and names it.
    """
    leaves = 0
    stack: list[tuple[str, Any, int]] = [("", settings, 0)]
    while stack:
        name, value, depth = stack.pop()
        leaves += 1
        problem = _problem(name, value, depth)
        if leaves > MOST_LEAVES:
            name, problem = "", f"has more than {MOST_LEAVES:,} settings"
        if problem:
            shown = f" {shortened(name)}" if name else ""
            raise CheckpointError(f"{where}:{shown} {problem}")
        if isinstance(value, Mapping):
            stack += [(f"{name}.{key}".lstrip("."), each, depth + 1) for key, each in value.items()]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            stack += [(name, each, depth + 1) for each in value]


def _problem(name: str, value: Any, depth: int) -> str:
    """Return what is wrong with a value, or ""."""
    if depth > _DEPTH:
        return f"is nested more than {_DEPTH} deep"
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int):
        most = _most(name)
        return "" if abs(value) <= most else f"is {_shown(value)}, and {most:,} is the most"
    if isinstance(value, str):
        return _problem_of_text(name, value)
    if isinstance(value, Mapping | Sequence) and len(value) > MOST_ITEMS:
        return f"has {len(value):,} items, and {MOST_ITEMS:,} is the most"
    return ""


def _problem_of_text(name: str, text: str) -> str:
    if len(text) > MOST_TEXT:
        return f"has {len(text):,} letters, and {MOST_TEXT:,} is the most"
    if name.rpartition(".")[2] in _TEXTS:
        return ""
    numbers = re.findall(r"\d+", text)
    if any(len(each) > 9 for each in numbers) or sum(map(int, numbers)) > MOST_IN_TEXT:
        return f"is {shortened(text, 40)!r}, with numbers that add to more than {MOST_IN_TEXT:,}"
    return ""


def _most(name: str) -> int:
    last = name.rpartition(".")[2]
    if last.endswith("steps"):
        return MOST_STEPS
    return MOST_CODES if _CODES.search(last) else MOST_INT


def _shown(number: int) -> str:
    return f"{number:,}" if abs(number) < 10**18 else "a number of more than 18 digits"
