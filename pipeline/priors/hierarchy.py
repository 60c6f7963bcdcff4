"""The contract that models share: how `decode` takes its arguments, and the walk down a hierarchy.

A model has `num_layers` stochastic layers, counted from 0 at the top. Layer l draws with
fold_in(key, l). A model that decodes says `decode = hierarchy.decode` and has the method
`generate(layers, batch)`; a flat model has one layer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent, Likelihood, Temperature
from pipeline.distributions.continuous import Reconstruction, gaussian_sample


@flax.struct.dataclass
class LayerInput:
    """Source of one layer's latent in generation: a given latent, or the layer's prior.

    Attributes:
      z: the latent, or None to draw it from the prior.
      key: key of the draw; None gives the prior's mean.
      temperature: factor of the prior's standard deviations.

    A scan over layers stacks the arrays of several layers in one LayerInput.
    """

    z: Float[Array, "b ..."] | None
    key: Shaped[Array, "..."] | None
    temperature: Float[Array, "..."] | float | int

    def latent(
        self, mean: Float[Array, "b ..."], logvar: Float[Array, "b ..."]
    ) -> Float[Array, "b ..."]:
        """Return the latent of a layer whose prior is this Gaussian."""
        if self.z is not None:
            return self.z
        return (
            mean if self.key is None else gaussian_sample(self.key, mean, logvar, self.temperature)
        )

    def latent_of(self, prior: Any, batch: int) -> Float[Array, "b ..."]:
        """Return the latent of a layer with a prior of pipeline.priors."""
        if self.z is not None:
            return self.z
        return prior.sample(self.key, batch, self.temperature)


def decode(
    self: Any,
    latents: Sequence[Float[Array, "b ..."]],
    *,
    num: int | None = None,
    key: PRNGKeyArray | None = None,
    temperature: Temperature = 1.0,
    **settings: Any,
) -> Likelihood | Reconstruction:
    """Return the likelihood given the first layers' latents, top first; the others come from their
    priors.

    Args:
      latents: up to `num_layers` arrays; none for generation from the prior alone.
      num: the number of examples, needed where no latent is given.
      key: of the draws; without one each layer takes its prior's mean.
      temperature: factor of the priors' deviations, one for all layers or one for each; 0 gives the
        means.
      **settings: what the model's `generate` takes besides, such as `cache` of a causal codec.

    Raises:
      ConfigError: neither latents nor `num`, too many latents, or another number of temperatures
        than layers.
    """
    batch = latents[0].shape[0] if latents else num
    if batch is None:
        raise ConfigError("decode without latents needs num, the number of examples")
    count = self.num_layers
    if len(latents) > count:
        raise ConfigError(f"decode got {len(latents)} latents, but the model has {count} layers")
    temperatures = temperature if isinstance(temperature, Sequence) else [temperature] * count
    if len(temperatures) != count:
        raise ConfigError(
            f"temperature has {len(temperatures)} values, but the model has {count} layers"
        )
    layers = [
        LayerInput(
            latents[layer] if layer < len(latents) else None,
            layer_key(key, layer),
            temperatures[layer],
        )
        for layer in range(count)
    ]
    return self.generate(layers, batch, **settings)


def infer(
    step: Callable[[int, Any, PRNGKeyArray | None], tuple[Any, Latent]],
    carry: Any,
    num_layers: int,
    key: PRNGKeyArray | None,
) -> tuple[Any, tuple[Latent, ...]]:
    """Walk down the layers: step(layer, carry, the layer's key) returns the next carry and the
    layer's latent.
    """
    latents = []
    for layer in range(num_layers):
        carry, latent = step(layer, carry, layer_key(key, layer))
        latents.append(latent)
    return carry, tuple(latents)


def layer_key(key: PRNGKeyArray | None, layer: int) -> PRNGKeyArray | None:
    """Return the key of stochastic layer `layer`, 0 at the top; None without a key."""
    return None if key is None else jax.random.fold_in(key, layer)
