"""A recipe is a user's program: whatever it raises is one line with the file and the line."""

import sys

import pytest

from pipeline.cli import dispatch, recipes
from pipeline.core.errors import ConfigError

HEAD = "import ml_collections\n"
TINY = "ml_collections.ConfigDict(dict(seed=1, data=dict(path='x')))\n"

BROKEN = [
    ("x = 1\n", "defines no function get_config"),
    ("def get_config(arg=''):\n    return 1\n", "must return a ConfigDict, not int"),
    ("def (:\n", r"failed to load: SyntaxError: .*\(RECIPE:1\)"),
    ("def get_config(a=''):\n    return {}['huge']\n", r"KeyError: 'huge' \(RECIPE:2\)"),
    (
        "def get_config():\n\n    return 1 / 0\n",
        r"ZeroDivisionError: division by zero \(RECIPE:3\)",
    ),
    ("import no_such_module\n", r"ModuleNotFoundError: .*no_such_module.*\(RECIPE:1\)"),
    ("open('/nowhere')\n", r"FileNotFoundError: .*/nowhere.*\(RECIPE:1\)"),
    ("raise SystemExit('no')\n", r"SystemExit: no \(RECIPE:1\)"),
    ("def get_config(a=''):\n    return get_config(a)\n", r"RecursionError: .*\(RECIPE:2\)"),
    ("assert False\n", r"AssertionError \(RECIPE:1\)"),
    ("import json\njson.loads('{')\n", r"JSONDecodeError: .*\(RECIPE:2\)"),
    ("raise ValueError('two\\nlines')\n", r"ValueError: two lines \(RECIPE:1\)"),
    ("class E(BaseException):\n    pass\nraise E('x')\n", r"E: x \(RECIPE:3\)"),
    ("x = '\0'\n", r"failed to load: (SyntaxError|ValueError)"),
    (b"\xff\xfe\n", "failed to load: SyntaxError"),
]


@pytest.mark.parametrize("content, message", BROKEN)
def test_whatever_a_recipe_raises_is_one_line(tmp_path, capsys, content, message):
    path = tmp_path / "recipe.py"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message.replace("RECIPE", str(path))) as error:
        recipes.load(str(path))
    assert "\n" not in str(error.value)
    assert dispatch(["inspect", "--config", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_object_without_a_representation_is_one_line(tmp_path, capsys):
    path = tmp_path / "recipe.py"
    nameless = (
        "class X:\n    def __repr__(self):\n        raise ValueError\n    __str__ = __repr__\n"
    )
    path.write_text(
        f"{HEAD}{nameless}def get_config(a=''):\n    config = {TINY}"
        "    config.model = X()\n    return config\n"
    )
    assert dispatch(["inspect", "--config", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_wrong_argument_is_one_line(tmp_path):
    path = tmp_path / "recipe.py"
    path.write_text(f"{HEAD}def get_config():\n    return {TINY}")
    assert recipes.load(str(path)).seed == 1
    with pytest.raises(ConfigError, match=r"TypeError: get_config\(\) takes 0 positional"):
        recipes.load(f"{path}:tiny")


def test_a_recipe_imports_a_module_next_to_it(tmp_path, monkeypatch):
    (tmp_path / "neighbour_of_a_test.py").write_text("def seed():\n    return 7\n")
    path = tmp_path / "recipe.py"
    path.write_text(
        f"{HEAD}def get_config(arg=''):\n    import neighbour_of_a_test\n    config = {TINY}"
        "    config.seed = neighbour_of_a_test.seed()\n    return config\n"
    )
    before = list(sys.path)
    monkeypatch.delitem(sys.modules, "neighbour_of_a_test", raising=False)
    assert recipes.load(str(path)).seed == 7 and sys.path == before
    del sys.modules["neighbour_of_a_test"]
    (tmp_path / "neighbour_of_a_test.py").write_text("\n\nraise OSError(5, 'broken')\n")
    with pytest.raises(ConfigError, match=r"OSError: .*broken \(.*neighbour_of_a_test\.py:3\)"):
        recipes.load(str(path))
    sys.modules.pop("neighbour_of_a_test", None)


def test_a_file_and_its_argument_may_have_colons(tmp_path):
    path = tmp_path / "a:b.py"
    path.write_text(
        f"{HEAD}def get_config(arg='none'):\n    config = {TINY}    config.data.path = arg\n"
        "    return config\n"
    )
    assert recipes.load(str(path)).data.path == "none"
    assert recipes.load(f"{path}:x").data.path == "x"
    assert recipes.load(f"{path}:x:y").data.path == "x:y"


@pytest.mark.parametrize(
    "current, text, value",
    [
        (3, "5e8", 500_000_000),
        (3, "4.0", 4),
        (3, "-1", -1),
        (0.5, "1", 1.0),
        (True, "0", False),
        ("a", "0", "0"),
        ("a", "", ""),
        ((1, 2), "(3,)", (3,)),
        ((1, 2), "3,4", (3, 4)),
        ([1, 2], "[3]", (3,)),
        (("a",), "'b'", ("b",)),
        (None, "3", 3),
        (None, "word", "word"),
    ],
)
def test_values_are_read_by_the_type_of_the_present_one(current, text, value):
    from ml_collections import ConfigDict

    config = ConfigDict(dict(data=dict(source="digits"), watchdog=dict(minutes=current)))
    recipes.override(config, "watchdog.minutes", text)
    assert config.watchdog.minutes == value and type(config.watchdog.minutes) is type(value)


def test_none_leaves_out_an_optional_part():
    config = recipes.load("configs/vamp_prior/mnist.py:tiny")
    recipes.override(config, "model.prior", "None")
    assert config.model.prior is None
    required = ("model.channels", "model.latent_dim", "objective.rate", "objective.rate.weight")
    for key in (*required, "data.binarize", "seed"):
        with pytest.raises(ConfigError, match=f"--config.{key}=None must be"):
            recipes.override(config, key, "None")
    with pytest.raises(ConfigError, match=r"--config.model.prior.name: .* is a single value"):
        recipes.override(config, "model.prior.name", "vamp.VampPrior")
