"""Recipes of the published VDVAEs: loaded by path or as modules, with the authors' settings."""

import importlib
import pathlib

import pytest
from absl import flags
from ml_collections import ConfigDict, config_flags

ROOT = pathlib.Path(__file__).parents[2]
NAMES = ["cifar10", "imagenet32", "imagenet64", "ffhq256", "ffhq1024"]
# From the authors' hps.py: width, rate, batch over all GPUs, ema, clip, skip, mixtures.
PUBLISHED = {
    "cifar10": (384, 2e-4, 32, 0.9999, 200, 400, 10),
    "imagenet32": (512, 1.5e-4, 256, 0.999, 200, 300, 10),
    "imagenet64": (512, 1.5e-4, 128, 0.999, 220, 380, 10),
    "ffhq256": (512, 1.5e-4, 32, 0.999, 130, 180, 10),
    "ffhq1024": (16, 7e-5, 32, 0.999, 360, 500, 2),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("argument", ["", ":tiny"])
def test_loads_by_path_from_any_folder(name, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values)
    values(["strata", f"--config={ROOT / 'configs' / 'vdvae' / name}.py{argument}"])
    config = values["config"].value
    assert isinstance(config, ConfigDict)
    assert config.model.image_size == config.data.image_size
    assert (config.data.source == "sklearn_images") == bool(argument)


@pytest.mark.parametrize("name", NAMES)
def test_has_the_published_settings(name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    config = importlib.import_module(f"configs.vdvae.{name}").get_config()
    width, rate, batch, ema, clip, skip, mixtures = PUBLISHED[name]
    assert (config.model.width, config.model.likelihood.num_mixtures, config.model.zdim) == (
        width,
        mixtures,
        16,
    )
    assert (config.batch_size, config.ema) == (batch, ema)
    assert (config.optimizer.b1, config.optimizer.b2, config.optimizer.weight_decay) == (
        0.9,
        0.9,
        0.01,
    )
    assert (config.optimizer.learning_rate, config.optimizer.warmup_steps) == (rate, 100)
    assert (config.optimizer.clip_norm, config.optimizer.skip_norm) == (clip, skip)
    assert config.model.likelihood.bits == (5 if name == "ffhq256" else 8)


def test_recipes_do_not_share_state():
    module = importlib.import_module("configs.vdvae.imagenet64")
    module.get_config("tiny")
    assert module.get_config().model.width == 512
