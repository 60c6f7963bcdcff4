"""`strata list`: recipes in a line each, and the importers."""

import json
import pathlib

import pytest

from pipeline.cli import dispatch
from pipeline.cli import list as listing

ROOT = pathlib.Path(__file__).parents[2]


def listed(capsys, *arguments: str) -> tuple[str, dict]:
    assert dispatch(["list", *arguments, "--json", "-"]) == 0
    shown = capsys.readouterr()
    return shown.err, json.loads(shown.out)


def test_every_recipe_is_listed_with_what_it_is(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    shown, result = listed(capsys, "recipes")
    entries = {each["recipe"]: each for each in result["recipes"]}
    # Others have what recipes share.
    files = [
        path for path in (ROOT / "configs").rglob("*.py") if "def get_config" in path.read_text()
    ]
    assert set(entries) == {str(path.relative_to(ROOT)) for path in files}
    assert not any("error" in each for each in entries.values())
    assert all(all(each.values()) for each in entries.values()), "a column is empty"
    assert entries["configs/vdvae/cifar10.py"] == {
        "recipe": "configs/vdvae/cifar10.py",
        "model": "VDVAE",
        "parameters": "39M",
        "data": "records 32x32",
        "purpose": "VDVAE (Child, arXiv 2011.10650) on CIFAR-10: 43 stochastic layers.",
    }
    assert entries["configs/vae/digits.py"]["data"] == "digits 8x8, included"
    assert entries["configs/wf_vae/s_4ch.py"]["model"] == "Autoencoder (wf_vae)"
    assert len([line for line in shown.splitlines() if line.startswith("configs/")]) == len(entries)


def test_codecs_are_the_importers(capsys):
    shown, result = listed(capsys, "codecs")
    assert {"diffusers", "wf-vae"} <= {each["name"] for each in result["codecs"]}
    assert "recipes" not in result and "  taesd  " in shown


def test_data_and_purpose_move_to_a_line_of_their_own_on_a_narrow_terminal():
    entry = dict(recipe="a.py", model="M", parameters="1K", data="d 8x8", purpose="Words." * 10)
    assert len(list(listing._table([entry], 200))) == 2
    *_, first, second = listing._table([entry], 80)
    assert first.startswith("a.py") and second == f"    d 8x8: {entry['purpose']}"


def test_another_folder_is_listed_and_a_bad_recipe_does_not_end_it(capsys, monkeypatch, tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "bad.py").write_text('"""Bad."""\n\ndef get_config():\n    1 / 0\n')
    monkeypatch.chdir(tmp_path)
    shown, result = listed(capsys, "recipes")
    assert "ZeroDivisionError" in result["recipes"][0]["error"] and "ZeroDivisionError" in shown


@pytest.mark.parametrize("doc, stated", [("On x: 39M parameters, 4 layers.", "39M"), ("No.", "")])
def test_the_parameters_of_a_docstring(doc, stated):
    assert listing.stated_parameters(doc) == stated


def test_an_unknown_list_names_the_nearest(capsys):
    assert dispatch(["list", "codec"]) == 2
    assert "did you mean 'codecs'?" in capsys.readouterr().err
