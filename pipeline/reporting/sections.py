"""Contents of a run's folder for a report: its figures, and the pictures and clips made with it."""

import contextlib
import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.metrics import catalogue
from pipeline.reporting import captions
from pipeline.storage import small_files

_NEWEST = ("samples", "reconstructions")  # what a run draws by itself, below samples/


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG or mp4 file, and what it shows."""

    path: pathlib.Path
    caption: str

    @property
    def is_clip(self) -> bool:
        return self.path.suffix == ".mp4"


@dataclasses.dataclass(frozen=True)
class Section:
    """One run.

    Attributes:
      title: the name of the run's folder.
      facts: (name, value) in words.
      losses: (step, training loss), for a curve.
    """

    title: str
    facts: list[tuple[str, str]]
    pictures: list[Picture]
    losses: list[tuple[int, float]]


def read(folder: pathlib.Path) -> Section:
    """Read the section of a run's folder.

    Pictures are those that `strata sample --json` and `strata reconstruct --json` have named in
    JSON files in the folder itself; without any, the newest that the run drew while it trained.
    What has another shape is left out.

    Raises:
      ConfigError: there is no run in the folder.
    """
    config = _object(folder / "config.json")
    if not isinstance(config.get("model"), dict):
        raise ConfigError(f"{folder} holds no run: there is no config.json of one")
    pictures = [
        picture
        for file in sorted(folder.glob("*.json"))
        for picture in _pictures(folder, _object(file))
    ]
    metrics = list(_lines(folder / "metrics.jsonl"))
    losses = [
        (line["step"], line["train"]["loss"])
        for line in metrics
        if isinstance(line.get("train"), dict) and _is_number(line["train"].get("loss"))
    ]
    facts = _facts(folder, config, metrics)
    return Section(folder.name, facts, pictures or _drawn(folder), losses)


def _facts(
    folder: pathlib.Path, config: dict[str, Any], metrics: list[dict[str, Any]]
) -> list[tuple[str, str]]:
    data = config.get("data")
    facts = [
        ("model", str(config["model"].get("name", "?"))),
        ("data", str(data.get("source", "?") if isinstance(data, dict) else "?")),
    ]
    evaluations = sorted(
        (file for file in folder.glob("eval/*.json") if re.fullmatch("[0-9]+", file.stem)),
        key=lambda file: int(file.stem),
    )
    if newest := _object(evaluations[-1]) if evaluations else _while_training(metrics):
        facts.append(("steps", str(newest.get("step", "?"))))
        count = newest.get("num_examples")
        known = f"{count:.0f}" if isinstance(count, int | float) else "?"
        facts.append(("held-out examples", known))
        for name, value in captions.figures(newest).items():
            metric = catalogue.find(name)
            if metric.in_summary:
                facts.append((metric.label, metric.format_value(value)))
    return facts


def _while_training(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the newest evaluation of the run itself; nothing if there is none."""
    evaluated = [line for line in metrics if isinstance(line.get("eval"), dict)]
    return {"step": evaluated[-1]["step"], **evaluated[-1]["eval"]} if evaluated else {}


def _pictures(folder: pathlib.Path, result: dict[str, Any]) -> Iterator[Picture]:
    """Yield the pictures that the JSON result of a command names."""
    if isinstance(result.get("files"), list):
        what = ", original and reconstruction" if result.get("side_by_side") is True else ""
        for each in filter(_is_object, result["files"]):
            if path := _found(folder, each.get("out")):
                caption = _caption(captions.of_reconstruction, each)
                yield Picture(path, f"{path.name}{what}: {caption}")
    elif (path := _found(folder, result.get("out"))) and "what" in result:
        yield Picture(path, _caption(captions.of_samples, result))


def _caption(words: Callable[[dict[str, Any]], str], result: dict[str, Any]) -> str:
    """Return a result in words, or nothing if it is not one of the command that it looks like."""
    try:
        return words(result)
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return ""


def _found(folder: pathlib.Path, out: Any) -> pathlib.Path | None:
    """Return where a result is now; it may have moved along with the run's folder."""
    if not isinstance(out, str) or not out.endswith((".png", ".mp4")):
        return None
    path = pathlib.Path(out)
    places = (path, folder / path.name, folder / path.parent.name / path.name)
    return next((place for place in places if place.is_file()), None)


def _drawn(folder: pathlib.Path) -> list[Picture]:
    found = []
    for kind in _NEWEST:
        files = sorted((folder / "samples").glob(f"{kind}_*.png"))
        found += [Picture(file, f"{kind} while training") for file in files[-1:]]
    return found


def _object(path: pathlib.Path) -> dict[str, Any]:
    """Return a JSON object, or nothing: not every .json in a folder is a result."""
    with contextlib.suppress(OSError):
        return small_files.content_of(path, _is_object) or {}
    return {}


def _lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    if path.is_file():
        for line in path.read_bytes().splitlines():
            if entry := small_files.entry_of(line, _is_line):  # a killed run leaves half a line
                yield entry


def _is_object(content: Any) -> bool:
    return isinstance(content, dict)


def _is_line(content: Any) -> bool:
    return isinstance(content, dict) and type(content.get("step")) is int


def _is_number(value: Any) -> bool:
    """Return whether a value is a number; a loss that was not finite is null."""
    return type(value) in (int, float)
