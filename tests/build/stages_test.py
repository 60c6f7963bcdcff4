"""config.stages divides a run's steps, and changes only what a stage may change."""

import pytest
import tiny_gan

from pipeline import build
from pipeline.build import stages
from pipeline.core.errors import ConfigError


def complete(*given):
    config = tiny_gan.recipe()
    config.stages = list(given)
    return build.complete(config)


def test_a_recipe_without_stages_is_one_stage():
    config = complete()
    assert stages.split(config) == [stages.Stage(0, 0, 20, config)]


def test_each_stage_has_the_recipe_with_its_changes():
    first, second, third = stages.split(
        complete(
            dict(num_steps=6),
            {"num_steps": 6, "reset_discriminator": True, "data.image_size": 12},
            {"num_steps": 8, "objective.adversarial.weight": 0.1},
        )
    )
    assert [(each.begin, each.end) for each in (first, second, third)] == [
        (0, 6),
        (6, 12),
        (12, 20),
    ]
    assert [each.reset_discriminator for each in (first, second, third)] == [False, True, False]
    assert second.config["data"]["image_size"] == 12
    assert third.config["data"]["image_size"] == first.config["data"]["image_size"] == 8
    assert third.config["objective"]["adversarial"]["weight"] == 0.1


@pytest.mark.parametrize(
    "given, message",
    [
        ([dict(num_steps=3)], r"config\.stages have 3 steps together, and config\.num_steps=20"),
        ([dict(num_frames=3)], r"config\.stages\[0\] must be a dict with num_steps"),
        ([dict(num_steps=0)], r"config\.stages\[0\]\.num_steps=0 must be 1 or more"),
        ([dict(num_steps=20, seed=1)], r"config\.stages\[0\]: 'seed' cannot be changed by a stage"),
        ([{"num_steps": 20, "batch_size.x": 1}], "batch_size is a single value"),
    ],
)
def test_impossible_stages_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        complete(*given)


def test_without_a_discriminator_none_can_be_reset():
    config = tiny_gan.recipe()
    config.discriminator = {}
    config.stages = [dict(num_steps=20, reset_discriminator=True)]
    with pytest.raises(ConfigError, match="reset_discriminator: there is none"):
        build.complete(config)
