"""Runs of two processes stop together, are restored on any other devices, and report each other's
errors.

benchmarks/faults.py has the whole matrix of faults; these tests take a minute.
"""

import json
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest
import tiny_run
from fault_injection.cluster import ROOT, STEPS, Cluster, environment, free_port
from fault_injection.patches import PATCHES
from train_run import digest_of, train

from pipeline import build
from pipeline.core.errors import ConfigError, Hung
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.runtime import distributed
from pipeline.training.state import mesh as meshes
from pipeline.training.state.digest import state_digest
from pipeline.training.state.state_tree import to_tree

# For two processes with four devices each: restores a folder's checkpoint and saves it again.
RESTORE = """
import sys
from pipeline.training.runtime import distributed
distributed.initialize(sys.argv[2], 2, int(sys.argv[3]))
import jax
from tiny_run import tiny
from pipeline import build
from pipeline.training.state import mesh
from pipeline.training.checkpoints.store import Checkpoints
settings = tiny()
made = mesh.create(replica=2, fsdp=-1)
_, shapes = build.abstract_state(settings, made)
step, restored = Checkpoints(sys.argv[1]).restore_newest(shapes)
assert step == 20 and dict(made.shape) == {"replica": 2, "fsdp": 4, "context": 1}
again = Checkpoints(sys.argv[1] + "_again")
again.save(step, restored, {})
again.close()
distributed.shutdown()
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Cluster:
    """Train with two processes of four devices each, which are preempted once."""
    cluster = Cluster(tmp_path_factory.mktemp("pair"), devices=4)
    patch = PATCHES["term in {phase}"].replace("{phase!r}", "'evaluate'")
    stopped = cluster.run(patch=patch)
    assert stopped.codes == [75, 75], stopped.said
    assert cluster.steps() == [10, 20] and "resumes after step 20" in stopped.said
    again = cluster.run()
    assert again.codes == [0, 0] and "resuming after step 20" in again.said, again.said
    return cluster


def metrics(workdir: pathlib.Path, group: str = "train") -> list[dict]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if group in line]


def at_step_20(pair: Cluster, folder: pathlib.Path) -> pathlib.Path:
    """Copy the run as it was after step 20."""
    shutil.copytree(pair.workdir, folder)
    for step in (30, 40):
        shutil.rmtree(folder / "checkpoints" / str(step))
    (folder / "DONE").unlink()
    return folder


def test_one_device_continues_as_the_pair_of_processes(pair, tmp_path, capfd):
    """Batches and noise do not depend on processes and devices: values differ by rounding."""
    workdir = at_step_20(pair, tmp_path / "run")
    config = runpy.run_path(str(pair.recipe))["get_config"]()
    config.mesh.fsdp = 1
    train(config, workdir)
    assert "resuming after step 20" in capfd.readouterr().err
    assert [line["step"] for line in metrics(pair.workdir)] == list(range(1, STEPS + 1)), (
        "metrics are written once"
    )
    for left, right in zip(metrics(pair.workdir), metrics(workdir), strict=True):
        assert left["train"]["loss"] == pytest.approx(right["train"]["loss"], rel=2e-6)
    # A run that is preempted while it evaluates goes on without that evaluation and its samples.
    (left,), (right,) = metrics(pair.workdir, "eval"), metrics(workdir, "eval")
    assert left["step"] == right["step"] == STEPS
    assert left["eval"]["bits_per_dim"] == pytest.approx(right["eval"]["bits_per_dim"], rel=2e-6)
    assert left["eval"]["num_examples"] == right["eval"]["num_examples"] == 16
    ours, theirs = (
        Checkpoints(run / "checkpoints").arrays(STEPS) for run in (pair.workdir, workdir)
    )
    for part in ours:
        for name, array in ours[part].items():
            np.testing.assert_allclose(
                array, theirs[part][name], rtol=2e-4, atol=2e-6, err_msg=name
            )
    pictures = {path.name for path in (pair.workdir / "samples").iterdir()}
    assert pictures and pictures == {path.name for path in (workdir / "samples").iterdir()}


@pytest.mark.parametrize(
    "sizes", [dict(fsdp=1), dict(fsdp=2), dict(fsdp=4), dict(replica=2, fsdp=4)]
)
def test_restored_bit_for_bit_on_other_devices(pair, sizes):
    count = sizes.get("replica", 1) * sizes["fsdp"]
    mesh = meshes.create(**sizes, devices=jax.devices()[:count])
    _, shapes = build.abstract_state(tiny_run.tiny(), mesh)
    checkpoints = Checkpoints(pair.workdir / "checkpoints")
    step, restored = checkpoints.restore_newest(shapes)
    assert step == STEPS
    assert state_digest(to_tree(restored)) == state_digest(checkpoints.arrays(STEPS))


def test_two_processes_restore_onto_another_mesh_and_save_again(pair, tmp_path):
    folder = str(at_step_20(pair, tmp_path / "run") / "checkpoints")
    variables = environment(devices=4)
    variables["PYTHONPATH"] += f":{ROOT / 'tests/helpers'}"
    command = [sys.executable, "-c", RESTORE, folder, f"127.0.0.1:{free_port()}"]
    running = [
        subprocess.Popen([*command, str(number)], env=variables, stderr=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    digests = [state_digest(Checkpoints(each).arrays(20)) for each in (folder, folder + "_again")]
    assert digests[0] == digests[1]


def test_a_preempted_pair_counts_both_starts(pair):
    goodput = json.loads((pair.workdir / "goodput.json").read_text())
    assert goodput["starts"] == 2 and 0 < goodput["goodput"] < 1


@pytest.mark.slow
def test_a_preempted_pair_ends_exactly_as_one_that_was_not(pair, tmp_path):
    cluster = Cluster(tmp_path, devices=4)
    outcome = cluster.run()
    assert outcome.codes == [0, 0], outcome.said
    assert digest_of(cluster.workdir) == digest_of(pair.workdir)
    assert metrics(cluster.workdir) == metrics(pair.workdir)


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
    "present, timeout_s, said",
    [
        ([0, 1, 2], 60, "there"),
        ([0, 2], 3, "2 of 3 processes came within 3 s; missing: 1"),
        ([0, 1, 1], 60, "was given to two"),
    ],
)
def test_the_roll_call_names_missing_processes(present, timeout_s, said):
    port, results = 21000 + os.getpid() % 10000, {}
    threads = [
        threading.Thread(target=call, args=(number, 3, port, results, timeout_s))
        for number in present
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
