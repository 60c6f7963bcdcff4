"""Every model in pipeline/models keeps the contract; shapes alone are computed."""

import functools
import importlib
import inspect

import jax
import jax.numpy as jnp
import pytest
from autoencoders import cv_vae, ldm, residual_stack, taesd, wf_vae
from flax import nnx
from tiny_codec import FLAT, HIERARCHY

from pipeline import models
from pipeline.core import modalities, parameters
from pipeline.core.construct import modules_of
from pipeline.core.errors import ConfigError
from pipeline.pretrained.load import KINDS

LADDER = dict(image_size=8, latent_dims=(3, 2), widths=(8, 4))
HQ = dict(image_size=8, image_channels=1, width=4, depth=1, num_codes=4, dim=2)
IAF = dict(image_size=8, width=4, zdim=2, likelihood=dict(name="logistic_mixture", num_mixtures=1))
NVAE = dict(image_size=8, channels=4, groups=(1, 1), latent_dim=2, cells=1, blocks=(1,))
TRANSFORMER = dict(width=8, depth=1, heads=2)
SIZES = dict(encoder_size=TRANSFORMER, decoder_size=TRANSFORMER)
TOKENS = dict(image_size=8, patch=4, num_tokens=3, **SIZES)
# At least one small recipe of each class; a codec has one for each family of networks.
RECIPES = {
    "autoencoder.Autoencoder, ldm": ldm(),
    "autoencoder.Autoencoder, taesd": taesd(image_size=8, width=8, num_blocks=1),
    "autoencoder.Autoencoder, wf_vae": wf_vae(),
    "autoencoder.Autoencoder, cv_vae": cv_vae(),
    "autoencoder.Autoencoder, residual_stack": residual_stack(),
    "hq_vae.RSQVAE": HQ | dict(levels=2),
    "hq_vae.SQVAE2": HQ,
    "iaf_vae.IAFVAE": IAF,
    "m2.M2": dict(image_size=8, latent_dim=2, hidden=(4,)),
    "ladder_vae.HierarchicalVAE": LADDER,
    "ladder_vae.LadderVAE": LADDER,
    "masked_autoencoder.MaskedAutoencoder": dict(
        image_size=8, width=8, depth=1, heads=2, decoder_width=8, decoder_depth=1, decoder_heads=2
    ),
    "nvae.NVAE": NVAE,
    "text_vae.TextVAE": dict(num_tokens=4, vocabulary_size=6, embedding=2, width=3, latent_dim=2),
    "titok.TiTok": dict(
        image_size=8,
        num_tokens=3,
        latent_channels=2,
        width=8,
        depth=1,
        heads=2,
        num_proxies=4,
        proxy_dim=4,
        bottleneck=dict(name="vq.VQ"),
        pixel_decoder=dict(name="maskgit_vqgan.Decoder", channels=(4, 4), num_blocks=1, groups=2),
    ),
    "titok.TiTokKL": TOKENS,
    "titok.MAETok": TOKENS,
    "titok.ScaledTokens": TOKENS,
    "row_vae.RowVAE": dict(image_size=8, latent_channels=1, hidden=4, depth=1),
    "two_level_vae.TwoLevelVAE": dict(image_size=8, latent_dims=(3, 2), hidden=4),
    "vae.VAE": FLAT,
    "vector_vae.VectorVAE": dict(num_features=3, latent_dim=2, hidden=(4,)),
    "vq_vae2.VQVAE2": dict(
        image_size=8, width=4, hidden=2, depth=0, latent_channels=2, bottleneck=dict(name="vq.VQ")
    ),
    "vdvae.VDVAE": HIERARCHY,
}
BATCH = 2


def recipe_of(name: str) -> dict:
    return {"name": name.partition(",")[0]} | RECIPES[name]


@pytest.fixture(scope="module", params=RECIPES)
def model(request):
    """Return the definition, the shapes of all arrays, and the model without arrays."""
    modeldef, params, rest = abstract(request.param)
    return modeldef, params | rest, modeldef.skeleton()


@functools.cache
def abstract(name: str):
    return parameters.abstract(lambda: models.create(recipe_of(name), rngs=nnx.Rngs(0)))


def shapes_of(model, function):
    """Return the shapes of function(model, images or clips)."""
    modeldef, arrays, skeleton = model
    shape, dtype = modalities.example_shape(skeleton), modalities.of_model(skeleton).dtype
    x = jax.ShapeDtypeStruct((BATCH, *shape), dtype)
    return jax.eval_shape(lambda arrays, x: function(modeldef.merge(arrays, arrays), x), arrays, x)


def test_every_class_of_the_folder_has_a_recipe_here():
    found = set()
    for module in modules_of("pipeline.models"):
        for name, value in vars(importlib.import_module(f"pipeline.models.{module}")).items():
            if inspect.isclass(value) and hasattr(value, "decode") and hasattr(value, "encode"):
                found.add(f"{module}.{name}")
    assert found == {name.partition(",")[0] for name in RECIPES}


def test_a_model_says_its_sizes_and_its_kind(model):
    _, _, skeleton = model
    assert len(skeleton.latent_shapes) == skeleton.num_layers
    assert skeleton.codec_kind in KINDS and isinstance(skeleton.is_video, bool)


def test_encode_call_and_decode_agree_on_shapes(model):
    def everything(model, x):
        batch = {modalities.of_model(model).name: x, "step": 0}
        key = jax.random.key(0)
        latents, outputs = model.encode(x, key=key), model(batch, key=key, train=False)
        z = [latent.z for latent in latents]
        decoded = [model.decode(z), model.decode(z[:1], key=key, temperature=0.5)]
        decoded += [model.decode((), num=BATCH, temperature=[1.0] * model.num_layers, key=key)]
        means = [each.mean() for each in (outputs.recon, *decoded)]
        found, again = (
            [(latent.z, latent.kl, latent.indices) for latent in each]
            for each in (latents, outputs.latents)
        )
        return x, found, again, means

    x, latents, again, means = shapes_of(model, everything)
    dtype = jnp.int32 if x.dtype == jnp.int32 else jnp.float32  # text is written as tokens
    assert all(mean.shape == x.shape and mean.dtype == dtype for mean in means)
    assert [z.shape for z, _, _ in again] == [z.shape for z, _, _ in latents]
    for (z, kl, indices), shape in zip(latents, model[2].latent_shapes, strict=True):
        assert z.shape == (BATCH, *shape)
        assert kl.shape == (z.shape if indices is None else (*z.shape[:-1], 1))
        assert z.dtype == kl.dtype == jnp.float32


def test_decode_checks_its_arguments(model):
    def refused(**arguments):
        with pytest.raises(ConfigError) as error:
            shapes_of(model, lambda model, x: model.decode(**arguments).mean())
        return str(error.value)

    layers = model[2].num_layers
    z = jnp.zeros((BATCH, 1))
    assert "needs num" in refused(latents=())
    assert f"the model has {layers} layers" in refused(latents=[z] * (layers + 1))
    assert f"has {layers + 1} values" in refused(
        latents=(), num=1, temperature=[1.0] * (layers + 1)
    )


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("autoencoder")])
def test_an_autoencoder_names_its_last_layer_and_its_factors(name):
    modeldef, params, _ = abstract(name)
    model = modeldef.skeleton()
    assert model.last_layer in params
    side, channels = model.image_size // model.spatial_factor, model.latent_channels
    frames = (1 + model.num_frames // model.temporal_factor,) if model.is_video else ()
    assert model.latent_shapes == ((*frames, side, side, channels),)
