"""Fixed-size codecs with random weights, shared by tests."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from pipeline import models
from pipeline.codec.fixed_size import FixedSizeCodec
from pipeline.core import parameters

HIERARCHY = dict(
    name="vdvae.VDVAE",
    enc_blocks="8x1,8d2,4x1,4d4,1x1",
    dec_blocks="1x1,4m1,8m4,8x1",
    width=8,
    zdim=2,
    likelihood=dict(name="logistic_mixture", num_mixtures=2),
    image_size=8,
    input_shift=-112.0,
    input_scale=1 / 70.0,
)
FLAT = dict(
    name="vae.VAE", image_size=8, image_channels=1, channels=(4, 8), hidden=(16,), latent_dim=3
)
LABELLED = FLAT | dict(
    conditioning=dict(name="film.FiLM", num_classes=5, embedding=3, label_dropout=0.1)
)
RECIPES = {"hierarchy": HIERARCHY, "flat": FLAT, "labelled": LABELLED}


@functools.cache
def tiny_codec(kind: str, bits: int = 8) -> FixedSizeCodec:
    """Return a codec whose weights are all above or below zero.

    It is a "hierarchy" of 8x8 RGB images, or a "flat" or "labelled" model of grey ones.
    """
    recipe = dict(RECIPES[kind])
    modeldef, params, model_state = parameters.split(models.create(recipe, rngs=nnx.Rngs(0)))
    keys = jax.random.split(jax.random.key(1), len(params))
    noisy = {
        name: params[name] + 0.1 * jax.random.normal(key, jnp.shape(params[name]))
        for name, key in zip(params, keys)
    }
    model = modeldef.merge(noisy, model_state)
    config = {
        "model": recipe,
        "dtype": "float32",
        "input": {"image_shape": [8, 8, model.image_channels], "bits": bits},
        "latent_shapes": [list(shape) for shape in model.latent_shapes],
        "num_parameters": sum(array.size for array in params.values()),
        "license": "mit",
        "datasets": ["digits", "no"],
        "training": {
            "step": 7,
            "weights": "EMA",
            "batch_size": 4,
            "optimizer": {"name": "adamw"},
            "data": {},
        },
        "metrics": {"psnr": 21.5, "num_examples": 16},
    }
    return FixedSizeCodec(modeldef, noisy | model_state, config)


def images(codec: FixedSizeCodec, batch: int = 3, seed: int = 0):
    """Return uint8 noise of the codec's image size."""
    return jax.random.randint(jax.random.key(seed), (batch, *codec.image_shape), 0, 256).astype(
        jnp.uint8
    )
