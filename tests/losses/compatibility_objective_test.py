"""The constraint on latents as a term of a recipe's objective, with a frozen image codec from its folder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.build import steps
from pipeline.codec import folder
from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent, Outputs
from pipeline.losses import codec
from pipeline.losses.latent_compatibility import latent_compatibility

IMAGES = dict(
    name="kl_f8.AutoencoderKL",
    image_size=8,
    channels=(4, 4, 4, 4),
    num_blocks=1,
    groups=2,
    attention=False,
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    _, params, _ = parameters.split(models.create(IMAGES, rngs=nnx.Rngs(0)))
    folder.write(path, {"model": IMAGES, "dtype": "float32"}, params)
    return path


def config_with(**settings):
    return {"objective": {"compatibility": settings}}


def test_it_is_a_weighted_term_and_its_codec_is_an_argument(images):
    config = config_with(weight=0.25, codec=str(images))
    found = steps.image_codec(config)
    objective, frozen = codec.create(config["objective"], images=found)
    plain, none = codec.create({})
    assert none == {} and len(frozen) == len(found[1])
    rng = np.random.default_rng(0)
    clip = jnp.asarray(rng.uniform(-1, 1, (2, 5, 8, 8, 3)), jnp.float32)
    z = jnp.asarray(rng.normal(size=(2, 2, 1, 1, 4)), jnp.float32)

    class Same:
        def mean(self):
            return clip

    outputs = Outputs(Same(), (Latent(z, jnp.zeros_like(z)),))
    terms = objective(outputs, {"video": clip}, 3, {}, frozen)
    model = found[0].merge(found[1])
    key = jax.random.fold_in(jax.random.key(0), 3)
    cost = latent_compatibility(
        outputs, {"video": clip}, decode=lambda z: model.decode((z,)).mean(), key=key
    )
    without = plain(outputs, {"video": clip}, 3, {}, {})
    np.testing.assert_allclose(terms.rest - without.rest, 0.25 * cost, rtol=1e-4)
    np.testing.assert_allclose(terms.shown["compatibility"], cost / (8 * 8 * 3), rtol=1e-5)


def test_without_a_weight_nothing_is_read():
    assert steps.image_codec(config_with(weight=0.0, codec="absent")) is None
    with pytest.raises(ConfigError, match=r"objective\.compatibility\.codec is missing"):
        steps.image_codec(config_with(weight=1.0))
    with pytest.raises(ConfigError, match=r"objective\.compatibility\.wait"):
        codec.create({"compatibility": {"wait": 1.0}})
