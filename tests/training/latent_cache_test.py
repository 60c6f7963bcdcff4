"""A decoder learns from kept outputs of its frozen encoder as from computed ones."""

import json
import pathlib

import numpy as np
import pytest
from autoencoders import taesd
from codec_runs import recipe
from flax import nnx
from train_run import train

from pipeline import build, models
from pipeline.codec import folder
from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.training.latent_cache import divisor

MODEL = taesd(width=4, num_blocks=(0, 1, 0, 1), image_size=8, image_channels=1)
MODEL |= dict(bottleneck=dict(name="gaussian.Gaussian"))


def write_codec(path: pathlib.Path, seed: int) -> str:
    _, params, _ = parameters.split(models.create(MODEL, rngs=nnx.Rngs(seed)))
    about = dict(model=MODEL, dtype="float32", input=dict(image_shape=[8, 8, 1], bits=8))
    folder.write(path, about | dict(license="mit", num_parameters=1, latents={}), params)
    return str(path)


@pytest.fixture(scope="module")
def codec(tmp_path_factory) -> str:
    return write_codec(tmp_path_factory.mktemp("codecs") / "codec", 0)


def config(codec: str, **changes):
    """Return a run of decoder_image on digits, each as it is or mirrored."""
    data = dict(source="digits", image_size=8, channels=1, flip=True)
    given = dict(model={}, init__codec=codec, objective__adversarial__weight=0.0)
    given |= dict(data=data | dict(num_crops=2), objective__rate__weight=0.1, batch_size=64)
    return recipe("finetune/decoder_image", **given | changes)


def losses(workdir: pathlib.Path) -> np.ndarray:
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    kept = [row["train"] for row in rows if "train" in row]
    return np.array([[row["loss"], row["l1"]] for row in kept])


def test_the_losses_are_those_of_computed_latents(codec, tmp_path, capsys):
    train(config(codec), tmp_path / "computed")
    train(config(codec, latent_cache=str(tmp_path / "cache")), tmp_path / "kept")
    assert "encoding" in "".join(capsys.readouterr())
    computed, kept = losses(tmp_path / "computed"), losses(tmp_path / "kept")
    assert len(kept) == 4 and (kept[:, 0] > kept[:, 1]).all(), "the KL counts too"
    np.testing.assert_allclose(kept, computed, rtol=1e-5)
    about = json.loads((tmp_path / "cache" / "cache.json").read_text())
    files = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert about["crops"] == 2 and about["shape"] == [1, 1, 8]
    assert files[:2] == ["cache.json", "encoded-00000.npy"]
    before = {name: (tmp_path / "cache" / name).stat().st_mtime_ns for name in files}
    opened(codec, tmp_path)
    assert before == {name: (tmp_path / "cache" / name).stat().st_mtime_ns for name in files}
    for changes, match in (
        (dict(init__codec=write_codec(tmp_path / "other", 1)), "encoder_sha256 [0-9a-f]+ there"),
        (dict(data__num_crops=3), "data [0-9a-f]+ there.*crops 2 there, 3 here.*another folder"),
    ):
        with pytest.raises(ConfigError, match=f"another encoder or other data: .*{match}"):
            opened(codec, tmp_path, **changes)
    (tmp_path / "cache" / "cache.json").unlink()
    with pytest.raises(ConfigError, match="holds something else"):
        opened(codec, tmp_path)


def opened(codec: str, path: pathlib.Path, **changes):
    """Open the cache as the train loop does."""
    given = config(codec, latent_cache=str(path / "cache"), **changes)
    spec = build.run_spec(build.complete(given))
    assert spec.latent_cache is not None
    state = spec.initial_state()
    return spec.latent_cache.open(state, spec.mesh, say=print, alive=lambda: None)


@pytest.mark.parametrize(
    "changes, match",
    [
        (dict(data__num_crops=0), "latent_cache: every step draws new crops: set data.num_crops"),
        (dict(data__num_crops=-1), "data.num_crops=-1 must be 0 or more"),
        (dict(trainable="stages"), "needs a frozen encoder: set config.trainable='decoder'"),
        (dict(latent_cache="gs://bucket/latents"), "must be a folder on this machine"),
    ],
)
def test_runs_without_fixed_latents_are_refused(codec, tmp_path, changes, match):
    with pytest.raises(ConfigError, match=match):
        given = config(codec, **dict(latent_cache=str(tmp_path / "cache")) | changes)
        build.run_spec(build.complete(given))
    assert not (tmp_path / "cache").exists()


def test_batches_divide_a_file():
    assert [divisor(size) for size in (1, 3, 24, 256, 1000)] == [1, 2, 16, 256, 256]
