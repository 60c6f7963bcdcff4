"""The loss of a discriminator for a batch: real and fake examples, LeCam and R1."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.parameters import Arrays
from pipeline.core.reduce import masked_mean
from pipeline.losses import adversarial
from pipeline.training.steps.gan_config import GanConfig


def discriminator_loss(
    judge: Callable[[Array], Array],
    model_state: Arrays,
    gan: GanConfig,
    real: Float[Array, "b ..."],
    fakes: tuple[Float[Array, "b ..."], ...],
    mask: Float[Array, " b"],
    *,
    penalized: bool,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Return the loss, and what to log of it.

    Args:
      judge: examples -> logits.
      model_state: the discriminator's other variables, with LeCam's running means.
      fakes: one or several of each example, which share its weight.
      penalized: whether to add the R1 penalty.
    """
    logits = [judge(x) for x in (real, *fakes)]
    if len(fakes) > 1:  # an example's fakes share its weight
        logits = [logits[0], jnp.stack(logits[1:], axis=1)]
    loss = masked_mean(adversarial.DISCRIMINATOR[gan.loss](*logits), mask)
    report = {"discriminator": loss}
    report |= {f"{kind}_logits": _mean(each, mask) for kind, each in zip(("real", "fake"), logits)}
    if gan.lecam:
        means = [model_state[f"lecam.{kind}"] for kind in ("real", "fake")]
        report["lecam"] = masked_mean(adversarial.lecam(*logits, *means), mask)
        loss = loss + gan.lecam * report["lecam"]
    if penalized:
        report["r1"] = masked_mean(adversarial.r1(judge, real), mask)
        loss = loss + gan.r1_every * 0.5 * gan.r1 * report["r1"]
    return loss, report


def _mean(logits: Array, mask: Array) -> Float[Array, ""]:
    return masked_mean(logits.reshape(logits.shape[0], -1).mean(axis=-1), mask)
