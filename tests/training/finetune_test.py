"""Fine-tuning the decoder of a codec, and distilling one, from the recipes to exported folders."""

import json
import pathlib
import re
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from autoencoders import taesd
from codec_runs import CONFIGS, recipe
from flax import nnx
from ml_collections import ConfigDict
from train_run import train

from pipeline import Codec, build, models
from pipeline.build import init
from pipeline.cli import dispatch
from pipeline.codec import folder
from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.losses.teacher import PREFIX, Teacher

MODEL = taesd(width=4, num_blocks=1, image_size=8, image_channels=1)
STATISTICS = dict(mean=[0.0] * 4, std=[1.0] * 4, shift=0.0, scale=1.0)


@pytest.fixture(scope="module")
def codec(tmp_path_factory) -> str:
    """Return the folder of a codec with random weights."""
    path = tmp_path_factory.mktemp("codecs") / "first"
    _, params, _ = parameters.split(models.create(MODEL, rngs=nnx.Rngs(0)))
    about = dict(model=MODEL, dtype="float32", input=dict(image_shape=[8, 8, 1], bits=8))
    about |= dict(license="mit", num_parameters=1, latents=STATISTICS)
    folder.write(path, about, params)
    return str(path)


def finetune(codec: str, **changes) -> ConfigDict:
    given = dict(model={}, init__codec=codec) | changes
    return recipe("finetune/decoder_image", **given)


def exported(workdir: pathlib.Path, out: pathlib.Path):
    assert dispatch(["export", "--workdir", str(workdir), "--out", str(out)]) == 0
    return Codec.from_pretrained(out), (out / "README.md").read_text()


def test_a_fine_tuned_decoder_reads_the_same_latents(codec, tmp_path, capsys):
    train(finetune(codec, objective__adversarial__start=0), tmp_path / "run")
    lines = capsys.readouterr()
    said = lines.out + lines.err
    assert "arrays are frozen" in said and "frozen arrays are unchanged: sha256" in said
    assert "from codec first (sha256 " in said and "changes the latents" not in said
    before = Codec.from_pretrained(codec)
    after, card = exported(tmp_path / "run", tmp_path / "codec")
    for name, array in before.weights.items():
        same = np.array_equal(array, after.weights[name])
        assert same == name.startswith("encoder."), name
    other = after.config["latents_of"]
    assert (other["codec"], other["fingerprint"]) == ("first", before.fingerprint)
    assert other["unchanged"] and after.config["latents"] == STATISTICS
    assert "latents are unchanged" in card and other["encoder_sha256"] in card


def test_a_student_learns_from_its_teacher(codec, tmp_path):
    config = recipe(
        "distill/taesd",
        model__image_size=8,
        model__image_channels=1,
        teacher__codec=codec,
        objective__teacher_latents__weight=1.0,
        objective__teacher_images__weight=0.5,
        objective__teacher_features__weight=0.1,
        objective__adversarial__weight=0.0,
        teacher__layers=("decoder.stages.1", "encoder.stages.2"),
    )
    train(config, tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    values = json.loads(lines[-1])["train"]
    assert all(values[f"teacher_{name}"] > 0 for name in ("latents", "images", "features"))
    student, card = exported(tmp_path / "run", tmp_path / "codec")
    other = student.config["latents_of"]
    assert other["codec"] == "first" and not other["unchanged"]
    assert "give and to read the latents of `first`" in card
    assert "teacher" not in " ".join(student.weights), "the teacher is not the student's"


def test_the_teacher_gives_what_its_codec_gives(codec):
    found = Codec.from_pretrained(codec)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)
    arrays = {f"{PREFIX}{name}": array for name, array in found.weights.items()}
    teacher = Teacher(found.modeldef, layers=("decoder.stages.3",))
    targets = jax.jit(lambda batch: teacher(batch, arrays))({"image": images})
    z = found.encode(images).mode()
    np.testing.assert_allclose(targets["teacher_latent"], z, atol=1e-5)
    model = found.modeldef.merge(found.weights)
    recon = model.decode((z,)).mean()
    np.testing.assert_allclose(targets["teacher_image"], recon, atol=1e-5)
    (features,) = targets["teacher_features"]
    np.testing.assert_allclose(2 * model.decoder.conv_out(features) - 1, recon, atol=1e-5)


def test_a_students_decoder_gets_the_teachers_latents(codec):
    model = models.create(MODEL, rngs=nnx.Rngs(1))
    images = np.zeros((2, 8, 8, 1), np.uint8)
    images, z = jnp.asarray(images), jax.random.normal(jax.random.key(0), (2, 1, 1, 4))
    outputs = model({"image": images, "latent": z}, key=None, train=True)
    np.testing.assert_array_equal(outputs.recon.mean(), model.decode((z,)).mean())
    np.testing.assert_array_equal(outputs.latents[0].z, model.encode(images)[0].z)


