"""The contract of a loss term."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core import pixels
from pipeline.core.schedules import Number, Schedule, Step
from pipeline.core.types import Batch, Outputs, examples_of, pixels_of

Frozen = Mapping[str, Array]
Weight = Number | Schedule
# Key of a batch's images or clips as a regularizer of latents wants them reconstructed.
TARGET = "target"


@dataclasses.dataclass(frozen=True, eq=False)
class Term:
    """One summand of an objective.

    Attributes:
      value: `value(outputs, batch, step, frozen)` returns one value per example [b], unweighted and
        summed over the example, in nats where it is a likelihood. `step` may be traced; `frozen`
        holds the term's own arrays below, and those that are trained with the codec, whose first
        values the function `trained` of the term's module returns. A mean over the batch that the
        value depends on is masked by batch["mask"].
      weight: a number, or a schedule of the step.
      log_name: metric under which the value is logged, divided by the number of values of the
        example (by its number of frames with `per_value`); empty for a price of the KL, because
        the KL itself is logged.
      likelihood: whether the term measures the reconstruction. The learned variance divides these
        terms, and their gradient is what the adaptive weight of a discriminator is compared with.
      per_value: whether the value is a distance of whole frames, summed over frames, that counts
        once for each value of a frame, so that terms keep their proportion at any resolution.
      charges_kl: whether the term is a price of the KL, of which an objective has at most one.
      balance: name of a parameter of the codec, such as "encoder.conv_out.kernel". The weight is
        then multiplied by the ratio of the norms of two gradients by that parameter, the
        likelihood's over this term's (pipeline.losses.adversarial.adaptive_weight).
      layers: names of layers of the codec whose outputs the value reads in outputs.aux["layers"].
      frozen: arrays that are never trained, by name; passed to compiled functions as arguments.
      log: `log(value, batch, step)` returns what to log in place of the above: named values of
        each example [b], or scalars.
    """

    value: Callable[[Outputs, Batch, Step, Frozen], Float[Array, " b"]]
    weight: Weight
    log_name: str = ""
    likelihood: bool = False
    per_value: bool = False
    charges_kl: bool = False
    balance: str = ""
    layers: tuple[str, ...] = ()
    frozen: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    log: Callable[[Float[Array, " b"], Batch, Step], dict[str, Array]] | None = None


def weight_at(weight: Weight, step: Step) -> Number | Float[Array, ""]:
    """Return a weight at a step."""
    return weight(step) if callable(weight) else weight


def recon_and_target(
    outputs: Outputs, batch: Batch
) -> tuple[Float[Array, "b *t h w c"], Float[Array, "b *t h w c"]]:
    """Return the reconstruction and its target, float32 in [-1, 1].

    The target is the batch's images or clips, or what a regularizer has made of them.
    """
    target = batch[TARGET] if TARGET in batch else pixels_of(batch)
    return outputs.recon.mean().astype(jnp.float32), pixels.to_float(target)


def sum_of_example(x: Float[Array, "b ..."]) -> Float[Array, " b"]:
    """Return the sum over all but the first axis."""
    return x.reshape(x.shape[0], -1).sum(axis=-1)


def num_values(batch: Batch) -> int:
    """Return the number of values in an example of the batch, as it is to be reconstructed."""
    return math.prod(batch.get(TARGET, examples_of(batch)).shape[1:])


def num_frames(batch: Batch) -> int:
    """Return the number of frames in an example of the batch, which is 1 but for clips."""
    shape = examples_of(batch).shape
    return shape[1] if len(shape) == 5 else 1
