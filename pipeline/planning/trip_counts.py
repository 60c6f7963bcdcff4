"""How often a compiled program runs each of its computations: its text has the body of a loop a single time."""

import re
from collections import defaultdict

# `%name (arguments) -> result {`
COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.-]+) .*\{$")
# `body=%name`, `calls=%name`, `branch_computations={%a, %b}`
_CALLED = re.compile(
    r"(?P<how>body|condition|calls|to_apply|branch_computations|called_computations)=(?P<names>\{[^}]*\}|%[\w.-]+)"
)
_NAME = re.compile(r"%([\w.-]+)")
_TOLD = re.compile(r'known_trip_count"?:\{"n":"(?P<turns>\d+)"\}')
_CONSTANT = re.compile(r"%(?P<name>[\w.-]+) = s32\[\]\S* constant\((?P<value>\d+)\)")
_LIMIT = re.compile(r"ROOT .* compare\(%[\w.-]+, %(?P<name>[\w.-]+)\), direction=LT")


def turns(hlo: str) -> dict[str, int]:
    """Computation of an HLO module -> how often the program runs it; a loop of unknown length counts once.

    A loop's turns are those that the compiler tells, or the limit of its counter, which in jax's loops begins at 0.
    """
    bodies, entry = _computations(hlo)
    calls: dict[str, list[tuple[str, int]]] = defaultdict(
        list
    )  # computation -> (caller, times a run of the caller)
    for caller, lines in bodies.items():
        for line in lines:
            called = {
                match["how"]: _NAME.findall(match["names"]) for match in _CALLED.finditer(line)
            }
            for how, names in called.items():
                times = (
                    _turns_of(line, bodies.get(called["condition"][0], [])) if how == "body" else 1
                )
                for name in names:
                    calls[name].append((caller, times))
    known = {entry: 1}

    def of(name: str) -> int:
        if name not in known:
            known[name] = sum(times * of(caller) for caller, times in calls[name])
        return known[name]

    return {name: of(name) for name in [entry, *list(calls)]}


def _computations(hlo: str) -> tuple[dict[str, list[str]], str]:
    """Computation -> its lines, and the name of the one that the program begins with."""
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


def _turns_of(loop: str, condition: list[str]) -> int:
    told = _TOLD.search(loop)
    if told is not None:
        return int(told["turns"])
    constants = {
        match["name"]: int(match["value"])
        for match in map(_CONSTANT.search, condition)
        if match is not None
    }
    limit = next(
        (match["name"] for match in map(_LIMIT.search, condition) if match is not None), ""
    )
    return max(1, constants.get(limit, 1))
