"""A need of memory by the size of what is coded, between sizes at which it is known."""

import bisect
import math

Number = int | float


class Curve:
    """Lines between known points, and through the last two, or the first two, beyond them.

    Activations of convolutions grow in proportion to the number of elements, over what does not
    depend on it. A single point is joined with the origin.
    """

    def __init__(self) -> None:
        self._points: list[tuple[Number, Number]] = []

    def add(self, size: Number, need: Number) -> None:
        """Add a known point; sizes and needs are above 0."""
        self._points = [each for each in self._points if each[0] != size]
        bisect.insort(self._points, (size, need))

    def at(self, size: Number) -> Number:
        """Return the need at a size. There must be a known point."""
        points = self._points if len(self._points) > 1 else [(0, 0), *self._points]
        after = bisect.bisect_left(points, (size, -math.inf))
        first = min(max(after - 1, 0), len(points) - 2)
        (low, less), (high, more) = points[first : first + 2]
        return max(0, less + (more - less) * (size - low) / (high - low))
