"""A checkpoint of eight devices in two processes restores on any others, bit for bit."""

import json
import subprocess
import sys

import jax
import pytest
import tiny_run
from fault_injection.cluster import ROOT, Cluster, environment, free_port
from train_run import digest_of

from pipeline import build
from pipeline.training.checkpoints.store import Checkpoints
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
assert step == 10 and dict(made.shape) == {"replica": 2, "fsdp": 4, "context": 1}
again = Checkpoints(sys.argv[1] + "_again")
again.save(step, restored, {})
again.close()
distributed.shutdown()
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Cluster:
    """Train ten steps on two processes with four devices each."""
    cluster = Cluster(tmp_path_factory.mktemp("eight"), devices=4)
    cluster.recipe.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT / 'tests/helpers')!r})\nimport tiny_run\n"
        "def get_config(arg=''):\n    return tiny_run.recipe()\n"
    )
    outcome = cluster.run("--config.num_steps=10")
    assert outcome.codes == [0, 0], outcome.said
    return cluster


@pytest.fixture(scope="module")
def saved_digest(saved) -> str:
    return digest_of(saved.workdir)


@pytest.mark.parametrize(
    "sizes", [dict(fsdp=1), dict(fsdp=2), dict(fsdp=4), dict(replica=2, fsdp=4)]
)
def test_restored_bit_for_bit(saved, saved_digest, sizes):
    count = sizes.get("replica", 1) * sizes["fsdp"]
    mesh = meshes.create(**sizes, devices=jax.devices()[:count])
    _, shapes = build.abstract_state(tiny_run.tiny(), mesh)
    checkpoints = Checkpoints(saved.workdir / "checkpoints")
    step, restored = checkpoints.restore_newest(shapes)
    assert step == 10
    assert state_digest(to_tree(restored)) == state_digest(checkpoints.arrays(10)) == saved_digest


def test_two_processes_restore_onto_another_mesh_and_save_again(saved, saved_digest):
    folder = str(saved.workdir / "checkpoints")
    variables = environment(devices=4)
    variables["PYTHONPATH"] += f":{ROOT / 'tests/helpers'}"
    command = [sys.executable, "-c", RESTORE, folder, f"127.0.0.1:{free_port()}"]
    running = [
        subprocess.Popen([*command, str(number)], env=variables, stderr=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert state_digest(Checkpoints(folder + "_again").arrays(10)) == saved_digest


def test_one_device_continues_with_the_exact_next_batch(saved, tmp_path):
    """The losses equal eight devices' losses up to rounding, so the batches are the same."""
    whole = Cluster(tmp_path / "whole", processes=1, devices=8)
    whole.recipe.write_text(saved.recipe.read_text())
    assert whole.run().codes == [0], whole.said()
    alone = Cluster(tmp_path / "alone", processes=1)
    alone.recipe, alone.workdir = saved.recipe, saved.workdir
    outcome = alone.run()
    assert outcome.codes == [0] and "resuming after step 10" in outcome.said

    def losses(cluster):
        lines = map(json.loads, (cluster.workdir / "metrics.jsonl").read_text().splitlines())
        return [line["train"]["loss"] for line in lines]

    assert losses(alone) == pytest.approx(losses(whole), rel=2e-6) and len(losses(alone)) == 20
