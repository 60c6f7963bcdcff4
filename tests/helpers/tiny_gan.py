"""A minimal codec with a discriminator, shared by tests of the adversarial step."""

import sys
import types

import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from pipeline import build
from pipeline.bottlenecks.gaussian import Gaussian
from pipeline.core import pixels
from pipeline.core.types import Outputs
from pipeline.distributions.continuous import Reconstruction
from pipeline.nn.conv import Conv
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import layer_key

SIZE = 8


class TinyCodec(nnx.Module):
    """A codec of one convolution each way, to a quarter of the pixels."""

    codec_kind, is_video, num_layers, spatial_factor = "any_size", False, 1, 2
    last_layer = "decode_conv.kernel"

    def __init__(
        self,
        *,
        image_size: int = SIZE,
        image_channels: int = 3,
        noise: bool = True,
        rngs: nnx.Rngs,
        dtype=jnp.float32,
    ):
        self.image_size, self.image_channels, self.noise = image_size, image_channels, noise
        self.latent_shapes = ((image_size // 2, image_size // 2, 4),)
        self.bottleneck = Gaussian(latent_channels=4)
        self.encode_conv = Conv(image_channels, 8, 3, stride=2, key=rngs.params(), dtype=dtype)
        self.decode_conv = Conv(4, 4 * image_channels, 3, key=rngs.params(), dtype=dtype)

    def encode(self, image, *, key=None):
        h = self.encode_conv(pixels.to_float(image))
        return (self.bottleneck(h, layer_key(key, 0)),)

    decode = hierarchy.decode

    def generate(self, layers, batch):
        shape, layer = (batch, *self.latent_shapes[0][:2]), layers[0]
        z = layer.z
        if z is None:
            z = self.bottleneck.prior(shape, layer.key, layer.temperature)
        x = self.decode_conv(z)
        b, h, w, c = x.shape
        x = x.reshape(b, h, w, 2, 2, c // 4).swapaxes(2, 3)
        return Reconstruction(x.reshape(b, 2 * h, 2 * w, c // 4))

    def __call__(self, batch, *, key, train):
        latents = self.encode(batch["image"], key=key if self.noise else None)
        return Outputs(self.decode([latents[0].z]), latents)


# Recipes look models up in pipeline.models.
_module = types.ModuleType("pipeline.models.tiny_codec")
_module.TinyCodec = TinyCodec  # pyright: ignore
TinyCodec.__module__ = _module.__name__  # only classes of the package are found
sys.modules["pipeline.models.tiny_codec"] = _module


def recipe() -> ConfigDict:
    """Return an image codec on crops of photos; the discriminator starts after step 4."""
    config = ConfigDict(dict(num_steps=20, batch_size=8, seed=0, ema=0.9, step="adversarial"))
    config.data = ConfigDict(dict(source="sklearn_images", image_size=SIZE, crop="random"))
    config.model = ConfigDict(dict(name="tiny_codec.TinyCodec", image_size=SIZE))
    config.objective = ConfigDict(dict(l1={}, rate=dict(weight=1e-6), logvar="learned"))
    config.objective.adversarial = ConfigDict(
        dict(weight=0.5, start=4, r1=1.0, r1_every=4, lecam=0.01)
    )
    config.discriminator = ConfigDict(dict(name="patchgan.PatchGAN2D", channels=8, num_layers=1))
    config.discriminator.optimizer = ConfigDict(dict(learning_rate=2e-3, b1=0.5))
    config.optimizer = ConfigDict(
        dict(name="adamw", learning_rate=1e-3, warmup_steps=5, weight_decay=0.01)
    )
    config.checkpoint = ConfigDict(dict(every=10, keep=0))
    config.log = ConfigDict(dict(every=1))
    config.mesh = ConfigDict(dict(replica=1, fsdp=-1, context=1))
    return config


def tiny(**changes) -> dict:
    """Return the complete recipe with changes; objective__logvar=0.0 changes a key of a section."""
    return build.complete(changed(recipe(), **changes))


def changed(config: ConfigDict, **changes) -> ConfigDict:
    """Return the recipe with changes, like `tiny` but not completed."""
    for name, value in changes.items():
        node, names = config, name.split("__")
        for part in names[:-1]:
            node = node[part]
        with node.unlocked():
            node[names[-1]] = value
    return config


def batch_of(number: int, rows: int = 8) -> dict[str, np.ndarray]:
    """Return batch `number` of noise images."""
    rng = np.random.default_rng(number)
    return {
        "image": rng.integers(0, 256, (rows, SIZE, SIZE, 3), dtype=np.uint8),
        "label": np.zeros(rows, np.int32),
        "index": np.arange(rows, dtype=np.int32),
        "mask": np.ones(rows, np.float32),
    }
