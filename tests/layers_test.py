"""The package's layers: a module imports only from layers above its own, and a model never imports a sibling."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LAYERS = [
    {"core"},
    {"backend"},
    {"nn"},
    {"distributions", "formats", "distances"},
    {"frozen"},
    {"flows"},
    {"bottlenecks", "priors", "discriminators", "data"},
    {"models", "losses", "metrics"},
    {"codec", "evaluators"},
    {"importers", "exporters"},
    {"training", "build", "planning"},
    {"cli"},
]
# Recipes are data: they may build on one another (by path, as they are loaded) and on nothing else.
RECIPE_IMPORTS = {"ml_collections", "pathlib", "runpy"}


def layer_of(part: str) -> int:
    for depth, names in enumerate(LAYERS):
        if part in names:
            return depth
    raise AssertionError(f"pipeline/{part} has no layer: give it one in {__file__}")


def imports_of(path: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


MODULES = sorted((ROOT / "pipeline").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_up_the_layers(path: pathlib.Path):
    parts = path.relative_to(ROOT / "pipeline").with_suffix("").parts
    if parts == ("__init__",):
        return
    for name in imports_of(path):
        package, *rest = name.split(".")
        if package != "pipeline" or not rest or rest[0] == "__version__":
            continue
        own, other = (
            layer_of(parts[0]),
            layer_of(rest[0]) if rest[0] != "Codec" else layer_of("codec"),
        )
        assert other <= own, f"{'/'.join(parts)} (layer {own}) imports {name} (layer {other})"
        if parts[0] == "models" and rest[0] == "models":
            assert parts[-1] == "__init__" or parts[1] == rest[1], (
                f"a model imports its sibling: {name}"
            )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_recipes_import_no_code_of_the_package(path: pathlib.Path):
    for name in imports_of(path):
        assert name.split(".")[0] in RECIPE_IMPORTS, f"{path.name} imports {name}"


def test_launch_imports_nothing_of_the_package():
    for path in (ROOT / "launch").rglob("*.py"):
        assert not any(name.startswith("pipeline") for name in imports_of(path)), path
