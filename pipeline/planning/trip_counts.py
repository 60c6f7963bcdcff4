"""Count how often a compiled program runs each computation, from while-loop trip counts in its HLO.

HLO text contains the body of a loop once, however many iterations it runs.
"""

import re
from collections import defaultdict

# `%name (arguments) -> result {`
COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.-]+) .*\{$")
# `body=%name`, `calls=%name`, `branch_computations={%a, %b}`
_CALLED = re.compile(
    r"(?P<how>body|condition|calls|to_apply|branch_computations|called_computations)"
    r"=(?P<names>\{[^}]*\}|%[\w.-]+)"
)
_NAME = re.compile(r"%([\w.-]+)")
_KNOWN = re.compile(r'known_trip_count"?:\{"n":"(?P<trips>\d+)"\}')
_CONSTANT = re.compile(r"%(?P<name>[\w.-]+) = s32\[\]\S* constant\((?P<value>\d+)\)")
_LIMIT = re.compile(r"ROOT .* compare\(%[\w.-]+, %(?P<name>[\w.-]+)\), direction=LT")


def run_counts(hlo: str) -> dict[str, int]:
    """Return how often the program runs each computation of an HLO module.

    The trip count of a loop is the compiler's `known_trip_count`, or else the limit of the loop
    counter, which starts at 0 in jax's loops. A loop of unknown length counts once.
    """
    bodies, entry = _computations(hlo)
    # computation -> [(caller, calls in one run of the caller)]
    calls: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for caller, lines in bodies.items():
        for line in lines:
            called = {
                match["how"]: _NAME.findall(match["names"]) for match in _CALLED.finditer(line)
            }
            for how, names in called.items():
                times = 1
                if how == "body":
                    times = _trip_count(line, bodies.get(called["condition"][0], []))
                for name in names:
                    calls[name].append((caller, times))
    known = {entry: 1}

    def of(name: str) -> int:
        if name not in known:
            known[name] = sum(times * of(caller) for caller, times in calls[name])
        return known[name]

    return {name: of(name) for name in [entry, *list(calls)]}


def _computations(hlo: str) -> tuple[dict[str, list[str]], str]:
    """Return the lines of each computation, and the name of the entry computation."""
    bodies: dict[str, list[str]] = {}
    lines: list[str] = []
    entry = ""
    for line in hlo.splitlines():
        header = COMPUTATION.match(line)
        if header is None:
            lines.append(line)
            continue
        lines = bodies[header["name"]] = []
        entry = header["name"] if header["entry"] else entry
    return bodies, entry


def _trip_count(loop: str, condition: list[str]) -> int:
    known = _KNOWN.search(loop)
    if known is not None:
        return int(known["trips"])
    constants = {
        match["name"]: int(match["value"])
        for match in map(_CONSTANT.search, condition)
        if match is not None
    }
    limit = next(
        (match["name"] for match in map(_LIMIT.search, condition) if match is not None), ""
    )
    return max(1, constants.get(limit, 1))
