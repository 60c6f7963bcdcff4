"""Completion: the script for bash completes commands, flags, values, recipes and paths."""

import pathlib
import shutil
import subprocess

import pytest

from pipeline.cli import dispatch
from pipeline.cli.completion import bash, zsh

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script(tmp_path_factory) -> pathlib.Path:
    file = tmp_path_factory.mktemp("completion") / "strata.bash"
    file.write_text(bash())
    return file


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_flags_values_recipes_and_paths(script):
    cases = [
        (["strata", "recon"], ["reconstruct"]),
        (["strata", "data", "p"], ["pack"]),
        (["strata", "data", "pack", "--max"], ["--max_unreadable"]),
        (["strata", "eval", "--noe"], ["--noema"]),
        (["strata", "import", "--from", "open"], ["openai-vdvae"]),
        (["strata", "import", "--from", "=", "wf"], ["wf-vae"]),  # bash splits at =
        (["strata", "train", "--config", "configs/vae/dig"], ["configs/vae/digits.py"]),
        (["strata", "train", "--config", "=", "configs/vae/dig"], ["configs/vae/digits.py"]),
        (["strata", "export", "--workdir", "pyproj"], ["pyproject.toml"]),
        (["strata", "reconstruct", "READ"], ["README.md"]),
        (["strata", "list", "codecs", "--j"], ["--json"]),
    ]
    lines = [f"source {script}"]
    for words, _ in cases:
        typed = " ".join(f"'{word}'" for word in words)
        lines += [f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _strata"]
        lines += ["echo ${COMPREPLY[@]}"]
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True
    )
    assert not done.stderr
    assert done.stdout.splitlines() == [" ".join(found) for _, found in cases]


def test_zsh_has_every_kind_of_argument():
    text = zsh()
    assert "'--config=[" in text and ":config:_strata_recipes'" in text
    assert ":workdir:_files'" in text and "'--noema[" in text
    assert "compadd pack examples" in text and "diffusers disentangling-vae" in text
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=text, text=True, check=True)


def test_another_shell_is_refused(capsys):
    assert dispatch(["completion", "fish"]) == 2 and dispatch(["completion"]) == 2
    assert "takes the name of a shell" in capsys.readouterr().err
