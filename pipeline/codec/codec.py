"""A trained model as other people use it: images to latents and back, loaded in one line.

    codec = Codec.from_pretrained("codec/")
    z = codec.encode(images).mode()
    images = codec.decode(z)

Importing this needs neither tensorflow nor anything of training.
"""

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped, UInt8

import pipeline
from pipeline import models, parameters, pixels
from pipeline.codec import folder
from pipeline.errors import DataError
from pipeline.types import Latent

# The latents of one batch: an array for a flat model; for a hierarchy a tuple of them, top layer first.
Latents = Array | tuple[Array, ...]
Temperature = float | int | Sequence[float | int]


class Encoding:
    """The posterior of a batch of images.

    Nothing is computed before one of the methods asks for it: in a hierarchy the posterior of a layer depends on what
    the layers above it drew, so that the mode and each sample are passes of their own.
    """

    def __init__(self, infer: Callable[[PRNGKeyArray | None], tuple[Latent, ...]]):
        self._infer = infer

    def mode(self) -> Latents:
        """The posterior's mean; in a hierarchy each layer's, given the means above it."""
        return _of_layers(self.latents())

    def sample(self, key: PRNGKeyArray) -> Latents:
        """A draw from the posterior."""
        return _of_layers(self.latents(key))

    def latents(self, key: PRNGKeyArray | None = None) -> tuple[Latent, ...]:
        """Every layer's z, posterior, prior and KL in nats: of a sample, or of the means without a key."""
        return self._infer(key)


