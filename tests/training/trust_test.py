"""A damaged checkpoint is never restored: the state is what was saved, or an older checkpoint's."""

import os
import pathlib
import shutil

import numpy as np
import pytest
from tiny_state import assert_same, make_state, shapes_of

from pipeline.cli import checkpoint as command
from pipeline.cli import dispatch
from pipeline.core.errors import CheckpointError, ConfigError, DamagedCheckpoint
from pipeline.training.checkpoints import store
from pipeline.training.checkpoints.retention import Retention
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine"
)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> pathlib.Path:
    """Save steps 1 and 2."""
    folder = tmp_path_factory.mktemp("pristine")
    checkpoints = Checkpoints(folder)
    for step in (1, 2):
        checkpoints.save(step, make_state(step), {"said": step}, {"psnr": float(step)})
    checkpoints.close()
    return folder


@pytest.fixture
def folder(pristine, tmp_path) -> pathlib.Path:
    shutil.copytree(pristine, tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def flip(path: pathlib.Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1 << 3
    path.write_bytes(bytes(data))


DAMAGE = {
    "flipped": flip,
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "deleted": os.unlink,
}


@pytest.mark.parametrize(
    "how", ["flipped", *(pytest.param(how, marks=pytest.mark.slow) for how in ("cut", "deleted"))]
)
def test_damage_to_any_file_is_found_or_harmless(pristine, tmp_path, capfd, how):
    """Damage each file of the newest step in turn."""
    files = [
        path.relative_to(pristine) for path in sorted((pristine / "2").rglob("*")) if path.is_file()
    ]
    assert len(files) > 5
    if how != "deleted":
        files = [file for file in files if (pristine / file).stat().st_size]
    found = 0
    for number, file in enumerate(files):
        folder = tmp_path / str(number)
        shutil.copytree(pristine, folder)
        DAMAGE[how](folder / file)
        checkpoints = Checkpoints(folder)
        step, state = checkpoints.restore_newest(shapes_of(make_state()))
        assert_same(state, make_state(step))
        if step == 1:
            found += 1
            # Without a manifest, a checkpoint looks like one whose save was killed.
            assert (folder / "2.damaged").is_dir() or (how, file.name) == (
                "deleted",
                "manifest.json",
            ), file
            assert checkpoints.steps() == [1]
        shutil.rmtree(folder)
    assert found == len(files) if how != "flipped" else found > len(files) // 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert all("is damaged: " in line and "passed over" in line for line in lines)


def test_the_damaged_array_is_named(folder):
    data = max(
        (path for path in (folder / "2").rglob("d/*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )
    contents = bytearray(data.read_bytes())
    contents[len(contents) // 2] ^= 1
    data.write_bytes(bytes(contents))
    with pytest.raises(DamagedCheckpoint, match="is damaged: "):
        Checkpoints(folder).restore(2, shapes_of(make_state()))
    with pytest.raises(DamagedCheckpoint):
        Checkpoints(folder).arrays(2)


def test_no_good_checkpoint_left_is_an_error_and_not_a_fresh_start(folder):
    for step in (1, 2):
        flip(folder / str(step) / "manifest.json")
    for _ in range(2):
        with pytest.raises(
            CheckpointError, match=r"1\.damaged, 2\.damaged are damaged; nothing was deleted"
        ):
            Checkpoints(folder).restore_newest(shapes_of(make_state()))
    assert Checkpoints(folder / "elsewhere").restore_newest(shapes_of(make_state())) is None


def test_another_model_is_not_damage(folder):
    with pytest.raises(CheckpointError, match="another model") as caught:
        Checkpoints(folder).restore_newest(shapes_of(make_state(width=128)))
    assert not isinstance(caught.value, DamagedCheckpoint) and Checkpoints(folder).steps() == [1, 2]


def test_a_refusal_is_not_damage(folder):
    def refuse(metadata, step):
        raise ConfigError(f"{step} said {metadata['said']}")

    with pytest.raises(ConfigError, match="2 said 2"):
        Checkpoints(folder).restore_newest(shapes_of(make_state()), refuse)
    assert Checkpoints(folder).steps() == [1, 2]


@pytest.mark.parametrize(
    "sizes", [dict(fsdp=4), dict(replica=2, fsdp=2), dict(fsdp=2, context=4), dict(fsdp=1)]
)
def test_every_mesh_gets_the_same_state(pristine, sizes):
    state = make_state(7)
    shardings = sharding.state_shardings(meshes.create(**sizes), state)
    wanted = shapes_of(state)
    wanted = type(wanted)(**{f: getattr(wanted, f) for f in wanted.__dataclass_fields__})
    import jax

    shapes = jax.tree.map(
        lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), state, shardings
    )
    restored = Checkpoints(pristine).restore(2, shapes)
    assert_same(restored, make_state(2))
    assert all(
        x.sharding == y.sharding for x, y in zip(jax.tree.leaves(restored), jax.tree.leaves(shapes))
    )


def test_saves_that_keep_failing_end_the_run(tmp_path, monkeypatch, capfd):
    from orbax.checkpoint import v1 as ocp

    checkpoints, attempts = Checkpoints(tmp_path, max_failures=2), []

    def full(path, tree, **_):
        attempts.append(path)
        raise OSError(28, "No space left on device")

    save = ocp.save_checkpointables
    monkeypatch.setattr(ocp, "save_checkpointables", full)
    checkpoints.save(1, make_state(1), {})
    checkpoints.wait()
    assert checkpoints.failures == 1 and len(attempts) == 2, "tried twice, reported once"
    monkeypatch.setattr(ocp, "save_checkpointables", save)
    checkpoints.save(2, make_state(2), {})
    checkpoints.wait()
    assert checkpoints.failure is None and checkpoints.failures == 1
    monkeypatch.setattr(ocp, "save_checkpointables", full)
    checkpoints.save(3, make_state(3), {})
    checkpoints.wait()
    checkpoints.save(4, make_state(4), {})
    with pytest.raises(
        CheckpointError,
        match=r"2 saves in a row failed: .*step 4.*No space left.*is of step 2",
    ):
        checkpoints.wait()
    assert checkpoints.failures == 3 and checkpoints.steps() == [2]
    assert len(capfd.readouterr().err.strip().splitlines()) == 2


def test_retention():
    steps, metrics = (
        [10, 20, 30, 40, 50],
        {
            10: {"bits_per_dim": 3.0},
            20: {"bits_per_dim": 1.0},
            30: {"bits_per_dim": 2.0},
            40: {"bits_per_dim": np.nan},
        },
    )
    assert Retention(keep=0).superfluous(steps, {}) == []
    assert Retention(keep=2).superfluous(steps, {}) == [10, 20, 30]
    assert Retention(keep=1, keep_every=20).superfluous(steps, {}) == [10, 30]
    assert Retention(keep=1, best="bits_per_dim").superfluous(steps, metrics) == [10, 30, 40]
    assert Retention(keep=1, best="bits_per_dim", keep_best=2).superfluous(steps, metrics) == [
        10,
        40,
    ]
    psnr = {step: {"psnr": float(step)} for step in (10, 20)}
    assert Retention(keep=1, best="psnr").superfluous(steps, psnr) == [10, 30, 40]
    with pytest.raises(ConfigError, match="keep_every"):
        Retention(keep_every=-1)


def test_the_best_and_the_last_are_kept_on_disk(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1, best="psnr")
    for step, psnr in ((1, 20.0), (2, 25.0), (3, 21.0), (4, 22.0)):
        checkpoints.save(step, make_state(1), {}, {"psnr": psnr})
    checkpoints.close()
    assert checkpoints.steps() == [2, 4]


def test_the_command_lists_and_verifies(folder, capsys):
    (folder / "9").mkdir()
    (folder / "7.orbax-checkpoint-tmp").mkdir()
    (folder / "5.damaged").mkdir()
    states = {
        each["name"]: each["state"] for each in command.listing(Checkpoints(folder))["checkpoints"]
    }
    unfinished = {"7.orbax-checkpoint-tmp": "unfinished", "9": "unfinished"}
    assert states == {"1": "whole", "2": "whole", "5.damaged": "damaged"} | unfinished
    assert dispatch(["checkpoint", "verify", str(folder)]) == 0
    assert "2: good, " in capsys.readouterr().out
    flip(
        max(
            (path for path in (folder / "2").rglob("d/*") if path.is_file()),
            key=lambda path: path.stat().st_size,
        )
    )
    assert dispatch(["checkpoint", "verify", str(folder)]) == 65
    assert "is damaged" in capsys.readouterr().out
    assert dispatch(["checkpoint", "verify", str(folder), "--step=1"]) == 0
    assert Checkpoints(folder).steps() == [1, 2], "looking renames nothing"


@pytest.mark.parametrize(
    "argv, code, message",
    [
        (["list"], 2, "give an action"),
        (["verify", "/nowhere"], 2, "neither a run nor a folder"),
        (["list", "/tmp", "--step=1"], 2, "--step is for verify, not for list"),
        (["prune", "/tmp"], 2, "give an action"),
    ],
)
def test_bad_arguments_are_one_line(capsys, argv, code, message):
    assert dispatch(["checkpoint", *argv]) == code
    said = capsys.readouterr().err
    assert message in said and len(said.strip().splitlines()) == 1


def with_a_nan(state):
    kernel = state.ema["a.kernel"].at[0, 0, 0, 0].set(np.nan)
    return state.replace(ema=state.ema | {"a.kernel": kernel})


def test_a_state_that_is_not_finite_is_not_saved(folder, capfd):
    checkpoints = Checkpoints(folder)
    checkpoints.save(3, with_a_nan(make_state(3)), {})
    checkpoints.wait()
    said = capfd.readouterr().err
    assert "the checkpoint of step 3 was not written: ema.a.kernel: not finite" in said
    assert checkpoints.steps() == [1, 2] and checkpoints.failures == 1
    checkpoints.save(4, make_state(4), {})
    checkpoints.close()
    assert checkpoints.steps() == [1, 2, 4] and checkpoints.failure is None


def test_a_saved_state_that_is_not_finite_is_reported_and_passed_over(folder, monkeypatch, capfd):
    """Older versions saved such a state."""
    with monkeypatch.context() as older:
        older.setattr(store, "require_finite", lambda names: None)
        checkpoints = Checkpoints(folder)
        checkpoints.save(3, with_a_nan(make_state(3)), {})
        checkpoints.close()
    assert checkpoints.steps() == [1, 2, 3]
    assert dispatch(["checkpoint", "verify", str(folder)]) == 65
    assert "3 is damaged: ema.a.kernel: not finite" in capfd.readouterr().out
    step, state = Checkpoints(folder).restore_newest(shapes_of(make_state()))
    assert step == 2
    assert_same(state, make_state(2))
    assert (folder / "3.damaged").is_dir()
