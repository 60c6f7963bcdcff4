"""`strata train` on video files: packed into clips, and batched in buckets of aspect ratios."""

import itertools
import json
import pathlib

import numpy as np
import pytest
from tiny_video_codec import write_video

from pipeline import build
from pipeline.cli import dispatch

RECIPE = str(pathlib.Path(__file__).parents[2] / "configs/quickstart/video.py") + ":tiny"


def test_bad_buckets_are_refused_before_compilation(tmp_path, capsys):
    write_video(tmp_path / "in.mp4", 6, height=24, width=24)
    command = [
        "train",
        "--config",
        RECIPE,
        "--workdir",
        str(tmp_path / "run"),
        "--config.data.source=videos",
    ]
    command += [
        f"--config.data.path={tmp_path}",
        "--config.data.eval_fraction=0.0",
        "--config.eval.every=0",
    ]
    for buckets, message in (
        (
            "[[20, 16]]",
            "data.buckets: 20x16 must be multiples of 8, the pixels per latent of "
            "autoencoder.Autoencoder along each side",
        ),
        ("[16]", "data.buckets: 16 must be a height and a width, such as [192, 336]"),
        (
            "[[16, 16]]",
            "there are 1 training examples, fewer than batch_size=2: lower batch_size or add "
            "videos",
        ),
    ):
        dispatch([*command, f"--config.data.buckets={buckets}"])
        error = capsys.readouterr().err.strip()
        assert message in error and "\n" not in error


def test_the_frames_of_a_clip_are_a_length_that_the_model_takes(tmp_path, capsys):
    write_video(tmp_path / "film.mp4", 30, height=16, width=16)
    for recipe, frames, message in (
        (RECIPE, 8, "data.num_frames=8 must be 1 + 4k, the lengths of clips of "),
        ("configs/allegro/vae.py:tiny", 25, "data.num_frames=25 must be 24 + 16k, the lengths "),
    ):
        dispatch(
            [
                "train",
                "--config",
                recipe,
                "--workdir",
                str(tmp_path / "run"),
                "--config.data.source=videos",
                f"--config.data.path={tmp_path}",
                "--config.data.eval_fraction=0.0",
                "--config.eval.every=0",
                f"--config.data.num_frames={frames}",
            ]
        )
        error = capsys.readouterr().err.strip()
        assert message in error and "\n" not in error


@pytest.mark.slow
def test_trains_on_packed_clips_in_two_buckets(tmp_path):
    for split, count in (("train", 2), ("eval", 1)):
        (tmp_path / split).mkdir()
        for number in range(count):
            write_video(tmp_path / split / f"wide{number}.mp4", 6, height=16, width=24)
            write_video(tmp_path / split / f"tall{number}.mp4", 6, height=24, width=16)
        assert (
            dispatch(
                ["data", "pack", str(tmp_path / split), "--out", str(tmp_path / f"packed_{split}")]
            )
            == 0
        )
    command = [
        "train",
        "--config",
        RECIPE,
        "--workdir",
        str(tmp_path / "run"),
        "--config.data.source=clips",
    ]
    command += [
        f"--config.data.path={tmp_path}/packed_train",
        f"--config.data.eval_path={tmp_path}/packed_eval",
    ]
    command += [
        "--config.data.buckets=[[16, 24], [24, 16]]",
        "--config.eval.every=0",
        "--config.sample.every=0",
    ]
    assert dispatch(command) == 0
    lines = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    losses = [line["train"]["loss"] for line in lines if "train" in line]
    assert len(losses) == 4 and np.isfinite(losses).all()
    # Batches only depend on the seed, so that these are the ones of the run: both shapes occur.
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    with build.dataset(config).train(config["batch_size"], seed=config["seed"]) as batches:
        shapes = {batch["video"].shape for batch in itertools.islice(batches, 4)}
    assert shapes == {(2, 5, 16, 24, 3), (2, 5, 24, 16, 3)}
