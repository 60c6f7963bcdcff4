"""Distilling a codec of clips: into a TAEHV, and its decoder alone."""

import json
import pathlib
import runpy
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx
from train_run import train

from pipeline import Codec, build, models
from pipeline.cli import dispatch
from pipeline.codec import folder
from pipeline.core import parameters
from pipeline.core.errors import ConfigError

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def config_of(name: str, arg: str = "") -> Any:
    return runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"](arg)


def wan(path: pathlib.Path, latent_channels: int = 2) -> str:
    """Write a codec of Wan 2.1's form, 4x8x8 pixels to a latent, with random weights."""
    config = config_of("wan/wan21", "tiny")
    config.model.latent_channels = latent_channels
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (2, 2, 2, 2)
    model = config.model.to_dict()
    _, params, _ = parameters.split(models.create(model, rngs=nnx.Rngs(0)))
    about = dict(model=model, dtype="float32", input=dict(image_shape=[5, 16, 16, 3], bits=8))
    folder.write(path, about | dict(license="mit", num_parameters=1), params)
    return str(path)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> str:
    return wan(tmp_path_factory.mktemp("codecs") / "large")


def student(teacher: str) -> Any:
    """Return the `:tiny` mode with a teacher, for two steps on generated clips."""
    config = config_of("distill/taehv", "tiny")
    config.num_steps = 2
    config.checkpoint.every = 2
    config.eval.every = config.sample.every = 0
    config.teacher.codec = teacher
    config.objective.teacher_latents.weight = 1.0
    config.objective.teacher_images.weight = 0.5
    return config


def test_a_taehv_learns_from_a_video_codec(teacher, tmp_path):
    train(student(teacher), tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    values = json.loads(lines[-1])["train"]
    assert values["teacher_latents"] > 0 and values["teacher_images"] > 0
    out = tmp_path / "small"
    assert dispatch(["export", "--workdir", str(tmp_path / "run"), "--out", str(out)]) == 0
    found = Codec.from_pretrained(out)
    other = found.config["latents_of"]
    assert other["codec"] == "large" and not other["unchanged"]
    assert other["fingerprint"] == Codec.from_pretrained(teacher).fingerprint
    assert "give and to read the latents of `large`" in (out / "README.md").read_text()
    assert found.config["model"]["decoder"]["name"] == "video.taehv.Decoder"
    assert all(np.isfinite(array).all() for array in found.weights.values())


def test_a_teacher_of_other_channels_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="latent_channels 3, and the student 2") as caught:
        build.run_spec(build.complete(student(wan(tmp_path / "wide", latent_channels=3))))
    assert "\n" not in str(caught.value)


def test_a_small_decoder_learns_from_the_latents_of_the_same_encoder(teacher):
    config = config_of("distill/turbo_video")
    decoder = config.model.decoder.to_dict()
    config.model.image_size, config.model.num_frames = 16, 5
    config.init.codec = config.teacher.codec = teacher
    config.data = config_of("distill/taehv", "tiny").data
    config.objective.perceptual.weight = 0.0
    config.dtype, config.mesh = "float32", dict(fsdp=1)
    spec = build.run_spec(build.complete(config))
    assert spec.notes == [], "the latents stay as they are"
    step, shapes, params = spec.stages[0].step, spec.shapes, spec.initial_state().params
    learned = {name for name in shapes.params if not name.startswith("encoder.")}
    taken = Codec.from_pretrained(teacher).weights
    assert decoder["name"] == "video.wan_separable.Decoder"
    assert shapes.params["decoder.conv_in.kernel"].shape == (3, 3, 3, 2, 192)
    assert any(".depthwise." in name for name in learned)
    assert {n for n in taken if n.startswith("encoder.")} == shapes.params.keys() - learned
    for name in shapes.params.keys() - learned:
        np.testing.assert_array_equal(params[name], taken[name])
    batch = {
        "image": np.zeros((8, 5, 16, 16, 3), np.uint8),
        "mask": np.ones(8, np.float32),
    }
    _, metrics = jax.eval_shape(step.program(step.variant(0)), shapes, batch, step.frozen)
    assert "teacher_images" in metrics
