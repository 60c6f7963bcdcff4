"""Discovery of a package's modules by name; a wrong name gets the nearest one suggested."""

import sys

import pytest

from pipeline.core import construct
from pipeline.core.errors import ConfigError

FILES = {
    "circle.py": '"""Round shapes.\n\nMore about them.\n"""\nSIDES = 0\n',
    "square/__init__.py": '"""Shapes of four equal sides."""\n',
    "broken.py": '"""Shapes that need a library which is not installed."""\n'
    "import no_such_library\n",
    "_private.py": "",
    "notes.txt": "",
    "__init__.py": "",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / "shapes_of_a_test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield "shapes_of_a_test"
    for name in [name for name in sys.modules if name.startswith("shapes_of_a_test")]:
        del sys.modules[name]


def test_modules_are_listed_without_importing_them(package):
    assert construct.modules_of(package) == ("broken", "circle", "square")
    assert construct.summaries(package) == {
        "broken": "Shapes that need a library which is not installed.",
        "circle": "Round shapes.",
        "square": "Shapes of four equal sides.",
    }
    assert f"{package}.circle" not in sys.modules


def test_a_module_is_loaded_by_name(package):
    assert construct.load(package, "circle", where="shape").SIDES == 0


def test_an_unknown_module_is_answered_with_the_nearest_one(package):
    with pytest.raises(ConfigError, match="shape='circel' is not known: did you mean 'circle'"):
        construct.load(package, "circel", where="shape")
    with pytest.raises(ConfigError, match="known: broken, circle, square"):
        construct.load(package, "_private", where="shape")
    with pytest.raises(ConfigError, match=r"no module .*circel, did you mean 'circle'"):
        construct.find(package, "circel.SIDES", where="shape")


def test_a_failing_import_inside_a_module_is_not_reported_as_an_unknown_name(package):
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        construct.load(package, "broken", where="shape")


def test_a_nested_name_is_not_taken_for_a_size():
    arguments = {"part": {"name": "circle", "width": 0}}
    assert construct.suspects(arguments, "shape") == "shape.part.width=0"
