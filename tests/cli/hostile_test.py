"""No flag, key or input file of a user ends in a traceback, only in a line and a documented code.

Every flag of every command and every key of a recipe gets hostile values: a few, drawn with a fixed
seed, and all of them with -m slow. Commands are called in this process.
"""

import json
import math
import random
import re

import numpy as np
import pytest
import tiny_gan
import tiny_run
from ml_collections import ConfigDict

from pipeline import build
from pipeline.cli import COMMANDS, dispatch, recipes
from pipeline.core.errors import ConfigError, DataError, StrataError
from pipeline.data.sources.video_list import VideoList

CODES = {0, 2, 65, 70, 75, 76, 130}
TEXTS = [
    *["", " ", "0", "-1", "1.5", "5e8", "1e999", "9" * 400, "nan", "-inf", "True", "None", "()"],
    *["[[", "{}", "{'a': 1}", "(1, 'x')", "a\0b", "\udc80", "é\u202e", "x" * 5000, "..", "/dev"],
    *["gs://", "http://h/x", "-", "\n", "%s%n", "a=b", ":", "F:", "~", "*", "/proc/self/nothing"],
]
VALUES = [
    *[None, True, False, 0, -1, 1.5, 2**40, 10**400, math.nan, math.inf, "", "x", "\ud800", (), []],
    *[{}, [1, "x"], (0,), (True,), {"name": "x"}, {"name": 3}, {"a": {"b": None}}, b"x", max],
    *[np.float32(1), np.zeros(2), "..x", "vae.jnp", [[]], [None], 1 + 2j],
]
# The least arguments with which a command ends early: at a folder or a mesh that is not there.
BASES = {
    "train": ["--config", "RECIPE", "--workdir", "run"],
    "eval": ["--workdir", "none"],
    "sample": ["--workdir", "none", "--out", "x.png"],
    "inspect": ["--config", "RECIPE"],
    "plan": ["--config", "RECIPE", "--topology", "cpu:3", "--mesh", "fsdp=2"],
    "checkpoint list": ["none"],
    "checkpoint verify": ["none"],
    "export": ["--workdir", "none", "--out", "out"],
    "report": ["none", "--out", "out"],
    "reconstruct": ["--codec", "none", "--out", "out", "a.png"],
    "encode": ["--codec", "none", "--out", "out", "a.png"],
    "decode": ["--codec", "none", "--out", "out", "a.safetensors"],
    "data pack": ["none", "--out", "out"],
    "data examples": ["--config", "RECIPE", "--out", "out"],
    "import": ["--from", "taesd", "none", "none", "--out", "out"],
    "list": ["codecs"],
    "completion": ["fish"],
    "bench train": ["--config", "RECIPE", "--config.mesh.fsdp=3"],
    "bench data": ["--path", "none", "--num_batches", "10"],
    "bench checkpoint": ["--workdir", "none", "--megabytes", "1", "--rounds", "1"],
}
RECIPE = (
    "import tiny_run\ndef get_config(arg=''):\n    config = tiny_run.recipe()\n"
    "    config.data.source, config.data.path = 'folder', 'none'\n    return config\n"
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.py").write_text(RECIPE)
    return tmp_path


def check(capsys, argv: list[str]) -> int:
    """Run a command, and check that a failure is one line that names the command."""
    code = dispatch(argv)
    said = capsys.readouterr().err
    assert code in CODES, (argv, code)
    assert "Traceback" not in said, argv
    if code:
        named = [line for line in said.splitlines() if line.startswith(f"strata {argv[0]}: ")]
        assert len(named) == 1 and said.rstrip("\n").endswith(named[0]), (argv, said)
    return code


def some(values: list, count: int, *, seed: str, whole: bool) -> list:
    return values if whole else random.Random(seed).sample(values, count)


def flags_of(command: str, capsys) -> list[str]:
    assert dispatch([*command.split(), "--help"]) == 0
    found = re.findall(r"^  --(?:\[no\])?([a-z_.]+)", capsys.readouterr().out, re.MULTILINE)
    assert found or command.startswith(("checkpoint", "completion"))
    return sorted({*found, "flagfile", "undefok", "no_such_flag"})


def test_every_command_is_tried():
    assert {command.split()[0] for command in BASES} == set(COMMANDS)


def try_flags(command: str, here, capsys, *, whole: bool) -> None:
    base = [each.replace("RECIPE", str(here / "recipe.py")) for each in BASES[command]]
    for flag in flags_of(command, capsys):
        for text in some(TEXTS, 3, seed=command + flag, whole=whole):
            check(capsys, [*command.split(), *base, f"--{flag}={text}"])
        check(capsys, [*command.split(), *base, f"--{flag}"])
    for text in some(TEXTS, 4, seed=command, whole=whole):
        check(capsys, [*command.split(), *base, text])


@pytest.mark.parametrize("command", BASES)
def test_hostile_flags(command, here, capsys):
    try_flags(command, here, capsys, whole=False)


@pytest.mark.slow
@pytest.mark.parametrize("command", BASES)
def test_all_hostile_flags(command, here, capsys):
    try_flags(command, here, capsys, whole=True)


def keys_of(config: ConfigDict) -> list[str]:
    """Return the keys of a recipe with all defaults, sections included."""
    full = build.complete(config)
    for section in ("model", "data", "optimizer", "objective.adversarial", "discriminator"):
        node = full
        for part in section.split("."):
            node = node.get(part, {})
        if node:
            node |= build.defaults(config, section) | dict(node)

    def walk(node, prefix):
        for key, value in node.items():
            yield f"{prefix}{key}"
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{key}.")

    return list(walk(full, ""))


def try_keys(module, *, whole: bool) -> None:
    """Set every key to hostile values, in a recipe and by an override, and build the run."""
    wrong = []
    for key in keys_of(module.recipe()):
        for value in some(VALUES, 3, seed=f"{key}v", whole=whole):
            config = module.recipe().to_dict()
            node, (*parts, name) = config, key.split(".")
            for part in parts:
                node = node.setdefault(part, {})
            node[name] = value
            wrong += not_one_line(lambda config=config: abstract(config), (key, value))
        for text in some(TEXTS, 2, seed=f"{key}t", whole=whole):
            config = module.recipe()

            def overridden(config=config, key=key, text=text):
                recipes.override(config, key, text)
                build.complete(config)

            wrong += not_one_line(overridden, (key, text))
    assert not wrong, "\n".join(wrong)


def abstract(recipe: dict) -> None:
    try:
        config = ConfigDict(recipe)
    except Exception:  # ml_collections refuses it, in the user's file
        return
    full = build.complete(config)
    mesh = build.mesh(full)
    modeldef, _ = build.abstract_state(full, mesh)
    build.step(full, modeldef, mesh)


def not_one_line(call, what) -> list[str]:
    """Return the error of a call that is neither right nor ends in one line for the user."""
    try:
        call()
    except StrataError as error:
        text = str(error)
        known = isinstance(error, ConfigError | DataError)
        return [] if known and text and "\n" not in text else [f"{what}: {text!r}"]
    except Exception as error:
        return [f"{what}: {type(error).__name__}: {str(error)[:200]}"]
    return []


@pytest.mark.parametrize("module", [tiny_run, tiny_gan], ids=["elbo", "adversarial"])
def test_hostile_keys(module):
    try_keys(module, whole=False)


@pytest.mark.slow
@pytest.mark.parametrize("module", [tiny_run, tiny_gan], ids=["elbo", "adversarial"])
def test_all_hostile_keys(module):
    try_keys(module, whole=True)


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return a content with some of its bytes replaced, removed, repeated or cut off."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data) + 1)
        kind = draw.randrange(4)
        if kind == 0:
            data[at : at + 1] = bytes([draw.choice([0, 9, 10, 13, 34, 44, 59, 92, 123, 255])])
        elif kind == 1:
            del data[at : at + draw.randint(1, 8)]
        elif kind == 2:
            data[at:at] = data[: draw.randint(1, 12)]
        else:
            del data[at:]
    return bytes(data)


LISTS = {
    "csv": b'path,label,begin,end\n"a b.mp4",cat,0,1.5\nb.mp4,,,\nc.mp4,"d ""q""",2,\n',
    "jsonl": b'{"path": "a.mp4", "label": "cat", "begin": 0, "end": 1.5}\n\n{"path": "b.mp4"}\n',
}


@pytest.mark.parametrize("suffix", LISTS)
def test_hostile_lists(suffix, tmp_path):
    draw, path = random.Random(suffix), tmp_path / f"list.{suffix}"
    wrong = []
    for _ in range(400):
        path.write_bytes(damaged(LISTS[suffix], draw))
        wrong += not_one_line(lambda: VideoList(str(path)), path.read_bytes())
    assert not wrong, "\n".join(wrong)


DESCRIPTIONS = [
    *[b"", b"{", b"\0" * 50, b"[]", b"3", b"null", b'"x"', b"{}", b"\xff\xfe", b"[" * 100_000],
    *[json.dumps(each).encode() for each in ({"model": 3}, {"model": {}}, {"model": {"name": 3}})],
    json.dumps({"format": "strata-codec", "format_version": 1, "model": []}).encode(),
    json.dumps({"_class_name": "AutoencoderKL", "block_out_channels": 3}).encode(),
    json.dumps({"_class_name": "AutoencoderKL", "sample_size": []}).encode(),
    json.dumps(
        {"_class_name": "AutoencoderKL", "norm_num_groups": 0, "scaling_factor": 0}
    ).encode(),
]


@pytest.mark.parametrize("content", DESCRIPTIONS, ids=lambda content: repr(content[:40]))
def test_hostile_descriptions_of_codecs_and_weights(content, here, capsys):
    folder = here / "codec"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "diffusion_pytorch_model.safetensors"):
        (folder / name).write_bytes(content)
    (here / "a.png").write_bytes(content)
    place = ["--codec", "codec", "a.png", "--out", "out"]
    assert check(capsys, ["inspect", "--codec", "codec"]) != 0
    for command in ("reconstruct", "encode"):
        assert check(capsys, [command, *place]) != 0
    assert check(capsys, ["import", "--from", "diffusers", "codec", "--out", "out"]) != 0


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\0", b"--no_such\n", b"--config\n", b"x y\n"])
def test_hostile_flag_files(content, here, capsys):
    (here / "flags").write_bytes(content)
    assert check(capsys, ["inspect", "--flagfile=flags"]) == 2
