"""A codec whose images have its model's size: images to latents and back, on this process's default
device.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, Shaped

from pipeline.backend.jit import jit
from pipeline.codec.base import BaseCodec
from pipeline.codec.checks import checked_latents, checked_values
from pipeline.codec.encodings import checked_indices, no_codes
from pipeline.core import labels, pixels
from pipeline.core.errors import DataError
from pipeline.core.parameters import ModelDef
from pipeline.core.types import Latent, Temperature

# The z of a batch: an array for a flat model; for a hierarchy a tuple with one array a layer, top
# first.
Latents = Any


class FixedSizeCodec(BaseCodec):
    """A model of one image size, flat or a hierarchy; its functions are compiled once for each
    batch shape.

    Images are [b h w c] with the height, width and channels of `image_shape`: uint8, or float in
    [-1, 1]. pipeline.codec.media.code_image takes pictures of other sizes.

    Attributes:
      num_layers, latent_shapes: the number of stochastic layers, and the shape of each one's z, top
        first.
      bits: of each value that the model sees, at most 8.
      num_codes: number of codes in each layer of a model whose latents are codes; otherwise 0.
      label_dropout: share of the labels that training hid; above 0, `decode` and `sample` take a
        scale of `guidance` by the label (pipeline.distributions.guidance).
      num_classes: of the labels that the model is conditioned on; 0 if it takes none. A `label` is
        one integer for a whole batch or a sequence with one per image, from 0 to num_classes - 1,
        or -1 where the class is unknown; without one all are unknown.
    """

    # What a likelihood's mean or draw becomes.
    _values: Callable[[Array], Array] = staticmethod(pixels.to_uint8)

    def __init__(
        self,
        modeldef: ModelDef,
        weights: Mapping[str, Any],
        config: Mapping[str, Any],
        fingerprint: str = "",
    ):
        super().__init__(modeldef, weights, config, fingerprint)
        model = modeldef.skeleton()
        self.num_layers: int = model.num_layers
        self.latent_shapes: tuple[tuple[int, ...], ...] = tuple(map(tuple, model.latent_shapes))
        self.num_codes: int = getattr(model, "num_codes", 0)
        self.num_classes: int = labels.num_classes_of(model)
        self.label_dropout: float = getattr(model, "label_dropout", 0.0)
        self.bits: int = config.get("input", {}).get("bits", 8)
        self._infer = jit(functools.partial(_infer, modeldef, self.bits), what="the encoder")
        self._generate = jit(
            functools.partial(_generate, modeldef, self._values),
            what="the decoder",
            static_argnames="temperature",
        )
        self._codes = jit(functools.partial(_codes, modeldef), what="the codebooks")
        self._draw = jit(
            functools.partial(_draw, modeldef, self._values),
            what="sampling",
            static_argnames=("num", "temperature", "mean"),
        )

    def encode(
        self, images: Shaped[Array | np.ndarray, "..."], *, label: Any = None
    ) -> "FixedSizeEncoding":
        """Return the posterior of a batch of images, from which `mode` and `sample` take latents.

        A model of fewer than 8 bits sees the leading bits of each value, as in training.

        Raises:
          DataError: the model does not take images of this shape or type, or such a label.
        """
        images = self._checked(images)
        # In half precision, in which a model may compute, neighbouring values of 0..255 would
        # coincide.
        return FixedSizeEncoding(
            self,
            jnp.asarray(images, None if jnp.dtype(images.dtype).kind in "iu" else jnp.float32),
            self._condition(label, len(images)),
        )

    def decode(
        self,
        z: Latents,
        *,
        key: PRNGKeyArray | None = None,
        temperature: Temperature = 1.0,
        label: Any = None,
        guidance: float | int | None = None,
    ) -> Shaped[Array, "b ..."]:
        """Return the likelihood's mean given latents, as uint8 images.

        For a hierarchy, `z` may hold the first layers alone: the others are the means of their
        priors, or with a `key` samples, whose deviations are multiplied by `temperature` (one
        number, or one a layer).

        Raises:
          DataError: the latents do not have the model's shapes, or are not finite floats, or the
            model takes no such label or guidance.
        """
        latents = self._checked_latents(z)
        return self._generate(
            *self.state,
            latents,
            key,
            self._condition(label, len(latents[0]), guidance),
            temperature=_temperature(temperature, self.num_layers),
        )

    def decode_indices(self, indices: Any, **settings: Any) -> Shaped[Array, "b ..."]:
        """Return `decode` of the codes of indices, with its arguments.

        Indices are in the form of `FixedSizeEncoding.indices`, of all or of the first layers.

        Raises:
          DataError: the codec has no codes, or the indices are not those of this codec.
        """
        if not self.num_codes:
            raise no_codes("decode_indices")
        given = tuple(indices) if isinstance(indices, tuple | list) else (indices,)
        if not 1 <= len(given) <= self.num_layers:
            raise DataError(
                f"decode_indices got {len(given)} layers, but the model has {self.num_layers}"
            )
        for layer, (array, shape) in enumerate(zip(given, self.latent_shapes)):
            what = f"indices of layer {layer}"
            checked_indices(array, (None, *shape[:-1]), self.num_codes, what)
        arrays = tuple(array.astype(np.int32) for array in given)
        return self.decode(tuple(self._codes(*self.state, arrays)), **settings)

    def reconstruct(
        self, images: Shaped[Array | np.ndarray, "..."], *, label: Any = None
    ) -> Shaped[Array, "b ..."]:
        """Return `decode` of the `mode` of `encode`: what a lossy codec gives back."""
        return self.decode(self.encode(images, label=label).mode(), label=label)

    def sample(
        self,
        num: int,
        key: PRNGKeyArray,
        temperature: Temperature = 1.0,
        *,
        mean: bool = False,
        label: Any = None,
        guidance: float | int | None = None,
    ) -> Shaped[Array, "num ..."]:
        """Return images drawn from the prior; `mean` leaves out the pixels' noise.

        `temperature` multiplies the priors' deviations: one number, or one a layer.
        """
        if num < 1:
            raise DataError(f"sample: num={num} must be at least 1")
        return self._draw(
            *self.state,
            key,
            self._condition(label, num, guidance),
            num=num,
            temperature=_temperature(temperature, self.num_layers),
            mean=mean,
        )

    def infer(
        self, images: Array, key: PRNGKeyArray | None, condition: Mapping[str, Any]
    ) -> tuple[Latent, ...]:
        """Return the latents of images that `encode` has checked."""
        return self._infer(*self.state, images, key, condition)

    def _condition(
        self, label: Any, batch: int, guidance: float | int | None = None
    ) -> dict[str, Any]:
        """Return the arguments `label` and `guidance` of the model, as far as they are given."""
        found: dict[str, Any] = {}
        if label is not None:
            found["label"] = labels.checked(label, self.num_classes, batch)
        if guidance is not None:
            found["guidance"] = labels.checked_guidance(guidance, self, label)
        return found

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
                f"images have shape {list(shape)}, but this codec takes {expected}{advice}"
            )
        return checked_values(images)

    def _checked_latents(self, z: Latents) -> tuple[Array, ...]:
        flat = self.num_layers == 1 and not isinstance(z, tuple | list)
        given = [z] if flat else list(z) if isinstance(z, tuple | list) else None
        if given is None:
            raise DataError(
                f"decode takes a tuple of up to {self.num_layers} arrays, top first, not "
                f"{type(z).__name__}"
            )
        if not 1 <= len(given) <= self.num_layers:
            raise DataError(
                f"decode got {len(given)} latents, but the model has {self.num_layers} layers"
            )
        for layer, (array, shape) in enumerate(zip(given, self.latent_shapes)):
            if tuple(getattr(array, "shape", ()))[1:] != shape or len(array) != len(given[0]):
                wanted = f"[{len(given[0]) if layer else 'batch'} {' '.join(map(str, shape))}]"
                raise DataError(
                    f"latents of layer {layer} have shape {list(np.shape(array))}, not {wanted}"
                )
            checked_latents(array, f"latents of layer {layer}")
        return tuple(jnp.asarray(array, jnp.float32) for array in given)


class FixedSizeEncoding:
    """The posterior of a batch. It keeps the images, since a lower layer's posterior depends on the
    sample above it.
    """

    def __init__(self, codec: FixedSizeCodec, images: Array, condition: Mapping[str, Any]):
        self._codec, self._images, self._condition = codec, images, condition

    def mode(self) -> Latents:
        """Return posterior means: one array, or for a hierarchy a tuple, each layer's mean given
        the means above it.
        """
        return _of_layers(self.latents())

    def sample(self, key: PRNGKeyArray) -> Latents:
        """Return a draw from the posterior, in the form of `mode`."""
        return _of_layers(self.latents(key))

    def indices(self) -> Any:
        """Return the indices of the most probable codes, int32, in the form of `mode`.

        Raises:
          DataError: the codec's latents are not codes.
        """
        if not self._codec.num_codes:
            raise no_codes("indices")
        found = tuple(latent.indices for latent in self.latents())
        return found[0] if len(found) == 1 else found

    def latents(self, key: PRNGKeyArray | None = None) -> tuple[Latent, ...]:
        """Return each layer's z, posterior, prior and KL in nats: at a sample, or without a key at
        the means.
        """
        return self._codec.infer(self._images, key, self._condition)


def _of_layers(latents: tuple[Latent, ...]) -> Latents:
    return latents[0].z if len(latents) == 1 else tuple(latent.z for latent in latents)


def _temperature(temperature: Any, num_layers: int) -> float | tuple[float, ...]:
    # A tuple, since it is a static argument of the compiled function.
    if not isinstance(temperature, Sequence):
        return float(temperature)
    if len(temperature) != num_layers:
        raise DataError(
            f"temperature has {len(temperature)} values, but the model has {num_layers} layers"
        )
    return tuple(map(float, temperature))


def _infer(
    modeldef: ModelDef,
    bits: int,
    params: Any,
    model_state: Any,
    images: Array,
    key: Any,
    condition: Mapping[str, Any],
) -> tuple[Latent, ...]:
    if bits < 8:
        whole = images if images.dtype == jnp.uint8 else pixels.to_uint8(images)
        images = whole & np.uint8(256 - (1 << (8 - bits)))
    return modeldef.merge(params, model_state).encode(images, key=key, **condition)


def _codes(
    modeldef: ModelDef, params: Any, model_state: Any, indices: tuple[Array, ...]
) -> tuple[Array, ...]:
    return modeldef.merge(params, model_state).latents_of(indices)


def _generate(
    modeldef: ModelDef,
    values: Callable[[Array], Array],
    params: Any,
    model_state: Any,
    latents: tuple[Array, ...],
    key: Any,
    condition: Mapping[str, Any],
    *,
    temperature: Any,
) -> Array:
    model = modeldef.merge(params, model_state)
    decoded = model.decode(latents, key=key, temperature=temperature, **condition)
    return values(decoded.mean())


def _draw(
    modeldef: ModelDef,
    values: Callable[[Array], Array],
    params: Any,
    model_state: Any,
    key: Any,
    condition: Mapping[str, Any],
    *,
    num: int,
    temperature: Any,
    mean: bool,
) -> Shaped[Array, "b ..."]:
    latents_key, pixels_key = jax.random.split(key)
    likelihood = modeldef.merge(params, model_state).decode(
        (), num=num, key=latents_key, temperature=temperature, **condition
    )
    return values(likelihood.mean() if mean else likelihood.sample(pixels_key))
