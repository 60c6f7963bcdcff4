"""`strata eval` and `strata sample` on a trained run."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image
from tiny_codec import tiny_codec
from train_run import train

from pipeline import cli
from pipeline.build import trained
from pipeline.cli import sample
from pipeline.codec.media.video_io import VideoReader
from pipeline.core.errors import ConfigError
from pipeline.data.images.image_data import ImageData
from pipeline.evaluators import factors as evaluator
from pipeline.metrics.functions.factors import fixed_factor

NUM_EVAL = 18  # a hundredth of scikit-learn's digits


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    config = ConfigDict(dict(num_steps=2, batch_size=8, ema=0.9))
    config.data = dict(source="digits", image_size=8, channels=1, eval_fraction=0.01)
    config.model = dict(
        name="vae.VAE", image_size=8, image_channels=1, channels=(4,), hidden=(), latent_dim=4
    )
    config.optimizer = dict(name="adamw", learning_rate=1e-3)
    config.checkpoint = dict(every=1, keep=2)
    config.mesh = dict(replica=1, fsdp=1, context=1)
    folder = tmp_path_factory.mktemp("run") / "digits"
    train(config, folder)
    return folder


def test_eval_writes_the_keys_that_scripts_read(workdir, tmp_path, capsys):
    out = tmp_path / "eval.json"
    command = ["eval", "--workdir", str(workdir), "--num_importance_samples=2", "--json", str(out)]
    assert cli.dispatch(command) == 0
    result = json.loads(out.read_text())
    assert result["num_examples"] == NUM_EVAL and result["step"] == 2
    for key in ("bits_per_dim", "iwae_bits_per_dim", "psnr", "ssim", "distortion", "rate"):
        assert np.isfinite(result[key])
    assert len(result["kl_per_layer"]) == 1 and result["active_units"]["units"] == 4
    assert (
        "DiscretizedGaussian" in result["protocol"]
        and "EMA weights of step 2" in result["protocol"]
    )
    assert json.loads((workdir / "eval" / "2.json").read_text()) == result
    assert f"{NUM_EVAL} examples" in capsys.readouterr().out


def test_eval_measures_factors_where_the_source_knows_them(workdir, capsys, monkeypatch):
    assert cli.dispatch(["eval", "--workdir", str(workdir), "--factors"]) == 2
    assert "data.source='digits' knows no factors" in capsys.readouterr().err
    factors = np.column_stack([np.arange(NUM_EVAL) % 2, np.arange(NUM_EVAL) // 2 % 2])
    found = ("parity", "half"), factors
    monkeypatch.setattr(ImageData, "eval_factors", lambda data, rows: (found[0], found[1][rows]))
    monkeypatch.setattr(evaluator, "FEWEST", NUM_EVAL)
    monkeypatch.setattr(fixed_factor, "NUM_TRAINING", 40)
    monkeypatch.setattr(fixed_factor, "NUM_TEST", 20)
    assert cli.dispatch(["eval", "--workdir", str(workdir), "--factors", "--json=-"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)["factors"]
    assert report["num_examples"] == NUM_EVAL and 0 <= report["mig"] <= 1
    assert set(report["mig_of_factor"]) == {"parity", "half"}
    assert "mutual information gap" in captured.err and "DCI disentanglement" in captured.err


def test_eval_is_repeatable_and_takes_a_step_and_a_batch_size(workdir, capsys):
    def evaluate(*arguments):
        assert cli.dispatch(["eval", "--workdir", str(workdir), "--json=-", *arguments]) == 0
        captured = capsys.readouterr()
        assert "bits/dim" in captured.err
        return json.loads(captured.out)

    first, second = evaluate(), evaluate()
    assert first["bits_per_dim"] == second["bits_per_dim"] and first["psnr"] == second["psnr"]
    single = evaluate("--batch_size=7", "--num_examples=7")
    assert single["num_examples"] == 7
    earlier = evaluate("--step=1")
    assert earlier["step"] == 1 and earlier["bits_per_dim"] != first["bits_per_dim"]


def test_eval_scores_examples_and_measures_the_code(workdir, tmp_path, capsys):
    out = tmp_path / "eval.json"
    command = ["eval", "--workdir", str(workdir), "--json", str(out), "--anomaly", "--rate"]
    assert cli.dispatch([*command, "--normal_labels=0,1,2"]) == 0
    result = json.loads(out.read_text())
    scores, coding = result["anomaly"], result["coding"]
    assert len(scores["examples"]["nats"]) == scores["num_examples"] == NUM_EVAL
    np.testing.assert_allclose(np.mean(scores["examples"]["nats"]), result["nats"], rtol=1e-5)
    assert 0 <= scores["auroc_elbo"] <= 1 and "auroc_iwae" not in scores
    bits = result["rate"] / np.log(2) / 64
    np.testing.assert_allclose(coding["code_bits_per_value"], bits, rtol=1e-4)
    shown = capsys.readouterr().out
    assert "AUROC of the negative ELBO" in shown and "latents' code" in shown


def test_sample_draws_grids(workdir, tmp_path):
    drawn = {}
    for name, arguments in {
        "hot": [],
        "again": [],
        "cold": ["--temperature=0", "--mean"],
        "other": ["--seed=1"],
        "recon": ["--reconstruct", "--num=5"],
    }.items():
        out = tmp_path / f"{name}.png"
        command = ["sample", "--workdir", str(workdir), "--out", str(out), "--num=9", *arguments]
        assert cli.dispatch(command) == 0
        drawn[name] = np.asarray(Image.open(out))
    assert drawn["hot"].shape == (3 * 68 + 4, 3 * 68 + 4, 3)
    np.testing.assert_array_equal(drawn["hot"], drawn["again"])
    assert (drawn["hot"] != drawn["other"]).any()
    np.testing.assert_array_equal(drawn["cold"][4:68, 4:68], drawn["cold"][72:136, 72:136])
    assert drawn["recon"].shape[0] == 2 * 68 + 4


def test_samples_are_recognized_or_not(workdir, tmp_path, capsys):
    result = tmp_path / "samples.json"
    command = ["sample", "--workdir", str(workdir), "--out", str(tmp_path / "grid.png"), "--num=9"]
    assert cli.dispatch([*command, "--recognize", "--json", str(result)]) == 0
    found = json.loads(result.read_text())
    assert found["recognized"] == 0 and found["held_out"] > 0.9  # a model of two steps draws noise
    assert sum(found["classes"].values()) == 0 and len(found["classes"]) == 10
    assert "9 samples, 0% recognized (of held-out images" in capsys.readouterr().out


def test_walks_through_the_latents_are_drawn(workdir, tmp_path):
    picture = tmp_path / "a.png"
    Image.fromarray(np.full((20, 30), 200, np.uint8)).save(picture)

    def drawn(name, *arguments):
        out, result = tmp_path / name, tmp_path / "walk.json"
        command = ["sample", "--workdir", str(workdir), "--out", str(out), "--json", str(result)]
        assert cli.dispatch([*command, *arguments]) == 0
        return out, json.loads(result.read_text())

    def still(name, *arguments):
        out, result = drawn(name, *arguments)
        return np.asarray(Image.open(out)), result

    straight, result = still("line.png", "--num=3", "--interpolate", str(picture), "17")
    assert straight.shape == (68 + 4, 3 * 68 + 4, 3)
    assert (result["what"], result["along"], result["num"]) == ("interpolation", "linear", 3)
    back, _ = still("back.png", "--num=3", "--along=slerp", "--interpolate", "17", str(picture))
    np.testing.assert_array_equal(straight[4:68, 4:68], back[4:68, -68:-4])
    rows, result = still("rows.png", "--num=3", "--dimensions=2", "--traverse")
    assert rows.shape[0] == 2 * 68 + 4 and len(result["dimensions"]) == 2
    assert result["kl"][0] >= result["kl"][1] and result["deviations"] == 3
    film, _ = drawn("film.mp4", "--num=4", "--traverse", "3")
    with VideoReader(film) as reader:
        assert len(list(reader)) == 4


def test_classes_are_drawn_in_rows_and_walked_from_a_codec(tmp_path, monkeypatch):
    codec = tiny_codec("labelled")
    model = codec.modeldef.merge(codec.weights, {})
    monkeypatch.setattr(trained, "load_for_inference", lambda *_: ({}, 3, model))
    out, result = tmp_path / "grid.png", tmp_path / "grid.json"
    command = ["sample", "--workdir", "run", "--out", str(out), "--json", str(result)]
    assert cli.dispatch([*command, "--label=0,4", "--num=6"]) == 0
    assert np.asarray(Image.open(out)).shape[0] == 2 * 68 + 4
    assert json.loads(result.read_text())["label"] == [0, 4]
    plain = out.read_bytes()
    assert cli.dispatch([*command, "--label=0,4", "--num=6", "--guidance=3"]) == 0
    assert json.loads(result.read_text())["guidance"] == 3 and out.read_bytes() != plain
    codec.save_pretrained(tmp_path / "codec")
    picture = tmp_path / "a.png"
    Image.fromarray(np.full((8, 8), 90, np.uint8)).save(picture)
    walk = ["sample", "--codec", str(tmp_path / "codec"), "--out", str(out), "--num=3"]
    shown = []
    for label in ("1", "2"):
        assert cli.dispatch([*walk, "--traverse", str(picture), f"--label={label}"]) == 0
        shown.append(np.asarray(Image.open(out)))
    assert shown[0].shape[0] == 3 * 68 + 4 and (shown[0] != shown[1]).any()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["sample", "--out", "x.png"], "--workdir is missing"),
        (["sample", "--out", "x.png", "--traverse"], "needs --workdir or --codec"),
        (["sample", "--workdir", "RUN", "--out", "x.png", "--interpolate", "1"], "takes two"),
        (
            ["sample", "--workdir", "RUN", "--out", "x.png", "--interpolate", "1", "18"],
            "no held-out example 18: they have numbers from 0 to 17",
        ),
        (["sample", "--workdir", "RUN", "--out", "x.mp4"], "must be a .png file"),
        (["sample", "--workdir", "RUN", "--out", "x.png", "--label=3"], "model takes no labels"),
        (["sample", "--workdir", "RUN", "--out", "x.png", "--guidance=2"], "needs --label"),
        (["sample", "--workdir", "RUN", "--out", "x.png", "--traverse", "--mean"], "--mean does"),
        (["sample", "--workdir", "RUN"], "--out is missing"),
        (["sample", "--workdir", "RUN", "--out", "x.jpg"], "must be a .png file"),
        (["sample", "--workdir", "RUN", "--out", "x.png", "--temperature=1,0.5"], "has 2 values"),
        (
            ["sample", "--workdir", "RUN", "--out", "x.png", "--recognize", "--reconstruct"],
            "leave out --reconstruct",
        ),
        (
            ["sample", "--workdir", "RUN", "--out", "x.png", "--temperature=hot"],
            "--temperature hot",
        ),
        (
            ["sample", "--workdir", "RUN", "--out", "x.png", "--batch_norm_passes=2"],
            "does not draw samples through batch norm",
        ),
        (["sample", "--workdir", "RUN", "--out", "x.png", "--num=0"], "num"),
        (["eval"], "--workdir is missing"),
        (["eval", "--workdir", "RUN", "extra"], "'extra'"),
        (["eval", "--workdir", "/nowhere"], "no run"),
        (["eval", "--workdir", "RUN", "--num_examples=0"], "num_examples"),
        (["eval", "--workdir", "RUN", "--stepp=3"], "stepp"),
        (["eval", "--workdir", "RUN", "--normal_labels=3"], "--normal_labels needs --anomaly"),
        (["eval", "--workdir", "RUN", "--anomaly", "--normal_labels=a"], "--normal_labels=a must"),
    ],
)
def test_invalid_commands_print_one_line(workdir, capsys, arguments, message):
    arguments = [str(workdir) if argument == "RUN" else argument for argument in arguments]
    assert cli.dispatch(arguments) == ConfigError.exit_code
    error = capsys.readouterr().err
    assert (
        error.startswith(f"strata {arguments[0]}: ") and message in error and error.count("\n") == 1
    )


def test_a_missing_checkpoint_is_an_error(workdir, capsys):
    assert cli.dispatch(["eval", "--workdir", str(workdir), "--step=77"]) == 65
    assert "77" in capsys.readouterr().err


def test_temperatures_are_one_number_or_one_per_layer():
    assert sample.per_layer(sample.parse_temperatures(["0.9"]), 43) == 0.9
    assert sample.per_layer(sample.parse_temperatures(["1", "0.5"]), 2) == (1.0, 0.5)
    for texts in ([], ["-1"], ["nan"], ["a"]):
        with pytest.raises(ConfigError):
            sample.parse_temperatures(texts)
