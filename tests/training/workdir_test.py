"""A folder belongs to one run; its metrics are cut back to the step that the run resumes from."""

import json

import pytest
from tiny_run import tiny

from pipeline.core.errors import ConfigError
from pipeline.training import workdir
from pipeline.training.monitoring.writer import MetricWriter


def test_a_folder_is_claimed_once_and_refuses_another_config(tmp_path):
    workdir.claim(tmp_path / "run", tiny())
    workdir.claim(tmp_path / "run", tiny(log={"every": 7}))  # may change
    with pytest.raises(ConfigError, match=r"batch_size: 8 -> 16; seed: 0 -> 1"):
        workdir.claim(tmp_path / "run", tiny(batch_size=16, seed=1))
    workdir.claim(tmp_path / "run", tiny(batch_size=16), force=True)
    assert workdir.load(tmp_path / "run")["batch_size"] == 16


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="holds no run"):
        workdir.claim(tmp_path, tiny())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(ConfigError, match="is a file"):
        workdir.claim(tmp_path / "thesis.tex", tiny())
    with pytest.raises(ConfigError, match="holds no run"):
        workdir.load(tmp_path)


def test_metrics_are_cut_back_on_resume_and_nan_is_null(tmp_path):
    writer = MetricWriter(tmp_path, resume_step=0)
    for step in (1, 2, 3):
        writer.scalars(
            step, "train", {"loss": float("nan") if step == 2 else 1.5, "kl": [0.5, float("inf")]}
        )
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "tra')  # as a kill leaves it
    MetricWriter(tmp_path, resume_step=2).close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [
        {"step": 1, "train": {"loss": 1.5, "kl": [0.5, None]}},
        {"step": 2, "train": {"loss": None, "kl": [0.5, None]}},
    ]
    assert list((tmp_path / "tb").iterdir())
    assert "train/loss=1.5" in (tmp_path / "train.log").read_text()


def test_other_processes_write_nothing(tmp_path):
    writer = MetricWriter(tmp_path, resume_step=0, enabled=False)
    writer.scalars(1, "train", {"loss": 1.0})
    writer.close()
    assert not list(tmp_path.iterdir())


def test_a_run_survives_a_log_that_cannot_be_written(tmp_path, capfd):
    writer = MetricWriter(tmp_path, resume_step=0)
    writer._files["metrics"] = open("/dev/full", "a")  # noqa: SIM115
    writer.scalars(1, "train", {"loss": 1.0})
    writer.scalars(2, "train", {"loss": 2.0})
    writer.timings(2, {"images_per_s": 3.0})
    writer.close()
    said = capfd.readouterr().err.strip().splitlines()
    assert (
        said.count(
            "strata: metrics.jsonl cannot be written: No space left on device; the run continues"
        )
        == 1
    )
    assert json.loads((tmp_path / "speed.jsonl").read_text())["step"] == 2
