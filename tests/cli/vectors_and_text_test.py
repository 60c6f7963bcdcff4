"""Runs on vectors and text: trained, sampled, exported, and sampled as codecs."""

import json
import pathlib

import jax
import numpy as np
import pytest

from pipeline import Codec, cli

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def strata(command, *arguments):
    return cli.dispatch([command, *map(str, arguments)])


def trained(folder, recipe, *settings):
    """Return the folder of a run of the recipe's `:tiny`, and that of its codec."""
    run, out = folder / "run", folder / "codec"
    config = f"--config={CONFIGS / recipe}:tiny"
    assert strata("train", config, "--workdir", run, "--config.num_steps=2", *settings) == 0
    assert strata("export", "--workdir", run, "--out", out) == 0
    return run, out


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    (folder / "lines.txt").write_text("the cat sat .\na dog ran .\n" * 20)
    source = ("--config.data.source=lines", f"--config.data.path={folder / 'lines.txt'}")
    return trained(folder, "text_vae/lines.py", *source)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("vectors"), "ph_vae/lognormal.py")


def test_sentences_are_drawn_from_a_run_and_from_its_codec(text, tmp_path):
    run, folder = text
    drawn = {}
    for name, arguments in {
        "run": ["--workdir", run, "--num=5"],
        "codec": ["--codec", folder, "--num=5"],
        "greedy": ["--codec", folder, "--num=2", "--mean"],
        "held out": ["--workdir", run, "--reconstruct", "--num=2"],
        "walk": ["--codec", folder, "--interpolate", "the cat sat .", "a dog ran .", "--num=3"],
        "numbers": ["--workdir", run, "--interpolate", "0", "1", "--along=slerp"],
    }.items():
        out = tmp_path / f"{name}.txt"
        assert strata("sample", "--out", out, *arguments) == 0
        drawn[name] = out.read_text().split("\n")[:-1]
    assert drawn["run"] == drawn["codec"] and len(drawn["run"]) == 5
    assert len(drawn["greedy"]) == 2 and len(drawn["held out"]) == 4
    assert drawn["walk"][0] == "A  the cat sat ." and drawn["walk"][-1] == "B  a dog ran ."
    assert len(drawn["walk"]) == 5 and len(drawn["numbers"]) == 11


def test_an_exported_codec_of_text_needs_no_run(text):
    run, folder = text
    codec = Codec.from_pretrained(folder)
    assert codec.vocabulary.to_json() == json.loads((run / "vocabulary.json").read_text())
    z = codec.encode(["the cat sat .", "a dog ran ."]).mode()
    assert np.isfinite(z).all() and len(codec.decode(z)) == 2
    assert len(codec.interpolate("the cat sat .", "a dog ran .")) == 9


def test_vectors_are_drawn_from_a_run_and_from_its_codec(vectors, tmp_path):
    run, folder = vectors
    for source in (["--workdir", run], ["--codec", folder]):
        out = tmp_path / f"{source[0][2:]}.npy"
        assert strata("sample", "--out", out, "--num=6", *source) == 0
        assert out.with_suffix(".png").exists()
    drawn = np.load(tmp_path / "codec.npy")
    np.testing.assert_array_equal(drawn, np.load(tmp_path / "workdir.npy"))
    assert drawn.shape == (6, 3) and (drawn >= 0).all()
    again = Codec.from_pretrained(folder).sample(6, jax.random.key(0))
    np.testing.assert_array_equal(drawn, again)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--codec", "TEXT", "--interpolate", "the cat", " "], "sentence 1 is empty"),
        (["--codec", "TEXT", "--interpolate", "0", "1"], "needs --workdir"),
        (["--codec", "TEXT", "--reconstruct"], "needs --workdir"),
        (["--codec", "TEXT", "--workdir", "RUN"], "give one of them"),
        (["--codec", "TEXT", "--traverse"], "--traverse is for images and clips"),
        (["--codec", "VECTORS"], "must be a .npy or .csv file"),
        (["--codec", "absent"], "does not exist"),
    ],
)
def test_invalid_commands_print_one_line(text, vectors, tmp_path, capsys, arguments, message):
    places = {"TEXT": text[1], "RUN": text[0], "VECTORS": vectors[1]}
    arguments = [places.get(each, each) for each in arguments]
    assert strata("sample", "--out", tmp_path / "x.txt", *arguments) in (2, 65)
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error


def test_a_run_that_lost_its_vocabulary_is_not_exported(text, tmp_path, capsys):
    run, _ = text
    kept = (run / "vocabulary.json").read_bytes()
    try:
        (run / "vocabulary.json").write_text("{}")
        assert strata("export", "--workdir", run, "--out", tmp_path / "codec") == 65
    finally:
        (run / "vocabulary.json").write_bytes(kept)
    error = capsys.readouterr().err
    assert "holds no vocabulary" in error and error.count("\n") == 1
    assert not (tmp_path / "codec").exists()
