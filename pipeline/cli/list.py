"""List recipes with model, parameters, data and purpose, and the codecs that can be imported.

strata list [recipes] [codecs] [--json F]

Recipes are the files of configs/ in this folder, or else in Strata's checkout. "included" is data
that comes with a dependency; recipes with other data take yours by --config.data.path.

Example:
  strata list recipes
"""

import ast
import os
import pathlib
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from pipeline.cli import flags as cli_flags
from pipeline.cli import help_text, recipes
from pipeline.core.construct import nearest, summaries
from pipeline.core.errors import ConfigError

SUBCOMMANDS = ("recipes", "codecs")
_COLUMNS = ("recipe", "model", "parameters", "data", "purpose")
_PARAMETERS = re.compile(r"(\d[\d.,]*)([KM]?) parameters")


def run(argv: list[str]) -> int:
    """Run the command of the module's docstring."""
    values = cli_flags.new()
    cli_flags.define_json(values)
    kinds = cli_flags.parse(values, argv, __doc__)
    if kinds is None:
        return 0
    for kind in kinds:
        if kind not in SUBCOMMANDS:
            raise ConfigError(f"there is no list of {kind!r}: {nearest(kind, SUBCOMMANDS)}")
    stream, result = cli_flags.report_stream(values.json), {}
    if not kinds or "recipes" in kinds:
        result["recipes"] = [describe(path) for path in recipe_files()]
        print("\n".join(_table(result["recipes"], _width(stream))), file=stream)
        print("\nstrata train --config RECIPE --workdir D trains one.", file=stream)
    if not kinds or "codecs" in kinds:
        found = summaries("pipeline.importers")
        result["codecs"] = [
            {"name": name.replace("_", "-"), "purpose": line} for name, line in found.items()
        ]
        lines = {each["name"]: each["purpose"] for each in result["codecs"]}
        print(f"{'' if len(result) == 1 else chr(10)}Weights that can be imported:", file=stream)
        print(help_text.rows(lines, _width(stream), 21), file=stream)
        print("\nstrata import --from NAME FILES --out CODEC imports them.", file=stream)
    cli_flags.write_json(result, values.json)
    return 0


def recipe_files() -> list[pathlib.Path]:
    """Return the files of configs/ that define a recipe, here or else in the checkout.

    Raises:
      ConfigError: there is no such folder.
    """
    checkout = pathlib.Path(__file__).parents[2] / "configs"
    folder = next((each for each in (pathlib.Path("configs"), checkout) if each.is_dir()), None)
    if folder is None:
        raise ConfigError("there is no folder configs/ here, in which recipes are looked for")
    here = pathlib.Path.cwd()
    found = sorted(path for path in folder.rglob("*.py") if _is_recipe(path))
    return [path.relative_to(here) if path.is_relative_to(here) else path for path in found]


def describe(path: pathlib.Path) -> dict[str, str]:
    """Return a recipe's path, model, parameters, data and purpose, in words; it is only loaded.

    Parameters are those that its docstring states.
    """
    doc = ast.get_docstring(ast.parse(path.read_bytes())) or ""
    purpose = " ".join(doc.split("\n\n")[0].split())
    found = {"recipe": os.fspath(path), "model": "", "parameters": stated_parameters(doc)}
    try:
        config = recipes.load(os.fspath(path))
        found |= {"model": _model(config.get("model", {})), "data": _data(config.get("data", {}))}
        if "init" in config and not found["model"]:
            found |= {"model": "the codec's", "parameters": "the codec's"}
    except ConfigError as error:
        found |= {"data": "", "error": str(error)}
    return found | {"purpose": _without_parameters(purpose)}


def stated_parameters(doc: str) -> str:
    """Return the number of parameters that a docstring states, such as "39M", or nothing."""
    match = _PARAMETERS.search(doc)
    return "".join(match.groups()) if match else ""


def _without_parameters(purpose: str) -> str:
    """Return a sentence without the number of parameters, which has a column of its own."""
    text = re.sub(rf"[:,]? {_PARAMETERS.pattern}(?=\.)", "", purpose)
    return re.sub(rf"{_PARAMETERS.pattern}, ", "", text)


def _model(model: Any) -> str:
    name = str(model.get("name", "")).rpartition(".")[2]
    encoder = str((model.get("encoder") or {}).get("name", "")).partition(".")[0]
    return f"{name} ({encoder})" if encoder else name


def _data(data: Any) -> str:
    from pipeline.data import sources

    source, side = data.get("source", ""), data.get("image_size", 0)
    size = f"{side}x{side}" if side else ""
    frames = f"{data['num_frames']}x" if "num_frames" in data else ""
    try:
        own = "path" not in sources.arguments_of(source)
    except ConfigError:
        own = False
    return f"{source} {frames}{size}{', included' if own else ''}".strip()


def _is_recipe(path: pathlib.Path) -> bool:
    return b"\ndef get_config(" in path.read_bytes()


def _width(stream: Any) -> int:
    """Return a terminal's width; elsewhere nothing is folded, so that lines can be searched."""
    return shutil.get_terminal_size().columns if stream.isatty() else sys.maxsize


def _table(entries: list[dict[str, str]], width: int) -> Iterator[str]:
    """Yield a line for each recipe; on a narrow terminal data and purpose are below it."""
    *short, last = _COLUMNS
    rows = [dict(zip(_COLUMNS, _COLUMNS)), *entries]
    sizes = {name: max(len(row[name]) for row in rows) for name in short}
    indent = sum(sizes.values()) + 2 * len(sizes)
    fits = indent + max(len(row[last]) for row in rows) <= width
    for row in rows:
        if row.get("error"):
            yield f"{row['recipe']}  {row['error']}"
            continue
        cells = [
            row[name].rjust(sizes[name]) if name == "parameters" else row[name].ljust(sizes[name])
            for name in short
        ]
        if fits:
            yield "  ".join([*cells, row[last]])
            continue
        yield "  ".join(cells[:-1])
        text = f"{row['data']}: {row[last]}"
        margin = " " * 4
        yield from textwrap.wrap(text, width, initial_indent=margin, subsequent_indent=margin)
