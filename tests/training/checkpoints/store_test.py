"""Checkpoints are restored bit for bit on any mesh; kills, full disks and damage lose no others."""

import os
import pathlib
import resource
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import tiny

from pipeline import build
from pipeline.build.trained import load_for_inference
from pipeline.core.errors import CheckpointError
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.state import mesh as meshes
from pipeline.training.state import train_state as states
from pipeline.training.state.digest import state_digest
from pipeline.training.state.state_tree import to_tree
from pipeline.training.workdir import claim

ROOT = pathlib.Path(__file__).parents[3]


def shapes_on(devices: int, **changes):
    settings = tiny(**changes)
    mesh = meshes.create(devices=jax.devices()[:devices])
    update = build.update(settings)
    _, shapes = states.abstract(build.model_factory(settings), update.optimizer, mesh)
    return settings, update, shapes


@pytest.fixture(scope="module")
def eight():
    """Return a state sharded over eight devices."""
    settings, update, shapes = shapes_on(8)
    return states.initialize(build.model_factory(settings), update.optimizer, shapes, 0), shapes


def test_a_state_comes_back_bit_for_bit_on_its_mesh_and_on_another(eight, tmp_path):
    state, shapes = eight
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, state, {"config": {"seed": 0}})
    checkpoints.wait()
    assert checkpoints.latest() == 3 and checkpoints.metadata(3) == {"config": {"seed": 0}}
    _, _, one = shapes_on(1)
    for target in (shapes, one):
        back = checkpoints.restore(3, target)
        assert state_digest(to_tree(back)) == state_digest(to_tree(state))
        assert jax.tree.structure(back) == jax.tree.structure(state)
        wanted = jax.tree.map(lambda leaf: leaf.sharding, target)
        assert all(jax.tree.leaves(jax.tree.map(lambda a, s: a.sharding == s, back, wanted)))
    assert state_digest(checkpoints.arrays(3)) == state_digest(to_tree(state))


def test_buffers_may_be_donated_while_a_save_runs(tmp_path):
    state = states.fresh({"w": jnp.zeros((500, 500))}, {}, build.update(tiny()).optimizer)
    advance = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in range(1, 5):
        state = advance(state)
        checkpoints.save(step, state, {})
        state = advance(advance(state))
    checkpoints.close()
    assert checkpoints.steps() == [3, 4]
    np.testing.assert_array_equal(checkpoints.arrays(3, "params")["params"]["w"], 7)
    np.testing.assert_array_equal(checkpoints.arrays(4, "params")["params"]["w"], 10)


def test_another_model_is_refused_by_name(eight, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, eight[0], {})
    checkpoints.wait()
    wider = tiny()["model"] | {"latent_dim": 5}
    _, _, other = shapes_on(1, model=wider)
    with pytest.raises(
        CheckpointError,
        match=r"another model.*decoder.linears.0.kernel is .*\[4, 64\] there.*\[5, 64\]",
    ):
        checkpoints.restore(1, other)
    with pytest.raises(CheckpointError, match="steps there: 1"):
        checkpoints.restore(2, other)


def test_empty_and_half_written_steps_are_ignored_and_cleared(eight, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / "9").mkdir()
    (tmp_path / "8.orbax-checkpoint-tmp" / "params").mkdir(parents=True)
    assert checkpoints.latest() is None
    checkpoints.save(9, eight[0], {})
    checkpoints.wait()
    assert checkpoints.failure is None and [path.name for path in tmp_path.iterdir()] == ["9"]