class Codec:
    """A model with its arrays, compiled once for each shape of its input.

    Images are uint8, or float in [-1, 1], [b h w c], of exactly the model's size; pipeline.pixels turns one form into
    the other. A model of fewer than 8 bits sees its images' leading bits.

    Attributes:
      config: what config.json holds.
      image_size, image_channels, bits: of the images.
      num_layers, latent_shapes: of the latents; shapes are of one example.
    """

    def __init__(self, model: Any, config: Mapping[str, Any]):
        """`model` is any of pipeline.models; `config` is `describe`'s. Most people want `from_pretrained`."""
        self.config = dict(config)
        self.image_size, self.image_channels = model.image_size, model.image_channels
        self.num_layers, self.latent_shapes = model.num_layers, tuple(map(tuple, model.latent_shapes))
        self.bits = int(config["image"]["bits"])
        modeldef, *arrays = parameters.split(model)
        self._arrays = jax.device_put(arrays)
        functions = _Functions(modeldef, self.bits)
        self._encode = jax.jit(functions.encode)
        self._decode = jax.jit(functions.decode, static_argnums=3)
        self._reconstruct = jax.jit(functions.reconstruct)
        self._sample = jax.jit(functions.sample, static_argnums=(2, 3, 4))

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], *, dtype: str | None = None) -> "Codec":
        """Loads the folder that `strata export` wrote; `dtype` replaces the compute dtype of its training.

        Raises:
          ConfigError: there is no codec at `path`. CheckpointError: it is damaged, or does not fit its config.
        """
        config = folder.read_config(path)
        compute = dtype or config.get("dtype", "float32")
        modeldef, params, other = parameters.abstract(
            lambda: models.create(config["model"], rngs=nnx.Rngs(0), dtype=compute)
        )
        weights = folder.read_weights(path, params | other)
        return cls(modeldef.merge({k: weights[k] for k in params}, {k: weights[k] for k in other}), config)

    def save_pretrained(
        self,
        path: str | os.PathLike[str],
        *,
        license: str = "unknown",
        preview: UInt8[np.ndarray, "height width 3"] | None = None,
        overwrite: bool = False,
    ) -> None:
        """Writes the folder that `from_pretrained` loads; `license` and `preview` go with its model card.

        Raises:
          ConfigError: the folder is not empty, and not a codec's or `overwrite` is not given; or writing fails.
        """
        folder.write(path, self.config, self._weights(), license=license, preview=preview, overwrite=overwrite)

    def encode(self, images: Shaped[Array, "..."] | Shaped[np.ndarray, "..."]) -> Encoding:
        """The posterior of images. Raises DataError for images that are not the model's."""
        images = self._check_images(images)
        return Encoding(lambda key: self._encode(self._arrays, images, key))

    def decode(
        self,
        z: Array | np.ndarray | Sequence[Array | np.ndarray],
        *,
        key: PRNGKeyArray | None = None,
        temperature: Temperature = 1.0,
    ) -> Float[Array, "b h w c"]:
        """The expected images in [-1, 1], float32, of latents; pipeline.pixels.to_uint8 makes 0..255 of them.

        Of a hierarchy the first layers are enough: the others take their prior's means, or with a `key` draws whose
        deviations are multiplied by `temperature` (one number, or one a layer).

        Raises:
          DataError: latents that are not the model's.
        """
        return self._decode(self._arrays, self._check_latents(z), key, self._check_temperature(temperature))

    def reconstruct(
        self, images: Shaped[Array, "..."] | Shaped[np.ndarray, "..."]
    ) -> UInt8[Array, "b h w c"] | Float[Array, "b h w c"]:
        """What is left of images after `encode(images).mode()` and `decode`, in the form they came in."""
        return self._reconstruct(self._arrays, self._check_images(images))

    def sample(
        self, num: int, key: PRNGKeyArray, *, temperature: Temperature = 1.0, mean: bool = False
    ) -> Float[Array, "num h w c"]:
        """`num` new images in [-1, 1], drawn from the prior and then from the pixels' distribution.

        `temperature` multiplies the prior's deviations; with `mean`, pixels are expected values and not draws.
        """
        return self._sample(self._arrays, key, int(num), self._check_temperature(temperature), mean)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over the weights: latents decode with the codec that made them."""
        digest = hashlib.sha256()
        for name, array in sorted(self._weights().items()):
            digest.update(f"{name}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def _weights(self) -> dict[str, np.ndarray]:
        params, other = jax.device_get(self._arrays)
        return {**params, **other}

    def _check_images(self, images: Any) -> Array:
        wanted = (self.image_size, self.image_size, self.image_channels)
        shape, dtype = getattr(images, "shape", None), getattr(images, "dtype", None)
        if shape is None or dtype is None:
            raise DataError(f"images is a {type(images).__name__}: give an array [b h w c]")
        if len(shape) != 4 or tuple(shape[1:]) != wanted or not shape[0]:
            hint = "; give a batch, images[None]" if tuple(shape) == wanted else ""
            h, w, c = wanted
            raise DataError(f"images has shape {list(shape)}: this codec takes [b {h} {w} {c}]{hint}")
        if dtype == jnp.uint8:
            return jnp.asarray(images)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise DataError(f"images is {dtype}: give uint8 (0..255), or float in [-1, 1]")
        images = jnp.asarray(images, jnp.float32)
        # Under a caller's jit the values are not there to be looked at.
        if not isinstance(images, jax.core.Tracer) and not float(jnp.abs(images).max()) <= 1.001:
            raise DataError("images has float values outside of [-1, 1]: give uint8 (0..255), or float in [-1, 1]")
        return images

    def _check_latents(self, z: Any) -> tuple[Array, ...]:
        layers = tuple(z) if isinstance(z, Sequence) else (z,)
        if not 1 <= len(layers) <= self.num_layers:
            raise DataError(f"z has {len(layers)} layers, and this codec {self.num_layers}; without any, use sample")
        for index, (layer, shape) in enumerate(zip(layers, self.latent_shapes)):
            found = tuple(getattr(layer, "shape", ()))
            wanted = (layers[0].shape[0], *shape) if found else ("b", *shape)
            if found != wanted or not jnp.issubdtype(layer.dtype, jnp.floating):
                dims = " ".join(map(str, wanted))
                what = f"{getattr(layer, 'dtype', type(layer).__name__)}{list(found)}"
                raise DataError(f"layer {index} of z is {what}: this codec takes float [{dims}]")
        return tuple(jnp.asarray(layer, jnp.float32) for layer in layers)

    def _check_temperature(self, temperature: Temperature) -> float | tuple[float, ...]:
        if not isinstance(temperature, Sequence):
            return float(temperature)
        if len(temperature) != self.num_layers:
            raise DataError(f"temperature has {len(temperature)} values, and this codec {self.num_layers} layers")
        return tuple(map(float, temperature))


class _Functions:
    """What gets compiled: pure functions of the model's arrays."""

    def __init__(self, modeldef: parameters.ModelDef, bits: int):
        self._modeldef, self._bits = modeldef, bits

    def encode(self, arrays: Any, images: Array, key: PRNGKeyArray | None) -> tuple[Latent, ...]:
        return self._modeldef.merge(*arrays).encode(self._leading_bits(images), key=key)

    def decode(self, arrays: Any, layers: tuple[Array, ...], key: PRNGKeyArray | None, temperature: Any) -> Array:
        return self._modeldef.merge(*arrays).decode(layers, key=key, temperature=temperature).mean()

    def reconstruct(self, arrays: Any, images: Array) -> Array:
        layers = tuple(latent.z for latent in self.encode(arrays, images, None))
        recon = self.decode(arrays, layers, None, 1.0)
        return pixels.to_uint8(recon) if images.dtype == jnp.uint8 else recon

    def sample(self, arrays: Any, key: PRNGKeyArray, num: int, temperature: Any, mean: bool) -> Array:
        latents_key, pixels_key = jax.random.split(key)
        likelihood = self._modeldef.merge(*arrays).decode((), num=num, key=latents_key, temperature=temperature)
        return likelihood.mean() if mean else likelihood.sample(pixels_key)

    def _leading_bits(self, images: Array) -> Array:
        if self._bits == 8:
            return images
        images = images if images.dtype == jnp.uint8 else pixels.to_uint8(images)
        return images & np.uint8(256 - (1 << (8 - self._bits)))


def describe(
    model: Any,
    recipe: Mapping[str, Any],
    *,
    dtype: str = "float32",
    bits: int = 8,
    training: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """config.json of a codec of `model`, which models.create makes of `recipe`.

    Args:
      bits: depth of the images that the model was trained on.
      training: step, num_steps, batch_size, weights ("ema" or "raw"), data; as far as known.
      metrics: the result of strata eval, as far as known.
    """
    _, params, other = parameters.split(model)
    return {
        "format": folder.FORMAT,
        "format_version": folder.VERSION,
        "strata_version": pipeline.__version__,
        "model": dict(recipe),
        "dtype": dtype,
        "image": {"size": model.image_size, "channels": model.image_channels, "bits": bits},
        "latents": {
            "layers": model.num_layers,
            "shapes": [list(shape) for shape in model.latent_shapes],
            "values": sum(math.prod(shape) for shape in model.latent_shapes),
        },
        "parameters": sum(int(array.size) for array in {**params, **other}.values()),
        "training": dict(training or {}),
        "metrics": dict(metrics or {}),
    }


def _of_layers(latents: tuple[Latent, ...]) -> Latents:
    return latents[0].z if len(latents) == 1 else tuple(latent.z for latent in latents)
