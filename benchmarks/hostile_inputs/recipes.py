"""Recipes and overrides with mistakes: each is one line that names the key or the place."""

import functools
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from hostile_inputs.attempts import RIGHT, Attempt, command, expect_refusal, expect_success
from hostile_inputs.corpus import Corpus

from pipeline.core.errors import ConfigError

RECIPE = """
from ml_collections import ConfigDict


def get_config(arg=""):
    config = ConfigDict(dict(num_steps=20, batch_size=8, seed=0))
    config.data = ConfigDict(dict(source="digits", image_size=8, channels=1))
    config.model = ConfigDict(
        dict(name="vae.VAE", image_size=8, image_channels=1, channels=(8, 16), hidden=(64,))
    )
    config.model.latent_dim = 4
    config.optimizer = ConfigDict(dict(name="adamw", learning_rate=1e-3))
    {line}
    return config
"""
# A line of the recipe, and the words of its refusal.
REFUSED_LINES: tuple[tuple[str, str], ...] = (
    ('{}["huge"]', "KeyError"),
    ("1 / 0", "ZeroDivisionError"),
    ("import no_such_module_here", "no_such_module_here"),
    ("raise SystemExit(3)", "SystemExit"),
    ("open('/no/such/file')", "/no/such/file"),
    ("assert False", "AssertionError"),
    ("return None", ""),
    ("return 3", ""),
    ("if:", ""),
    ("config.num_stepz = 3", "num_stepz"),
    *((f"config.num_steps = {value}", "num_steps") for value in ("True", "0", "-1", "'x'", "1.5")),
    *((f"config.num_steps = {value}", "num_steps") for value in ("None", "float('nan')", "[3]")),
    *((f"config.batch_size = {value}", "batch_size") for value in ("True", "0", "'8'", "1e400")),
    *((f"config.seed = {value}", "seed") for value in ("-1", "'x'", "1.5", "None", "True")),
    *((f"config.ema = {value}", "ema") for value in ("2.0", "-0.1", "float('nan')", "'x'")),
    *((f"config.grad_accum_steps = {value}", "grad_accum_steps") for value in ("0", "-1", "'x'")),
    *((f"config.dtype = {value}", "dtype") for value in ("'float7'", "7", "None")),
    *((f"config.{section} = 3", section) for section in ("data", "model", "optimizer")),
    *((f"config.{section} = 3", section) for section in ("checkpoint", "eval", "mesh", "log")),
    *(
        (f"config.{section} = ConfigDict({{'{key}': {value}}})", key)
        for section, key, value in (
            ("checkpoint", "every", "-1"),
            ("checkpoint", "every", "'x'"),
            ("checkpoint", "keep", "float('nan')"),
            ("eval", "num_examples", "-4"),
            ("log", "every", "'x'"),
            ("log", "every", "-1"),
            ("sample", "num", "-1"),
            ("divergence", "patience", "-1"),
            ("divergence", "spike_sigma", "float('nan')"),
            ("watchdog", "minutes", "float('nan')"),
            ("watchdog", "minutes", "-1.0"),
            ("preemption", "grace_seconds", "float('inf')"),
            ("checkpoint", "evry", "1"),
        )
    ),
    *(
        (f"config.optimizer.learning_rate = {value}", "learning_rate")
        for value in ("float('nan')", "float('inf')", "-1.0", "'x'", "None", "True")
    ),
    *(
        (f"config.optimizer.{key} = {value}", key)
        for key, value in (
            ("weight_decay", "float('nan')"),
            ("weight_decay", "'x'"),
            ("clip_norm", "float('nan')"),
            ("clip_norm", "-1.0"),
            ("momentun", "0.9"),
            ("name", "'adamv'"),
        )
    ),
    *(
        (f"config.model.{key} = {value}", key)
        for key, value in (
            ("latent_dim", "0"),
            ("latent_dim", "-4"),
            ("latent_dim", "2.5"),
            ("latent_dim", "'4'"),
            ("channels", "(4, 'x')"),
            ("channels", "(4, 0)"),
            ("channels", "4"),
            ("image_channels", "0"),
            ("nonsense", "1"),
            ("name", "'vae.VAF'"),
        )
    ),
    *(
        (f"config.data.{key} = {value}", key)
        for key, value in (("source", "'digit'"), ("image_sice", "8"))
    ),
)
# Overrides of the good recipe, and the words of their refusal; None if they are right.
OVERRIDES: tuple[tuple[str, str | None], ...] = (
    ("--config.num_steps=5e1", None),
    ("--config.optimizer.learning_rate=1e-4", None),
    ("--config.model.channels=(4,4)", None),
    ("--config.num_steps=x", "num_steps"),
    ("--config.num_steps=", "num_steps"),
    ("--config.num_steps=-3", "num_steps"),
    ("--config.nothing=1", "nothing"),
    ("--config.model.channels=(4,'x')", "channels"),
    ("--config.model=3", "model"),
    ("--config.optimizer.learning_rate=nan", "learning_rate"),
    ("--config.seed=1.5", "seed"),
)


class Recipe(NamedTuple):
    """A recipe's text, the overrides given, and the words of its refusal or None."""

    name: str
    text: str
    overrides: tuple[str, ...] = ()
    words: str | None = None


def every() -> Iterator[Recipe]:
    """Yield all recipes; the same ones each time."""
    yield Recipe("plain", RECIPE.replace("{line}", ""))
    yield Recipe("with a neighbour", RECIPE.replace("{line}", "import a_neighbour_of_the_recipe"))
    for line, words in REFUSED_LINES:
        yield Recipe(line, RECIPE.replace("{line}", line), words=words)
    for override, words in OVERRIDES:
        yield Recipe(override, RECIPE.replace("{line}", ""), (override,), words)
    for name, text, words in (
        ("empty", "", "get_config"),
        ("another function", "def config():\n    return {}\n", "get_config"),
        ("bytes", "\0\1\2", ""),
        ("a class", "get_config = 7\n", ""),
        ("an error at once", "raise ValueError('seven')\n", "seven"),
    ):
        yield Recipe(name, text, words=words)


def attempts(corpus: Corpus) -> Iterator[Attempt]:
    """Yield the use of each recipe: training, if it must be refused, otherwise its inspection."""
    for recipe in every():
        path = corpus.put("recipes", "recipe.py", recipe.text.encode())
        (path.parent / "a_neighbour_of_the_recipe.py").write_text("")
        yield Attempt(f"recipe: {recipe.name}", functools.partial(_use, recipe, path))


def _use(recipe: Recipe, path: pathlib.Path) -> str:
    if recipe.words is None:
        expect_success(command("inspect", "--config", path, *recipe.overrides))
        return RIGHT
    arguments = ("--config", path, "--workdir", path.parent / "run", *recipe.overrides)
    return expect_refusal(command("train", *arguments), ConfigError.exit_code, recipe.words)