def test_what_is_no_step_is_left_alone_and_what_a_link_leads_to_stays(eight, tmp_path):
    folder, elsewhere = tmp_path / "checkpoints", tmp_path / "elsewhere"
    for name in ("²", "007", "3x", "elsewhere"):
        (folder / name).mkdir(parents=True)
        (folder / name / "manifest.json").write_text("{}")
    elsewhere.mkdir()
    (elsewhere / "manifest.json").write_text("{}")
    (folder / "5").symlink_to(elsewhere)
    (folder / "6").symlink_to(tmp_path / "nowhere")
    (folder / "7").write_text("")
    checkpoints = Checkpoints(folder)
    assert checkpoints.steps() == [5]
    for step in (5, 6, 7):
        checkpoints.save(step, eight[0], {})
        checkpoints.wait()
    assert checkpoints.failure is None and checkpoints.steps() == [5, 6, 7]
    assert [path.name for path in elsewhere.iterdir()] == ["manifest.json"]
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "how", [pathlib.Path.unlink, lambda path: os.truncate(path, path.stat().st_size // 2)]
)
def test_damage_is_told_in_a_line(eight, tmp_path, how):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, eight[0], {})
    checkpoints.wait()
    for path in (tmp_path / "1" / "ema").rglob("d/*"):
        how(path)
    with pytest.raises(CheckpointError, match=r"checkpoint .*1 is damaged: ") as caught:
        checkpoints.restore(1, eight[1])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_full_disk_is_told_in_a_line_and_the_next_save_works(tmp_path, capfd):
    state = states.fresh(
        {"w": jax.random.normal(jax.random.key(0), (400, 400))}, {}, build.update(tiny()).optimizer
    )
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state, {})
    checkpoints.wait()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        checkpoints.save(2, state, {})
        checkpoints.wait()
        checkpoints.save(3, state, {})
        checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "step 3 was not written: File too large; the last good one is of step 1" in str(
        checkpoints.failure
    )
    assert len(capfd.readouterr().err.strip().splitlines()) == 2
    checkpoints.save(4, state, {})
    checkpoints.close()
    assert checkpoints.failure is None and sorted(path.name for path in tmp_path.iterdir()) == [
        "1",
        "4",
    ]


# Saves in a tight loop until it is killed.
SAVES_FOR_EVER = """
import sys
import jax.numpy as jnp
from pipeline.training import optim
from pipeline.training.state import train_state as states
from pipeline.training.checkpoints.store import Checkpoints
state = states.fresh({f"w{i}": jnp.zeros((256, 256)) for i in range(8)}, {}, optim.create("adamw"))
checkpoints, step = Checkpoints(sys.argv[1], keep=2), 0
while True:
    step += 1
    state = state.replace(step=state.step + 1)
    checkpoints.save(step, state, {"said": step})
    print(step, flush=True)
"""


@pytest.mark.parametrize(
    "after", [0.05, *(pytest.param(after, marks=pytest.mark.slow) for after in (0.0, 0.11))]
)
def test_killed_at_any_time_the_newest_checkpoint_loads(tmp_path, after):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": os.environ["ONE_DEVICE_XLA_FLAGS"],
    }
    run = subprocess.Popen(
        [sys.executable, "-c", SAVES_FOR_EVER, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert run.stdout is not None
    for _ in range(3):
        run.stdout.readline()
    try:
        run.wait(after)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGKILL)
    run.communicate()
    checkpoints = Checkpoints(tmp_path)
    latest = checkpoints.latest()
    assert latest is not None and latest >= 2
    assert int(checkpoints.arrays(latest)["counters"]["step"]) == latest
    assert checkpoints.metadata(latest) == {"said": latest}


def test_a_model_for_inference_has_the_ema_or_the_last_weights(tmp_path):
    settings, update, shapes = shapes_on(1)
    state = states.initialize(build.model_factory(settings), update.optimizer, shapes, 0)
    state = state.replace(ema={name: value + 1 for name, value in state.ema.items()})
    claim(tmp_path / "run", settings)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_for_inference(tmp_path / "run")
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    checkpoints.save(7, state, {})
    checkpoints.close()
    config, step, model = load_for_inference(tmp_path / "run")
    _, _, last = load_for_inference(tmp_path / "run", step=7, ema=False)
    assert step == 7 and config["model"]["name"] == "vae.VAE"
    name = "posterior"
    np.testing.assert_array_equal(
        model.encoder.posterior.kernel[...], last.encoder.posterior.kernel[...] + 1, name
    )