def test_a_run_takes_the_model_of_its_codec(codec):
    config = build.complete(finetune(codec, model=dict(remat=True)))
    assert config["model"]["encoder"] == MODEL["encoder"] and config["model"]["remat"] is True
    assert build.run_spec(config).notes == []
    (note,) = build.run_spec(build.complete(finetune(codec, trainable=""))).notes
    assert "changes the latents" in note and "config.trainable='decoder'" in note


def test_some_arrays_of_a_codec_start_another_model(codec):
    decoder = dict(name="taesd.Decoder", width=8, num_blocks=1)
    turbo = runpy.run_path(str(CONFIGS / "distill/turbo.py"))["get_config"]()
    config = finetune(codec, model=dict(decoder=decoder), init__arrays=turbo.init.arrays)
    spec = build.run_spec(build.complete(config))
    state, before = spec.initial_state(), Codec.from_pretrained(codec)
    np.testing.assert_array_equal(
        state.params["encoder.conv_in.kernel"], before.weights["encoder.conv_in.kernel"]
    )
    assert state.params["decoder.conv_in.kernel"].shape[-1] == 8


def test_a_run_starts_from_a_codec_on_a_hub(codec, hub):
    files = {each.name: each.read_bytes() for each in pathlib.Path(codec).iterdir()}
    hub.repos["somebody/first"] = files
    config = build.complete(finetune("somebody/first"))
    assert config["model"]["encoder"] == MODEL["encoder"]
    params = build.run_spec(config).initial_state().params
    found = Codec.from_pretrained(codec)
    assert params.keys() == found.weights.keys()
    for name, array in found.weights.items():
        np.testing.assert_array_equal(params[name], array)
    about = init.origin(config)
    assert about is not None
    assert (about["codec"], about["fingerprint"]) == ("first", found.fingerprint)
    assert sorted(hub.downloaded()) == ["config.json", "model.safetensors"], "each of them once"


@pytest.mark.parametrize(
    "changes, match",
    [
        (dict(init__codec=""), "model.name is missing.*init.codec"),
        (dict(init__codec="/nowhere"), "/nowhere.*does not exist"),
        (dict(init__arrays=("encodr",)), "'encodr' is found in no array.*encoder"),
        (
            dict(model=dict(decoder=dict(name="taesd.Decoder", width=8, num_blocks=1))),
            "of another shape.*decoder.conv_in",
        ),
        (
            dict(model=dict(decoder=dict(name="taesd.Decoder", width=4, num_blocks=2))),
            "that it lacks .*decoder.stages.0.blocks.1",
        ),
        (dict(trainable="decodr"), "'decodr' is found in no array.*decoder"),
        (dict(teacher=dict(codec="", layer=())), "teacher.layer is not a setting.*'layers'"),
        (dict(teacher=dict(layers=("a",), student_layers=("a", "b"))), "one by one"),
        (dict(objective__teacher_latents=dict(weight=1.0)), "needs a teacher"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(codec, changes, match):
    with pytest.raises(ConfigError, match=match) as caught:
        spec = build.run_spec(build.complete(finetune(codec, **changes)))
        spec.initial_state()
        step = spec.stages[0].step
        batch = {
            "image": np.zeros((4, 8, 8, 1), np.uint8),
            "label": np.zeros(4, np.int32),
            "mask": np.ones(4, np.float32),
        }
        jax.eval_shape(step.program("generator_only"), spec.shapes, batch, step.frozen)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "teacher, match",
    [
        (dict(layers=("decoder.stage.1",)), "no layer 'decoder.stage.1': did you mean"),
        (dict(layers=("decoder.stages.1",), images=False), "images=True"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(codec, teacher, match):
    config = finetune(codec, teacher=dict(codec=codec, **teacher))
    with pytest.raises(ConfigError, match=match):
        spec = build.run_spec(build.complete(config))
        step = spec.stages[0].step
        images = jnp.zeros((4, 8, 8, 1), jnp.uint8)
        jax.eval_shape(lambda frozen: step.teacher({"image": images}, frozen), step.frozen)


def test_every_array_of_taef2s_student_starts_as_taef2s():
    def shapes(name: str):
        config = runpy.run_path(str(CONFIGS / name))["get_config"]()
        create = build.model_factory(build.complete(config))
        return config, parameters.abstract(lambda: create(nnx.Rngs(0)))[1]

    (config, student), (_, teacher) = shapes("distill/taef2.py"), shapes("taesd/taef2.py")
    patterns = config.init.arrays
    assert all(any(re.search(pattern, name) for pattern in patterns) for name in student)
    taken = {n for n in teacher if any(re.search(pattern, n) for pattern in patterns)}
    assert taken == student.keys(), "config.init takes the same arrays of both"
    assert all(student[name].shape == teacher[name].shape for name in student)
