"""Checkpoints of another state are refused by name; damage and a full disk give one line each."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import optax
import pytest
from tiny_state import assert_same, make_state, shapes_of

from pipeline.core.errors import CheckpointError
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.state import train_state as states
from pipeline.training.state.digest import state_digest

# Warnings about what Orbax leaves behind after a failed read.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine"
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> pathlib.Path:
    """Return a folder with make_state() saved as step 2."""
    folder = tmp_path_factory.mktemp("saved")
    checkpoints = Checkpoints(folder)
    checkpoints.save(2, make_state(), {})
    checkpoints.wait()
    return folder


@pytest.mark.parametrize("devices", [1, 2])
def test_a_state_in_nested_tuples_goes_to_fewer_devices(saved, devices):
    wanted = shapes_of(make_state(1, devices=devices))
    restored = Checkpoints(saved).restore(2, wanted)
    assert_same(restored, make_state())
    assert all(
        x.sharding == y.sharding for x, y in zip(jax.tree.leaves(restored), jax.tree.leaves(wanted))
    )
    assert (
        state_digest(restored)
        == state_digest(Checkpoints(saved).arrays(2))
        == state_digest(make_state())
    )


def test_a_step_saved_again_is_replaced(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for seed in (1, 2):
        checkpoints.save(5, make_state(seed), {"seed": seed})
    checkpoints.wait()
    assert_same(checkpoints.restore(5, shapes_of(make_state())), make_state(2))
    assert checkpoints.metadata(5) == {"seed": 2}


def test_a_reader_clears_nothing(tmp_path):
    (tmp_path / "5.orbax-checkpoint-tmp" / "params").mkdir(parents=True)
    (tmp_path / "notes").write_text("mine")
    assert Checkpoints(tmp_path).latest() is None
    assert (tmp_path / "5.orbax-checkpoint-tmp").exists(), "another process may be writing it"


def other_states() -> dict[str, tuple[states.TrainState, str]]:
    """Return states that differ from make_state(), each with what the message must name."""
    state = make_state()
    without = {name: array for name, array in state.params.items() if name != "a.bias"}
    return {
        "shape": (
            make_state(width=128),
            r"ema\.a\.bias is float32\[64\] there, and float32\[128\] here",
        ),
        "missing here": (state.replace(params=without), r"params\.a\.bias.*absent here"),
        "missing there": (
            state.replace(ema=state.ema | {"c": jnp.zeros(3)}),
            r"ema\.c.*absent there",
        ),
        "dtype": (
            state.replace(ema=jax.tree.map(lambda x: x.astype(jnp.bfloat16), state.ema)),
            "bfloat16",
        ),
        "optimiser": (make_state(optimizer=optax.sgd(0.1, momentum=0.9)), "opt_state"),
    }


@pytest.mark.parametrize("kind", other_states())
def test_another_state_is_refused_by_name(saved, kind):
    wanted, message = other_states()[kind]
    with pytest.raises(CheckpointError, match=message) as caught:
        Checkpoints(saved).restore(2, shapes_of(wanted))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def damaged(folder: pathlib.Path, how: str) -> None:
    data = max(
        (path for path in folder.rglob("d/*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )
    if how == "truncated":
        os.truncate(data, data.stat().st_size // 2)
    elif how == "missing":
        data.unlink()
    elif how == "metadata":
        (folder / "_CHECKPOINT_METADATA").write_text("{")
    elif how == "manifest":
        for path in folder.rglob("manifest.ocdbt"):
            path.write_bytes(b"")
    elif how == "broken link":
        data.unlink()
        data.symlink_to(folder / "nowhere")
    elif how == "nested":
        (folder / "manifest.json").write_text("[" * 100_000)


@pytest.mark.parametrize(
    "how", ["truncated", "missing", "metadata", "manifest", "nested", "broken link"]
)
def test_damage_is_one_line(tmp_path, capfd, how):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, make_state(), {})
    checkpoints.wait()
    damaged(tmp_path / "2", how)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.restore(2, shapes_of(make_state()))
    message = str(caught.value)
    assert str(tmp_path / "2") in message and "\n" not in message and len(message) < 500
    assert capfd.readouterr().err == ""


FULL_DISK = """
import resource, sys
# A limit on the size of files stands for the disk's.
from tiny_state import make_state
from pipeline.training.checkpoints.store import Checkpoints
checkpoints = Checkpoints(sys.argv[1])
checkpoints.save(1, make_state(1, 2, 1024), {})
checkpoints.wait()
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
checkpoints.save(2, make_state(2, 2, 1024), {})
checkpoints.wait()
print("failure:", checkpoints.failure, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
checkpoints.save(3, make_state(3, 2, 1024), {})
checkpoints.close()
print("then:", checkpoints.failure, checkpoints.steps())
"""


def environment() -> dict[str, str]:
    root = pathlib.Path(__file__).parents[3]
    paths = [str(root), str(root / "tests" / "helpers")]
    flags = "--xla_force_host_platform_device_count=2"
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "XLA_FLAGS": flags}


@pytest.mark.slow
def test_a_process_tells_a_full_disk_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    failure, then = done.stdout.strip().splitlines()
    assert failure.startswith(
        "failure: the checkpoint of step 2 was not written: File too large"
    ), failure
    assert "the last good one is of step 1" in failure
    assert then == "then: None [1, 3]"
    assert len(done.stderr.strip().splitlines()) == 1 and "the run goes on" in done.stderr
    assert not list(tmp_path.glob("*tmp*"))
    for step in (1, 3):
        wanted = make_state(step, 2, 1024)
        assert_same(Checkpoints(tmp_path).restore(step, shapes_of(wanted)), wanted)
