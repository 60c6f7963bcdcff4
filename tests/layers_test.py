"""Layers of the package: imports point strictly down; only build and the commands read a recipe."""

import ast
import pathlib

import pytest
from import_graph import crowded_folders, cycles, imports_of, recipe_reads, upward_imports

ROOT = pathlib.Path(__file__).parents[1]
# From the bottom up. A module imports from lower lines and from its own package; packages on one
# line do not import each other.
LINES = [
    "core",
    "storage",
    "backend",
    "nn",
    "distributions formats distances diffusion",
    "frozen",
    "networks flows discriminators data quantization conditioning",
    "codebooks priors denoisers",
    "bottlenecks",
    "models losses metrics regularizers",
    "codec evaluators reporting",
    "published",
    "importers exporters",
    "pretrained",
    "training",
    "build",
    "planning",
    "cli",
]
MOST_MODULES = 16
# Recipes are data: they may build on one another (by path, as they are loaded) and on nothing else.
RECIPE_IMPORTS = {"ml_collections", "pathlib", "runpy"}


def test_imports_point_strictly_down():
    assert not upward_imports(imports_of(ROOT / "pipeline"), LINES)


def test_packages_import_each_other_without_cycles():
    assert not cycles(imports_of(ROOT / "pipeline"))


def test_a_model_imports_no_other_model():
    modules = imports_of(ROOT / "pipeline")
    for module, others in modules.items():
        own = module.split(".")[1:3]
        if own[:1] == ["models"] and len(own) == 2:
            siblings = [other.split(".")[1:3] for other in others]
            assert not [each for each in siblings if each[0] == "models" and each != own], module


def test_no_folder_is_crowded():
    # A source is one file that is found by its name, of which a recipe's data.source is the whole.
    assert not crowded_folders(ROOT / "pipeline", MOST_MODULES, exempt=["cli", "data/sources"])


@pytest.mark.parametrize("package", ["training", "planning"])
def test_only_build_and_the_commands_read_a_recipe(package):
    assert not recipe_reads(ROOT / "pipeline" / package)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_recipes_import_no_code_of_the_package(path: pathlib.Path):
    for name in _imported(path):
        assert name.split(".")[0] in RECIPE_IMPORTS, f"{path.name} imports {name}"


def test_launch_imports_nothing_of_the_package():
    for path in (ROOT / "launch").rglob("*.py"):
        assert not any(name.startswith("pipeline") for name in _imported(path)), path


def _imported(path: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def made_up(folder: pathlib.Path, **files: str) -> pathlib.Path:
    """Write a package `p`; the file a__b.py is given as a__b=..., __init__.py files come along."""
    for name, text in files.items():
        path = (folder / "p").joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for each in {path.parent for path in (folder / "p").rglob("*.py")} | {folder / "p"}:
        (each / "__init__.py").touch()
    return folder / "p"


@pytest.mark.parametrize(
    "files, message",
    [
        (
            dict(low__a="from p.high import b", high__b=""),
            "p.low.a imports p.high.b, which is above",
        ),
        (dict(low__a="import p.high.b", high__b=""), "p.low.a imports p.high.b, which is above it"),
        (dict(low__a="from ..high import b", high__b=""), "p.low.a imports p.high.b"),
        (dict(low__a="from p.high.b import name", high__b=""), "p.low.a imports p.high.b"),
        (
            dict(low__a="def f():\n    if 1:\n        from p.high import b", high__b=""),
            "p.low.a imports p.high.b, which is above it",
        ),
        (
            dict(
                low__a="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.high.b",
                high__b="",
            ),
            "p.low.a imports p.high.b, which is above it",
        ),
        (
            dict(left__a="import p.right.b", right__b=""),
            "p.left.a imports p.right.b, which is on its line",
        ),
        (dict(new__a=""), "new has no line"),
    ],
)
def test_upward_imports_are_found(tmp_path, files, message):
    (found,) = upward_imports(imports_of(made_up(tmp_path, **files)), ["low", "left right", "high"])
    assert message in found


def test_downward_and_own_imports_are_allowed(tmp_path):
    files = dict(low__a="", low__b="import p.low.a", high__c="from p.low.a import x\nimport p.low")
    assert upward_imports(imports_of(made_up(tmp_path, **files)), ["low", "high"]) == []


@pytest.mark.parametrize(
    "files, cycle",
    [
        # Two packages, through modules that do not import each other.
        (
            dict(
                x__one__a="import p.x.two.c",
                x__one__b="",
                x__two__c="",
                x__two__d="import p.x.one.b",
            ),
            ["p.x.one", "p.x.two"],
        ),
        # The same with a lazy import.
        (
            dict(x__one__a="def f():\n    import p.x.two.c", x__two__c="import p.x.one.a"),
            ["p.x.one", "p.x.two"],
        ),
        # A module next to a subpackage.
        (
            dict(x__loop="import p.x.one.a", x__one__a="import p.x.loop"),
            ["p.x.loop", "p.x.one"],
        ),
        (
            dict(one__a="import p.two.b", two__b="import p.three.c", three__c="import p.one.a"),
            ["p.one", "p.three", "p.two"],
        ),
    ],
)
def test_cycles_are_found(tmp_path, files, cycle):
    assert cycles(imports_of(made_up(tmp_path, **files))) == [cycle]


def test_modules_of_one_innermost_package_may_import_each_other(tmp_path):
    files = dict(
        x__one__a="import p.x.one.b", x__one__b="import p.x.one.a", x__loop="import p.x.one"
    )
    assert cycles(imports_of(made_up(tmp_path, **files))) == []


def test_crowded_folders_are_found(tmp_path):
    folder = made_up(tmp_path, **{f"x__m{number}": "" for number in range(17)}, y__a="")
    assert crowded_folders(folder, 16) == ["x has 17 modules"]
    assert crowded_folders(folder, 17) == crowded_folders(folder, 16, exempt=["x"]) == []


@pytest.mark.parametrize(
    "text",
    [
        "def f(config):\n    return config['a']",
        "class A:\n    def f(self):\n        self._settings['a']",
        "x = spec.provenance.config.get('a')",
    ],
)
def test_reads_of_a_recipe_are_found(tmp_path, text):
    (found,) = recipe_reads(made_up(tmp_path, a=text))
    assert found.startswith("a.py:") and " reads " in found


def test_passing_a_recipe_on_is_allowed(tmp_path):
    text = "save(config)\nx = rows['config']\njax.config.update('a', 1)"
    assert recipe_reads(made_up(tmp_path, a=text)) == []
