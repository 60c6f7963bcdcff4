"""A trained model as others use it: images to latents and back, on this process's default device."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray, Shaped, UInt8

from pipeline.backend.jit import jit
from pipeline.codec import folder
from pipeline.core import pixels
from pipeline.core.errors import DataError
from pipeline.core.parameters import ModelDef
from pipeline.core.types import Latent

# The z of a batch: an array for a flat model; for a hierarchy a tuple of one a layer, top first.
Latents = Any


class Codec:
    """Weights, and what encodes and decodes with them; compiled once for each batch shape.

    Images are [b h w c] with the height, width and channels of `image_shape`: uint8, or float in [-1, 1].
    Pictures of other sizes are for pipeline.codec.media.code_image.
    """

    def __init__(
        self,
        modeldef: ModelDef,
        weights: Mapping[str, Any],
        config: Mapping[str, Any],
        fingerprint: str = "",
    ):
        """`config` is the content of a codec folder's config.json; `fingerprint` tells these weights from others."""
        params, model_state = _split(modeldef, weights)
        model = modeldef.merge(params, model_state)
        self.config, self.fingerprint = dict(config), fingerprint
        self.modeldef, self.weights = modeldef, dict(weights)
        self.image_shape: tuple[int, int, int] = (
            model.image_size,
            model.image_size,
            model.image_channels,
        )
        self.num_layers: int = model.num_layers
        self.latent_shapes: tuple[tuple[int, ...], ...] = tuple(map(tuple, model.latent_shapes))
        self.bits: int = config.get("input", {}).get("bits", 8)
        self._state = (params, model_state)
        self._infer = jit(functools.partial(_infer, modeldef, self.bits))
        self._generate = jit(functools.partial(_generate, modeldef), static_argnames="temperature")
        self._draw = jit(
            functools.partial(_draw, modeldef), static_argnames=("num", "temperature", "mean")
        )

    @classmethod
    def from_pretrained(cls, path: Any, *, dtype: str | None = None) -> "Codec":
        """Reads a folder that `save_pretrained` or `strata export` wrote.

        That of a model which takes any size is a pipeline.codec.any_size.ConvCodec.

        Args:
          dtype: "float32" or "bfloat16", in which to compute; when not given that of the recipe, which is in
            config.json. Weights and latents are float32 in either.

        Raises:
          ConfigError: there is no such folder or dtype. CheckpointError: it is damaged or incomplete.
        """
        return cls.of(*folder.read(path, dtype))

    @classmethod
    def of(
        cls,
        modeldef: ModelDef,
        weights: Mapping[str, Any],
        config: Mapping[str, Any],
        fingerprint: str = "",
    ) -> "Codec":
        """The kind of codec that the model is for; the arguments are those of the constructor."""
        if cls is Codec and hasattr(modeldef.merge(*_split(modeldef, weights)), "spatial_factor"):
            from pipeline.codec.any_size import ConvCodec as kind  # which builds on this class
        else:
            kind = cls
        return kind(modeldef, weights, config, fingerprint)

    def save_pretrained(self, path: Any) -> None:
        """Writes config.json, model.safetensors and a model card into a folder, which is made if need be.

        Raises:
          ConfigError: it cannot be written.
        """
        folder.write(path, self.config, self.weights)

    def encode(self, images: Shaped[Array | np.ndarray, "..."]) -> "Encoding":
        """The posterior of a batch of images, from which `mode` and `sample` take latents.

        A model of fewer bits than 8 sees the leading ones of each value, as in training.

        Raises:
          DataError: a shape or type of images that the model does not take.
        """
        images = self._checked(images)
        # In half precision, which a model might compute with, neighbouring values of 0..255 would fall together.
        return Encoding(
            self, jnp.asarray(images, None if str(images.dtype) == "uint8" else jnp.float32)
        )

    def decode(
        self,
        z: Latents,
        *,
        key: PRNGKeyArray | None = None,
        temperature: float | int | Sequence[float | int] = 1.0,
    ) -> UInt8[Array, "b h w c"]:
        """The likelihood's mean given latents, as uint8 images.

        Of a hierarchy `z` may hold the first layers alone: the others are the means of their priors, or with a
        `key` samples, whose deviations are times `temperature` (one number, or one a layer).

        Raises:
          DataError: latents that are not the model's.
        """
        latents = self._checked_latents(z)
        return self._generate(
            *self._state, latents, key, temperature=_temperature(temperature, self.num_layers)
        )

    def reconstruct(self, images: Shaped[Array | np.ndarray, "..."]) -> UInt8[Array, "b h w c"]:
        """`decode` of the `mode` of `encode`: what a lossy codec gives back."""
        return self.decode(self.encode(images).mode())

    def sample(
        self,
        num: int,
        key: PRNGKeyArray,
        temperature: float | int | Sequence[float | int] = 1.0,
        *,
        mean: bool = False,
    ) -> UInt8[Array, "num h w c"]:
        """Images from the prior; `temperature` is one number or one a layer. `mean` leaves out the pixels' noise."""
        if num < 1:
            raise DataError(f"sample: num={num} must be at least 1")
        return self._draw(
            *self._state,
            key,
            num=num,
            temperature=_temperature(temperature, self.num_layers),
            mean=mean,
        )

    def infer(self, images: Array, key: PRNGKeyArray | None) -> tuple[Latent, ...]:
        """What `Encoding.latents` gives, of images that `encode` checked."""
        return self._infer(*self._state, images, key)

    def _checked(self, images: Any) -> Any:
        shape, dtype = getattr(images, "shape", None), getattr(images, "dtype", None)
        expected = (
            f"[batch {' '.join(map(str, self.image_shape))}] (batch, height, width, channels)"
        )
        if shape is None or dtype is None:
            raise DataError(f"encode takes an array {expected}, not {type(images).__name__}")
        if len(shape) != 4 or tuple(shape[1:]) != self.image_shape or shape[0] < 1:
            advice = (
                "; pipeline.codec.media.code_image and strata reconstruct take pictures of any size"
            )
            advice = "; give a batch, images[None]" if tuple(shape) == self.image_shape else advice
            raise DataError(
                f"images have shape {list(shape)}, and this codec takes {expected}{advice}"
            )
        return self._checked_values(images)

    def _checked_values(self, images: Any) -> Any:
        dtype = images.dtype
        if str(dtype) != "uint8" and "float" not in str(dtype):
            raise DataError(f"images are {dtype}, but must be uint8, or float in [-1, 1]")
        # Under a caller's jit there are no values to look at.
        traced = isinstance(images, Tracer)
        if str(dtype) != "uint8" and not traced and not float(jnp.abs(images).max()) <= 1.001:
            raise DataError(
                "images are float with values outside of [-1, 1]: give uint8, or float in [-1, 1]"
            )
        return images

    def _checked_latents(self, z: Latents) -> tuple[Array, ...]:
        flat = self.num_layers == 1 and not isinstance(z, tuple | list)
        given = [z] if flat else list(z) if isinstance(z, tuple | list) else None
        if given is None:
            raise DataError(
                f"decode takes a tuple of up to {self.num_layers} arrays, top first, not {type(z).__name__}"
            )
        if not 1 <= len(given) <= self.num_layers:
            raise DataError(
                f"decode got {len(given)} latents, and the model has {self.num_layers} layers"
            )
        for layer, (array, shape) in enumerate(zip(given, self.latent_shapes)):
            if tuple(getattr(array, "shape", ()))[1:] != shape or len(array) != len(given[0]):
                wanted = f"[{len(given[0]) if layer else 'batch'} {' '.join(map(str, shape))}]"
                raise DataError(
                    f"latents of layer {layer} have shape {list(np.shape(array))}, not {wanted}"
                )
        return tuple(jnp.asarray(array, jnp.float32) for array in given)


