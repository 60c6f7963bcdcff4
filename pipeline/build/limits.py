"""The ranges of a recipe's numbers, and one check of all of them before anything starts.

The arguments of models, objectives and datasets are checked by their types where they are built;
here, their numbers are checked to be finite.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

from pipeline.core.errors import ConfigError, shortened

_LARGEST = 2**31 - 1  # steps and sizes are 32-bit integers on a device
_WIDEST = 2**24  # of a network's widths, depths and counts


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `least` up to `most`, or below it; `whole` ones are integers."""

    least: float | int
    most: float | int = math.inf
    whole: bool = False
    below: bool = False

    def holds(self, value: Any) -> bool:
        """Return whether a value is such a number; True and False are none."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        most = min(self.most, _LARGEST) if self.whole else self.most
        upper = value < most if self.below else value <= most
        return self.least <= value < math.inf and upper

    def __str__(self) -> str:
        kind = "an integer" if self.whole else "a number"
        if self.whole and self.least == 1 and self.most == math.inf:
            return f"{kind} above 0"
        if self.most == math.inf:
            return (
                f"a finite number of at least {self.least:g}"
                if not self.whole
                else (f"{kind} of at least {self.least:g}")
            )
        return f"{kind} from {self.least:g} to {'below ' if self.below else ''}{self.most:g}"


_COUNT, _SIZE = Range(0, whole=True), Range(1, whole=True)
_AMOUNT, _SHARE = Range(0), Range(0, 1)
_DECAY = Range(0, 1, below=True)
_AXIS = Range(-1, whole=True)

RANGES: dict[str, Range] = {
    **dict.fromkeys(("num_steps", "batch_size", "grad_accum_steps"), _SIZE),
    "seed": _COUNT,
    "ema": _SHARE,
    **{f"mesh.{axis}": _AXIS for axis in ("replica", "fsdp", "context")},
    **{
        f"checkpoint.{key}": _COUNT
        for key in ("every", "keep", "keep_every", "keep_best", "max_failures")
    },
    **{f"eval.{key}": _COUNT for key in ("every", "num_examples", "batch_size")},
    **dict.fromkeys(("log.every", "sample.every", "sample.num"), _COUNT),
    **dict.fromkeys(("divergence.patience", "divergence.max_rollbacks"), _COUNT),
    **dict.fromkeys(
        ("divergence.spike_sigma", "watchdog.minutes", "preemption.grace_seconds"), _AMOUNT
    ),
    **dict.fromkeys(
        (
            "data.image_size",
            "data.channels",
            "data.num_frames",
            "data.num_features",
            "data.num_tokens",
        ),
        _SIZE,
    ),
    **dict.fromkeys(("data.stride", "data.clips_per_video", "data.bits"), _SIZE),
    **dict.fromkeys(("data.num_workers", "data.max_unreadable"), _COUNT),
    "data.fps": _AMOUNT,
    "data.image_fraction": _SHARE,
    "data.eval_fraction": _DECAY,
}
# The keys of an optimizer, in config.optimizer and config.discriminator.optimizer.
OPTIMIZER: dict[str, Range] = {
    **dict.fromkeys(("learning_rate", "final_learning_rate", "eps"), _AMOUNT),
    **dict.fromkeys(("weight_decay", "l2", "clip_norm", "skip_norm"), _AMOUNT),
    **dict.fromkeys(("b1", "b2"), _DECAY),
    **dict.fromkeys(("warmup_steps", "max_skips"), _COUNT),
}
RANGES |= {
    f"{section}.{key}": each
    for section in ("optimizer", "discriminator.optimizer")
    for key, each in OPTIMIZER.items()
}
# Numbers that mean nothing at 0 while the interval beside them is not 0.
_WHILE_ON = {"eval.num_examples": "eval.every", "sample.num": "sample.every"}
_TEXTS = ("dtype", "step", "checkpoint.best", "checkpoint.folder")


def check(config: Mapping[str, Any], *, where: str = "config") -> None:
    """Check every number of a complete recipe.

    Raises:
      ConfigError: a value is no number, or out of range, or not finite; the message has its key.
    """
    for key, each in RANGES.items():
        value = _at(config, key)
        if value is not _ABSENT and not each.holds(value):
            raise ConfigError(f"{where}.{key}={shown(value)} must be {each}")
    for key, every in _WHILE_ON.items():
        if _at(config, every) != 0 and _at(config, key) == 0:
            raise ConfigError(
                f"{where}.{key}=0 must be an integer above 0, because {every} is not 0"
            )
    for key in _TEXTS:
        if not isinstance(_at(config, key), str):
            raise ConfigError(f"{where}.{key}={_at(config, key)!r} must be text")
    for section in ("model", "discriminator"):
        _check_sizes(config[section], f"{where}.{section}")
    for pattern, axes in config["sharding"].items():
        _check_override(pattern, axes, f"{where}.sharding")


def _check_override(pattern: str, axes: Any, where: str) -> None:
    """Check that {pattern: axes} can override the sharding of arrays; axes are named once."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{where}: {pattern!r} is no regular expression: {error}") from None
    named = [axis for axis in axes if axis is not None] if isinstance(axes, list | tuple) else [0]
    if not all(isinstance(axis, str) for axis in named) or len(set(named)) < len(named):
        raise ConfigError(
            f"{where}[{pattern!r}]={shown(axes)} must be a list of None and axes of the mesh, each "
            "once"
        )


def check_plain(value: Any, where: str = "config") -> None:
    """Check that a value is made of finite numbers, text, None, sequences and dicts with text keys.

    Raises:
      ConfigError: it is not; the message has the key.
    """
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not isinstance(key, str):
                raise ConfigError(f"{where} has the key {key!r}: keys must be text")
            check_plain(each, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            check_plain(each, f"{where}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}={value} must be finite")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ConfigError(f"{where}={shown(value)} must have fewer than 64 bits")
    elif not isinstance(value, bool | int | float | str | None):
        raise ConfigError(
            f"{where}={shown(value)} is a {type(value).__name__}: plain numbers, text, lists and "
            "dicts are right"
        )


def shown(value: Any) -> str:
    """Return a value as Python spells it, on one line of at most 80 letters."""
    try:
        text = repr(value)
    except Exception:  # of a user's class, whose own method fails
        text = object.__repr__(value)
    return shortened(" ".join(text.split()))


def whole_numbers(config: dict[str, Any]) -> None:
    """Replace numbers like 5e8 by integers, in place, where integers belong."""
    for key, each in RANGES.items():
        section, _, name = key.rpartition(".")
        if each.whole:
            _make_whole(_at(config, section) if section else config, name)
    for stage in config["stages"]:
        for key in ("num_steps", *(key for key, each in RANGES.items() if each.whole)):
            _make_whole(stage, key)


def _make_whole(node: Any, name: str) -> None:
    value = node.get(name) if isinstance(node, dict) else None
    if isinstance(value, float) and value.is_integer():
        node[name] = int(value)


_ABSENT = object()


def _at(config: Mapping[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return _ABSENT
        node = node[part]
    return node


def _check_sizes(value: Any, where: str) -> None:
    """Check integers of a network: widths, depths and counts are 0 or more, and no typing error."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            _check_sizes(each, f"{where}.{key}")
        return
    for each in value if isinstance(value, list | tuple) else [value]:
        if isinstance(each, int) and not 0 <= each <= _WIDEST:
            raise ConfigError(f"{where}={value}: integers must be from 0 to {_WIDEST}")
