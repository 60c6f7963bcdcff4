"""A run resumes from its own checkpoints only, unless it is forced."""

import pytest
from tiny_run import tiny

from pipeline.build.schema import DEFAULTS
from pipeline.core.errors import ConfigError
from pipeline.training.provenance import Provenance
from pipeline.training.workdir import ADDED

DATASET = {"source": "digits", "path": "/a", "num_examples": 7, "fingerprint": "f"}


def saved(**changes) -> dict:
    return Provenance(tiny(), DATASET, ["net"]).metadata([3]) | changes


def test_metadata_is_what_a_checkpoint_holds():
    found = saved()
    assert found["dataset"] == DATASET and found["skipped_batches"] == [3]
    assert found["frozen"] == ["net"] and found["config"]["batch_size"] == 8


def test_a_run_made_before_a_key_existed_is_the_same_run():
    for key, value in ADDED.items():
        old = {name: each for name, each in saved()["config"].items() if name != key}
        assert tiny()[key] == value == DEFAULTS[key]
        Provenance(tiny(), DATASET, ["net"]).check_same(saved(config=old), "5", force=False)
        changed = Provenance(tiny(**{key: "decoder"}), DATASET, ["net"])
        with pytest.raises(ConfigError, match=f"{key}: '{value}' -> 'decoder'"):
            changed.check_same(saved(config=old), "5", force=False)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(config=tiny(batch_size=16)), "batch_size: 16 -> 8"),
        (
            dict(dataset=DATASET | {"fingerprint": "g", "path": "/b"}),
            "dataset differs from that of checkpoint 5: path: /b -> /a; fingerprint: g -> f",
        ),
        (
            dict(frozen=["another"]),
            r"compatibility\.codec, .*perceptual\.weights.* other weights than in checkpoint 5",
        ),
    ],
)
def test_another_run_is_refused_unless_forced(changes, message):
    provenance = Provenance(tiny(), DATASET, ["net"])
    with pytest.raises(ConfigError, match=message):
        provenance.check_same(saved(**changes), "checkpoint 5", force=False)
    provenance.check_same(saved(**changes), "checkpoint 5", force=True)


def test_the_same_run_and_imported_weights_are_accepted():
    provenance = Provenance(tiny(log={"every": 3}), DATASET, ["net"])
    provenance.check_same(saved(), "checkpoint 5", force=False)
    imported = saved(dataset={})
    del imported["frozen"]
    provenance.check_same(imported, "checkpoint 0", force=False)
