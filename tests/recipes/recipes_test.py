"""Every recipe: its `:tiny` mode trains and keeps the model's contract; the full model is built."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import build
from pipeline.core import pixels
from pipeline.core.types import pixels_of
from pipeline.training.state import mesh as meshes
from pipeline.training.state import train_state as states

ROOT = pathlib.Path(__file__).parents[2]
RECIPES = sorted(
    path for path in (ROOT / "configs").rglob("*.py") if "get_config" in path.read_text()
)


def load(path: pathlib.Path, argument: str = ""):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, module.get_config(argument)


def batch_for(settings: dict) -> dict:
    model, rows = settings["model"], settings["batch_size"]
    shape = (model["image_size"], model["image_size"], model.get("image_channels", 3))
    name, frames = ("video", (model["num_frames"],)) if "num_frames" in model else ("image", ())
    pixel_values = np.random.default_rng(0).integers(
        0, 256, (rows, *frames, *shape), dtype=np.uint8
    )
    extra = dict(
        label=np.zeros(rows, np.int32),
        index=np.arange(rows, dtype=np.int32),
        mask=np.ones(rows, np.float32),
    )
    return jax.tree.map(jnp.asarray, {name: pixel_values, **extra})


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_tiny_mode_trains_and_keeps_the_contract(path: pathlib.Path):
    settings = build.complete(load(path, "tiny")[1])
    assert settings["num_steps"] <= 20
    mesh = meshes.create(devices=jax.devices()[:1])
    create, update, extras = (
        build.model_factory(settings),
        build.update(settings),
        build.extras(settings),
    )
    modeldef, shapes = states.abstract(create, update.optimizer, mesh, None, extras)
    state = states.initialize(create, update.optimizer, shapes, settings["seed"], extras)
    function = build.step(settings, modeldef)
    step = jax.jit(function.program(function.variant(settings["num_steps"])))
    batch = batch_for(settings)
    for _ in range(2):
        state, metrics = step(state, batch, *([] if function.frozen is None else [function.frozen]))
    assert (
        np.isfinite(metrics["loss"])
        and np.isfinite(metrics["gradient_norm"])
        and int(state.skipped) == 0
    )

    @jax.jit
    def round_trip(params, image, key):
        model = modeldef.merge(params, state.model_state)
        latents = model.encode(image, key=key)
        again = model(batch, key=key, train=False)
        few = model.decode(tuple(latent.z for latent in latents[:1]), key=key)
        recon = model.decode(tuple(latent.z for latent in latents))
        # A codec's reconstruction is not a likelihood and may leave [-1, 1].
        log_prob = recon.log_prob(image) if hasattr(recon, "log_prob") else None
        return latents, again.latents, few.mean(), recon.mean(), log_prob

    model = modeldef.merge(state.params, state.model_state)
    latents, again, few, recon, log_prob = round_trip(
        state.params, pixels_of(batch), jax.random.key(1)
    )
    assert len(latents) == model.num_layers == len(model.latent_shapes)
    for latent, twin, shape in zip(latents, again, model.latent_shapes):
        discrete = latent.indices is not None  # then there is one KL per position
        assert latent.z.shape[1:] == shape
        assert latent.kl.shape == ((*latent.z.shape[:-1], 1) if discrete else latent.z.shape)
        if discrete or latent.log_q is None:  # with log_q the KL is estimated from one sample
            assert float(latent.kl.min()) >= -1e-4, "the KL of an element is negative"
        np.testing.assert_allclose(latent.z, twin.z, atol=1e-5)
    assert (
        few.shape == recon.shape == pixels_of(batch).shape
        and pixels.to_uint8(recon).dtype == jnp.uint8
    )
    if log_prob is not None:
        assert (
            log_prob.shape == (settings["batch_size"],) and float(jnp.abs(recon).max()) <= 1 + 1e-6
        )


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_the_full_recipe_builds_and_documents_its_command(path: pathlib.Path):
    module, config = load(path)
    settings = build.complete(config)
    build.update(settings)
    nnx.eval_shape(lambda: build.model_factory(settings)(nnx.Rngs(0)))
    assert str(path.relative_to(ROOT)) in (module.__doc__ or ""), "the docstring has no command"
