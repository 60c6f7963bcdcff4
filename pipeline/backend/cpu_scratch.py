"""Memory that matrix products and convolutions take on a CPU, besides what XLA's analysis counts.

Eigen, which computes them, packs blocks of an operand into memory of its own. Measured in float32
on two cores (jaxlib 0.7 and later): a product packs all of its left operand, and a convolution up
to 58 numbers for each element of its output's batch and space, 28 with many output channels,
whatever its window. They run one after another, so that the largest one counts.
"""

import math
import re

_PACKED = 58
_ITEM = 4  # Eigen computes in float32.
_DIMENSIONS = r"\w+\[(?P<{}>[\d,]*)\]"
_RESULT = re.compile(r"%?(?P<name>[\w.\-]+) = " + _DIMENSIONS.format("result"))
_CONVOLUTION = re.compile(
    _DIMENSIONS.format("result") + r"\S* convolution\(.*dim_labels=\w+_\w+->(?P<labels>\w+)"
)
_PRODUCT = re.compile(r" dot\((?:\w+\[(?P<left>[\d,]*)\]\S* )?%?(?P<name>[\w.\-]+)")


def largest(hlo: str) -> int:
    """Return the bytes of the largest such scratch memory in a compiled program, given as text."""
    shapes = {match["name"]: _dimensions(match["result"]) for match in _RESULT.finditer(hlo)}
    most = 0
    for line in hlo.splitlines():
        if match := _CONVOLUTION.search(line):
            places = zip(match["labels"], _dimensions(match["result"]), strict=True)
            most = max(most, _PACKED * math.prod(size for label, size in places if label != "f"))
        elif match := _PRODUCT.search(line):
            left = (
                shapes.get(match["name"]) if match["left"] is None else _dimensions(match["left"])
            )
            most = max(most, math.prod(left or ()))
    return most * _ITEM


def _dimensions(text: str) -> tuple[int, ...]:
    return tuple(map(int, filter(None, text.split(","))))
