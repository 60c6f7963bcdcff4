"""run_spec sets up all stages of a run before the first begins, and checks that they fit."""

import dataclasses

import pytest
import tiny_gan
from tiny_run import tiny

from pipeline import build
from pipeline.core.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def spec():
    config = tiny_gan.recipe()
    config.stages = [
        dict(num_steps=6),
        {"num_steps": 6, "data.image_size": 12, "model.image_size": 12},
        {"num_steps": 8, "batch_size": 16},
    ]
    return build.run_spec(build.complete(config))


def test_each_step_has_a_stage(spec):
    numbers = [spec.stage(step).number for step in (1, 6, 7, 12, 13, 20, 30)]
    assert numbers == [0, 0, 1, 1, 2, 2, 2] and spec.num_steps == 20


def test_stages_with_equal_data_settings_share_a_dataset(spec):
    first, second, third = spec.stages
    assert first.data is third.data and first.data is not second.data
    assert [stage.batch_size for stage in spec.stages] == [8, 8, 16]


def test_provenance_is_of_the_data_of_all_stages(spec):
    alone = build.run_spec(build.complete(tiny_gan.recipe())).provenance.dataset
    assert alone["fingerprint"] == spec.stages[0].data.fingerprint
    assert spec.provenance.dataset == alone | {
        "fingerprint": spec.provenance.dataset["fingerprint"]
    }
    assert spec.provenance.dataset["fingerprint"] != alone["fingerprint"]


def test_a_stage_of_another_state_is_refused():
    config = tiny_gan.recipe()
    config.stages = [dict(num_steps=10), {"num_steps": 10, "discriminator.channels": 16}]
    message = r"config\.stages\[1\] has another model, discriminator or optimizer"
    with pytest.raises(ConfigError, match=message):
        build.run_spec(build.complete(config))


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (dict(data__image_size=4), ConfigError, r"model\.image_size=8, but data\.image_size=4"),
        (dict(data__channels=3), ConfigError, r"model\.image_channels=1, but data\.channels=3"),
        (dict(batch_size=4096), DataError, "fewer than batch_size=4096: lower batch_size"),
        (dict(eval__every=1, data__eval_fraction=0.0), DataError, "nothing to evaluate on"),
    ],
)
def test_data_that_do_not_fit_the_recipe_are_refused(changes, error, message):
    config = tiny()
    for key, value in changes.items():
        section, _, name = key.partition("__")
        config |= {section: config[section] | {name: value}} if name else {section: value}
    with pytest.raises(error, match=message):
        build.run_spec(config)


def test_a_run_without_a_discriminator_has_a_first_state():
    spec = build.run_spec(tiny())
    state = spec.initial_state()
    assert int(state.step) == 0 and state.discriminator is None
    assert {name: array.shape for name, array in state.params.items()} == {
        name: shape.shape for name, shape in spec.shapes.params.items()
    }
    assert dataclasses.asdict(spec.checkpoint) == spec.provenance.config["checkpoint"]
