"""The catalogue of metrics, each declared once in a file of this folder.

A file declares `METRICS`, a tuple of `Metric`. Evaluation, console output, model cards, checkpoint
retention, help texts and docs read these entries, so a new file is all that a new metric needs.

    catalogue.find("psnr").format_value(31.2)       # "31.20 dB"
    catalogue.frame_metrics(256, 256)               # {"psnr": function, "ssim": function, ...}

Entries name their function by its path and do not import it: `strata eval --help` lists the
catalogue without loading JAX.
"""

import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pipeline.core.construct import modules_of, nearest
from pipeline.core.errors import ConfigError

# What a metric is computed from, in the order in which reports list them.
MODALITIES = (
    "likelihood",
    "image",
    "video",
    "vector",
    "text",
    "latent",
    "codebook",
    "factors",
    "class",
)
_PACKAGE = "pipeline.metrics"
_NOT_METRICS = ("catalogue", "functions")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Metric:
    """One figure that an evaluation can report.

    Attributes:
      name: key in JSON results and logs; "group.key" for a value inside a nested report.
      label: name for people.
      unit: unit for people; empty for a pure number.
      larger_is_better: None where neither direction is better.
      format: format spec of one number.
      protocol: how the figure is computed, for result files.
      modality: one of MODALITIES. "image" metrics also take the frames of a clip, "video" metrics
        compare whole clips.
      function: path of the function, or empty where the evaluator sums the figure itself. Without
        `network` it maps (a, b), images [b h w c] or clips [b t h w c], to [b].
      arguments: keyword arguments of the function.
      sides: smallest and largest min(height, width) that the metric applies to; None is no limit.
      network: frozen network whose weights the metric needs; empty for none.
      option: option of an evaluation without which the figure is not measured; empty for none.
      per_layer: whether the figure is a list with one number per layer, top first.
      restates: name of the metric that this one repeats in another unit; reports for people and
        training logs leave it out.
      in_summary: whether the one-line summary of an evaluation shows it.
    """

    name: str
    label: str
    unit: str
    larger_is_better: bool | None
    format: str
    protocol: str
    modality: str
    function: str = ""
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sides: tuple[int, int | None] = (1, None)
    network: str = ""
    option: str = ""
    per_layer: bool = False
    restates: str = ""
    in_summary: bool = False

    @property
    def better(self) -> str:
        """Return "higher", "lower", or "-" where neither is better."""
        return {True: "higher", False: "lower", None: "-"}[self.larger_is_better]

    @property
    def in_training(self) -> bool:
        """Return whether evaluations during training log it: they have no networks or options."""
        return not (self.network or self.option or self.restates)

    def is_better(self, value: float, other: float) -> bool:
        """Return whether `value` is strictly better than `other`; False without a direction."""
        if self.larger_is_better is None:
            return False
        return value > other if self.larger_is_better else value < other

    def format_value(self, value: Any) -> str:
        """Return a number, or a list with one per layer, with its unit: "31.20 dB"."""
        numbers = value if isinstance(value, list | tuple) else [value]
        return f"{' '.join(format(each, self.format) for each in numbers)} {self.unit}".strip()

    def is_value(self, value: Any) -> bool:
        """Return whether this can be a value of the metric, and be formatted."""
        try:
            self.format_value(value)
        except (OverflowError, TypeError, ValueError):
            return False
        return True

    def describe(self, value: Any) -> str:
        """Return a value with the metric's label and unit: "PSNR 31.20 dB"."""
        return f"{self.label} {self.format_value(value)}"

    def load_function(self) -> Callable[..., Any]:
        """Import and return the function, with `arguments` bound."""
        module, _, attribute = self.function.rpartition(".")
        function = getattr(importlib.import_module(module), attribute)
        return functools.partial(function, **self.arguments) if self.arguments else function


@functools.cache
def entries() -> tuple[Metric, ...]:
    """Return every metric of the folder: by modality, the summary's first, then by file."""
    found = []
    for module in modules_of(_PACKAGE):
        if module not in _NOT_METRICS:
            found += importlib.import_module(f"{_PACKAGE}.{module}").METRICS
    return tuple(
        sorted(found, key=lambda each: (MODALITIES.index(each.modality), not each.in_summary))
    )


@functools.cache
def by_name() -> Mapping[str, Metric]:
    """Return the metrics by name, in the order of `entries`."""
    return MappingProxyType({metric.name: metric for metric in entries()})


def find(name: str, *, where: str = "metric") -> Metric:
    """Return the metric of that name; `where` is the setting that names it, for messages.

    Raises:
      ConfigError: there is no such metric; the message names the nearest one.
    """
    if name not in by_name():
        raise ConfigError(f"{where}={name!r} is not a metric: {nearest(name, by_name())}")
    return by_name()[name]


def frame_metrics(height: int, width: int, *, restated: bool = False) -> dict[str, Callable]:
    """Return the functions that compare frames of this size, by name, with no network needed.

    `restated` includes metrics that repeat another one in a different unit.
    """
    side = min(height, width)
    return {
        metric.name: metric.load_function()
        for metric in entries()
        if metric.modality == "image"
        and metric.function
        and not metric.network
        and metric.sides[0] <= side <= (metric.sides[1] or side)
        and (restated or not metric.restates)
    }


def metrics_of(modality: str) -> dict[str, Callable]:
    """Return the functions of a modality by name, with no network needed."""
    return {
        metric.name: metric.load_function()
        for metric in entries()
        if metric.modality == modality and metric.function and not metric.network
    }


def reported(result: Mapping[str, Any]) -> dict[Metric, Any]:
    """Return the metrics in an evaluation's result that are for people, in catalogue order.

    Values of nested reports ("active_units", "feature_distance") are included; None, and what is no
    value, are left out.
    """
    flat = dict(result)
    for group, content in result.items():
        if isinstance(content, Mapping):
            flat |= content
            flat |= {f"{group}.{key}": value for key, value in content.items()}
    return {
        metric: flat[metric.name]
        for metric in entries()
        if not metric.restates and metric.is_value(flat.get(metric.name))
    }


def protocol(names: Iterable[str], details: Mapping[str, str] | None = None) -> str:
    """Return how the named figures are computed; names outside the catalogue are left out.

    `details` adds to a metric what only its caller knows, such as the weights of its network.
    """
    parts = []
    for name in names:
        if name in by_name():
            extra = (details or {}).get(name)
            parts.append(f"{name}: {by_name()[name].protocol}" + (f", {extra}" if extra else ""))
    return "; ".join(parts)


def help_lines() -> dict[str, dict[str, str]]:
    """Return label, unit and direction of metrics by modality and name, for a command's help."""
    found: dict[str, dict[str, str]] = {}
    for each in entries():
        unit = f", {each.unit}" if each.unit else ""
        better = "" if each.better == "-" else f" ({each.better} is better)"
        found.setdefault(each.modality, {})[each.name] = f"{each.label}{unit}{better}"
    return found
