"""Checkpoints in buckets: the promises of those on a disk, without renames."""

import threading
import time

import jax
import pytest
from bucket_servers import BUCKET
from etils.epath import gpath
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from orbax.checkpoint._src.path import gcs_utils
from orbax.checkpoint._src.serialization import tensorstore_utils
from tiny_run import tiny

from pipeline import build
from pipeline.core.errors import CheckpointError, ConfigError
from pipeline.storage import patience
from pipeline.training.checkpoints import manifest, store
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.state import train_state as states
from pipeline.training.state.digest import state_digest
from pipeline.training.state.state_tree import to_tree


def state_on(devices: int, seed: int = 0) -> states.TrainState:
    """Return a small state sharded over some devices."""
    placement = NamedSharding(
        jax.make_mesh((devices,), ("fsdp",), devices=jax.devices()[:devices]), P("fsdp")
    )
    weight = jax.random.normal(jax.random.key(seed), (40, 30))
    params = {"w": jax.device_put(weight, placement)}
    return states.fresh(params, {}, build.update(tiny()).optimizer)


@pytest.fixture(scope="module")
def eight():
    """Return a state over eight devices, and its shapes."""
    state = state_on(8)
    return state, as_shapes(state)


def as_shapes(state):
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state
    )


@pytest.fixture(params=["gs", "s3"])
def folder(request, tmp_path, bucket_servers) -> str:
    return f"{request.param}://{BUCKET}/{tmp_path.name}/checkpoints"


@pytest.fixture
def proxy(folder, bucket_servers):
    return bucket_servers.proxies[folder[:2]]


def save(checkpoints: Checkpoints, step: int, state) -> None:
    checkpoints.save(step, state, {"config": {"seed": 0}})
    checkpoints.wait()
    assert checkpoints.failure is None


def test_the_private_functions_that_are_replaced_are_there():
    assert callable(tensorstore_utils._normalize_path) and callable(gcs_utils.get_kvstore_for_gcs)
    assert callable(tensorstore_utils._use_gcs_driver) and callable(gpath._is_tf_installed)
    assert {"gs", "s3"} <= gpath._PREFIX_TO_BACKEND.keys()


def test_a_state_comes_back_bit_for_bit_on_another_mesh(eight, folder):
    checkpoints = Checkpoints(folder, keep=2)
    for step in (1, 2, 3):
        save(checkpoints, step, eight[0])
    assert checkpoints.steps() == [2, 3] and checkpoints.metadata(3) == {"config": {"seed": 0}}
    assert {path.name for path in checkpoints.folder.iterdir()} == {"2", "3"}
    back = Checkpoints(folder).restore(3, as_shapes(state_on(1, seed=1)))
    assert state_digest(to_tree(back)) == state_digest(to_tree(eight[0]))
    assert state_digest(checkpoints.arrays(3)) == state_digest(to_tree(eight[0]))


def test_a_step_is_complete_only_with_its_manifest(eight, folder):
    checkpoints = Checkpoints(folder)
    save(checkpoints, 1, eight[0])
    save(checkpoints, 2, eight[0])
    (checkpoints.folder / "2" / "manifest.json").unlink()  # as a kill in the middle leaves it
    assert Checkpoints(folder).latest() == 1
    save(checkpoints, 3, eight[0])
    assert {path.name for path in checkpoints.folder.iterdir()} == {"1", "3"}


def test_a_damaged_step_is_marked_and_passed_over(eight, folder, capfd):
    checkpoints = Checkpoints(folder)
    save(checkpoints, 1, eight[0])
    save(checkpoints, 2, eight[0])
    arrays = checkpoints.folder / "2" / checkpoints.manifest(2)["folder"]
    data = max((arrays / "params").glob("d/*"), key=lambda file: file.stat().length)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    step, state = checkpoints.restore_newest(eight[1])
    assert step == 1 and state_digest(to_tree(state)) == state_digest(to_tree(eight[0]))
    said = capfd.readouterr().err
    assert "2 is damaged" in said and "marked by 2/DAMAGED, and passed over" in said
    assert checkpoints.steps() == [1] and checkpoints.steps_there.damaged() == ["2"]
    (checkpoints.folder / "1" / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointError, match="1, 2 are damaged; nothing was deleted"):
        checkpoints.restore_newest(eight[1])


