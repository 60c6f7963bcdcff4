"""Runs of two processes equal one process's run, stop together, and report each other's errors.

benchmarks/faults.py has the whole matrix of faults; these tests take a minute.
"""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from fault_injection.cluster import STEPS, Cluster, environment
from fault_injection.patches import PATCHES
from train_run import digest_of

from pipeline.core.errors import ConfigError, Hung
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.runtime import distributed


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Cluster:
    """Train with two processes of one device each."""
    cluster = Cluster(tmp_path_factory.mktemp("pair"))
    outcome = cluster.run()
    assert outcome.codes == [0, 0], outcome.said
    return cluster


def metrics(cluster: Cluster, group: str = "train") -> list[dict]:
    lines = (cluster.workdir / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if group in line]


def test_two_processes_train_as_one(pair, tmp_path):
    alone = Cluster(tmp_path, processes=1)
    main = "import sys; sys.modules['tensorflow'] = None; from pipeline.cli import main; main()"
    command = [sys.executable, "-c", main, "train"]
    command += ["--config", str(alone.recipe), "--workdir", str(alone.workdir)]
    two_devices = environment(devices=2)
    subprocess.run(command, env=two_devices, check=True, capture_output=True, timeout=300)
    assert [line["step"] for line in metrics(pair)] == list(range(1, STEPS + 1)), (
        "metrics are written once"
    )
    for left, right in zip(metrics(pair), metrics(alone), strict=True):
        assert left["train"]["loss"] == pytest.approx(right["train"]["loss"], rel=2e-6)
    for left, right in zip(metrics(pair, "eval"), metrics(alone, "eval"), strict=True):
        assert left["eval"]["bits_per_dim"] == pytest.approx(
            right["eval"]["bits_per_dim"], rel=2e-6
        )
        assert left["eval"]["num_examples"] == right["eval"]["num_examples"] == 16
    ours, theirs = (Checkpoints(run.workdir / "checkpoints").arrays(STEPS) for run in (pair, alone))
    for part in ours:
        for name, array in ours[part].items():
            np.testing.assert_allclose(
                array, theirs[part][name], rtol=2e-4, atol=2e-6, err_msg=name
            )
    pictures = {path.name for path in (pair.workdir / "samples").iterdir()}
    assert pictures == {path.name for path in (alone.workdir / "samples").iterdir()}


def test_a_preempted_pair_saves_the_same_step_and_resumes_exactly(pair, tmp_path):
    cluster = Cluster(tmp_path)
    patch = PATCHES["term in {phase}"].replace("{phase!r}", "'evaluate'")
    stopped = cluster.run(patch=patch)
    assert stopped.codes == [75, 75], stopped.said
    assert cluster.steps() == [10, 20] and "resumes after step 20" in stopped.said
    again = cluster.run()
    assert again.codes == [0, 0] and "resuming after step 20" in again.said
    assert digest_of(cluster.workdir) == digest_of(pair.workdir)
    assert metrics(cluster) == metrics(pair)
    goodput = json.loads((cluster.workdir / "goodput.json").read_text())
    assert goodput["starts"] == 2 and 0 < goodput["goodput"] < 1


def test_all_processes_name_the_one_that_failed(tmp_path):
    outcome = Cluster(tmp_path).run(patch=PATCHES["no data"])
    assert outcome.codes == [65, 65]
    assert outcome.said.count("process 1 on") == 2 and "/data: No such file" in outcome.said


def call(number: int, processes: int, port: int, results: dict, timeout_s: int) -> None:
    try:
        distributed.roll_call(distributed.Group(f"127.0.0.1:{port}", processes, number), timeout_s)
        results[number] = "there"
    except (Hung, ConfigError) as error:
        results[number] = str(error)


@pytest.mark.parametrize(
    "present, said",
    [
        ([0, 1, 2], "there"),
        ([0, 2], "2 of 3 processes came within 2 s; missing: 1"),
        ([0, 1, 1], "was given to two"),
    ],
)
def test_the_roll_call_names_missing_processes(present, said):
    port, results = 21000 + os.getpid() % 10000, {}
    threads = [
        threading.Thread(target=call, args=(number, 3, port, results, 2)) for number in present
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(said in result for result in results.values()), results


def test_other_processes_report_that_process_0_is_missing():
    results: dict = {}
    call(1, 2, 21000 + os.getpid() % 10000, results, 1)
    assert "did not reach process 0 at 127.0.0.1" in results[1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("h:1", None, None), "--num_processes and --process_id missing"),
        (("h:1", 2, 2), "ids are 0 and on"),
        (("h", 2, 0), "is not HOST:PORT"),
        (("h:99999", 2, 0), "is not HOST:PORT"),
    ],
)
def test_impossible_groups_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        distributed.initialize(*arguments)
