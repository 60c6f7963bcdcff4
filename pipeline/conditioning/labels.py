"""Labels as the condition of a network: their embedding, and a conditioning at each site."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.core.construct import check_arguments, construct
from pipeline.core.errors import ConfigError
from pipeline.core.labels import UNKNOWN
from pipeline.nn.init import layer_factory, normal
from pipeline.nn.norm import Momentum

WHERE = "model.conditioning"
# (number of a site, features [b *shape c]) -> features of the same shape
AtSites = Callable[[int, Array], Array]
_DROPOUT = 1 << 30  # folded into the step's key; stochastic layers use their small numbers


@dataclasses.dataclass(frozen=True)
class LabelSettings:
    """Settings that every conditioning on labels has.

    Attributes:
      num_classes: labels are 0 to num_classes - 1, and -1 where the class is unknown.
      label_dropout: share of the examples whose label is hidden in training.
      embedding: size of a label's embedding.
    """

    num_classes: int
    label_dropout: float | int = 0.0
    embedding: int = 32


class LabelEmbedding(nnx.Module):
    """Labels [b] -> vectors [b e]; a label that is no class, such as -1, has the null embedding."""

    def __init__(self, num_classes: int, features: int, *, key: PRNGKeyArray):
        self.num_classes = num_classes
        self.table = nnx.Param(normal(key, (num_classes + 1, features)))  # the last one is null

    def __call__(self, label: Int[Array, " b"]) -> Float[Array, "b e"]:
        known = (label >= 0) & (label < self.num_classes)
        rows = jnp.where(known, label, self.num_classes)
        # A product, because the order in which a gather's gradient is summed may vary on a GPU.
        one_hot = jax.nn.one_hot(rows, self.num_classes + 1, dtype=jnp.float32)
        return jnp.matmul(one_hot, self.table[...], precision="highest")


class LabelConditioning(nnx.Module):
    """The embedding of a label, and a conditioning at each site of a network's parts.

    Args:
      recipe: the settings above, `name`, and settings of the named class.
      sites: features at each site, by part: {"encoder": (32, 64), "decoder": (64, 32)}.
    """

    def __init__(
        self,
        recipe: Mapping[str, Any],
        sites: Mapping[str, Sequence[int]],
        *,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        self.settings, layer = _settings(recipe)
        make = layer_factory(key, dtype)
        self.labels = LabelEmbedding(
            self.settings.num_classes, self.settings.embedding, key=jax.random.fold_in(key, 1 << 30)
        )

        def site(features: int) -> nnx.Module:
            def create(**given: Any) -> nnx.Module:
                return construct(
                    "pipeline.conditioning",
                    layer,
                    where=WHERE,
                    features=features,
                    condition=self.settings.embedding,
                    **given,
                )

            return make(create)

        self.sites = nnx.Dict(
            {part: nnx.List([site(width) for width in widths]) for part, widths in sites.items()}
        )

    def at(
        self, part: str, label: Int[Array, " b"] | None, batch: int, momentum: Momentum = None
    ) -> AtSites:
        """Return the function that conditions features at the sites of a part on labels.

        Without labels, those of the whole batch are unknown.
        """
        label = jnp.full((batch,), UNKNOWN, jnp.int32) if label is None else label
        c = self.labels(label)

        def condition(number: int, x: Array) -> Array:
            return self.sites[part][number](x, c, momentum)

        return condition

    def in_training(
        self, label: Int[Array, " b"] | None, key: PRNGKeyArray | None
    ) -> Int[Array, " b"] | None:
        """Return the labels of a training step, some of which are hidden; `key` is the step's."""
        share = self.settings.label_dropout
        if not share or label is None or key is None:
            return label
        return drop_labels(label, share, jax.random.fold_in(key, _DROPOUT))


def drop_labels(label: Int[Array, " b"], share: float, key: PRNGKeyArray) -> Int[Array, " b"]:
    """Return labels of which each is unknown with the probability `share`, drawn per example.

    A model then also learns the distribution without a label, which classifier-free guidance
    compares with (arXiv 2207.12598).
    """
    return jnp.where(jax.random.bernoulli(key, share, label.shape), UNKNOWN, label)


def unconditioned(number: int, x: Array) -> Array:
    """Return features as they are: the AtSites of a network without a condition."""
    del number
    return x


def _settings(recipe: Mapping[str, Any]) -> tuple[LabelSettings, dict[str, Any]]:
    """Return the settings of labels, and the recipe of the layers.

    Raises:
      ConfigError: a setting is missing, of the wrong type or out of range.
    """
    names = [field.name for field in dataclasses.fields(LabelSettings)]
    given = {key: value for key, value in recipe.items() if key in names}
    check_arguments(LabelSettings, given, where=WHERE)
    settings = LabelSettings(**given)
    for name in ("num_classes", "embedding"):
        if getattr(settings, name) < 1:
            raise ConfigError(f"{WHERE}.{name}={getattr(settings, name)} must be 1 or more")
    if not 0 <= settings.label_dropout < 1:
        raise ConfigError(
            f"{WHERE}.label_dropout={settings.label_dropout} must be at least 0 and below 1"
        )
    return settings, {key: value for key, value in recipe.items() if key not in names}