@pytest.mark.usefixtures("short_pauses")
def test_a_save_and_a_restore_survive_faults_of_the_network(eight, folder, proxy):
    checkpoints = Checkpoints(folder)
    proxy.faults.extend([503, "reset", 429, 500, 0.2])
    save(checkpoints, 1, eight[0])
    proxy.faults.extend([503, "reset", 429, 500, 0.2])
    back = checkpoints.restore(1, eight[1])
    assert not proxy.faults
    assert state_digest(to_tree(back)) == state_digest(to_tree(eight[0]))


def test_an_outage_costs_saves_but_not_the_run(eight, folder, proxy, monkeypatch, capfd):
    monkeypatch.setattr(store, "_BUSY_S", 0.1)
    monkeypatch.setattr(patience, "PATIENCE_S", 1.0)
    checkpoints = Checkpoints(folder)
    save(checkpoints, 1, eight[0])
    proxy.down = True
    try:
        began = time.monotonic()
        for step in (2, 3):
            checkpoints.save(step, eight[0], {}, must=False)
        assert time.monotonic() - began < 120
        assert "no checkpoint of step 3: the save before it still waits" in capfd.readouterr().err
    finally:
        proxy.down = False
    checkpoints.wait()
    assert checkpoints.failure is None and checkpoints.steps() == [1, 2]


def test_a_run_that_was_replaced_stops_before_it_completes_a_step(eight, folder):
    def replaced():
        raise ConfigError("replaced")

    checkpoints = Checkpoints(folder, before_commit=replaced)
    checkpoints.save(1, eight[0], {})
    with pytest.raises(ConfigError, match="replaced"):
        checkpoints.wait()
    assert checkpoints.steps() == []


def test_a_run_that_was_replaced_deletes_and_damages_nothing(eight, folder):
    """The old run has a save of step 1 under way when it stops; the new one saves 1 and 2."""
    replaced = False

    def check():
        if replaced:
            raise ConfigError("replaced")

    old = Checkpoints(folder, check=check, before_commit=check)
    stopped, goes_on = threading.Event(), threading.Event()

    def stop_before_the_last_writes():
        stopped.set()
        goes_on.wait()
        check()

    old._before_commit = stop_before_the_last_writes
    old.save(1, eight[0], {})
    stopped.wait()
    new = Checkpoints(folder)
    save(new, 1, state_on(8, seed=1))
    save(new, 2, state_on(8, seed=1))
    replaced = True
    goes_on.set()
    with pytest.raises(ConfigError, match="replaced"):
        old.wait()
    with pytest.raises(ConfigError, match="replaced"):
        old.save(2, eight[0], {})
        old.wait()
    assert new.steps() == [1, 2]
    for step in (1, 2):
        assert state_digest(new.arrays(step)) == state_digest(to_tree(state_on(8, seed=1)))


def test_a_step_is_completed_only_once(eight, folder):
    old = Checkpoints(folder)
    save(old, 1, eight[0])
    with pytest.raises(CheckpointError, match="was written by another run meanwhile"):
        manifest.write(
            old.folder / "1", step=1, metadata={}, metrics={}, arrays={}, folder="start_0"
        )
    assert state_digest(old.arrays(1)) == state_digest(to_tree(eight[0]))


def test_a_restore_reads_only_the_parts_that_are_asked_for(eight, folder, proxy):
    checkpoints = Checkpoints(folder)
    save(checkpoints, 1, eight[0])
    content = checkpoints.manifest(1)
    before = proxy.requests["GET"]
    store.reading.arrays(checkpoints.folder / "1", content, ["params"])
    params = proxy.requests["GET"] - before
    store.reading.arrays(checkpoints.folder / "1", content, [])
    assert params < proxy.requests["GET"] - before - params


def test_a_shorter_outage_ends_no_run_however_often_it_saves(bucket_servers, monkeypatch):
    checkpoints = Checkpoints(f"gs://{BUCKET}/never", max_failures=2)
    for step in range(5):
        checkpoints._failed(step, OSError("503"))
    monkeypatch.setattr(store, "_OUTAGE_S", 0.0)
    with pytest.raises(CheckpointError, match="6 saves in a row failed"):
        checkpoints._failed(6, OSError("503"))