class Encoding:
    """The posterior of a batch. It keeps the images: what a lower layer infers depends on the sample above it."""

    def __init__(self, codec: Codec, images: Array):
        self._codec, self._images = codec, images

    def mode(self) -> Latents:
        """Posterior means: one array, or of a hierarchy a tuple, each layer's mean given the means above it."""
        return _of_layers(self.latents())

    def sample(self, key: PRNGKeyArray) -> Latents:
        """A draw from the posterior, shaped as `mode`."""
        return _of_layers(self.latents(key))

    def latents(self, key: PRNGKeyArray | None = None) -> tuple[Latent, ...]:
        """Every layer's z, posterior, prior and KL in nats: at a sample, or without a key at the means."""
        return self._codec.infer(self._images, key)


def _split(modeldef: ModelDef, weights: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    params = {name: weights[name] for name in modeldef.param_names}
    return params, {name: weights[name] for name in modeldef.other_names}


def _of_layers(latents: tuple[Latent, ...]) -> Latents:
    return latents[0].z if len(latents) == 1 else tuple(latent.z for latent in latents)


def _temperature(temperature: Any, num_layers: int) -> float | tuple[float, ...]:
    # A tuple, since the compiled function takes it as static.
    if not isinstance(temperature, Sequence):
        return float(temperature)
    if len(temperature) != num_layers:
        raise DataError(
            f"temperature has {len(temperature)} values, and the model {num_layers} layers"
        )
    return tuple(map(float, temperature))


def _infer(
    modeldef: ModelDef, bits: int, params: Any, model_state: Any, images: Array, key: Any
) -> tuple[Latent, ...]:
    if bits < 8:
        whole = images if images.dtype == jnp.uint8 else pixels.to_uint8(images)
        images = whole & np.uint8(256 - (1 << (8 - bits)))
    return modeldef.merge(params, model_state).encode(images, key=key)


def _generate(
    modeldef: ModelDef,
    params: Any,
    model_state: Any,
    latents: tuple[Array, ...],
    key: Any,
    *,
    temperature: Any,
) -> UInt8[Array, "b h w c"]:
    model = modeldef.merge(params, model_state)
    return pixels.to_uint8(model.decode(latents, key=key, temperature=temperature).mean())


def _draw(
    modeldef: ModelDef,
    params: Any,
    model_state: Any,
    key: Any,
    *,
    num: int,
    temperature: Any,
    mean: bool,
) -> UInt8[Array, "b h w c"]:
    latents_key, pixels_key = jax.random.split(key)
    likelihood = modeldef.merge(params, model_state).decode(
        (), num=num, key=latents_key, temperature=temperature
    )
    return pixels.to_uint8(likelihood.mean() if mean else likelihood.sample(pixels_key))
