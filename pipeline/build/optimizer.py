"""config.optimizer and config.discriminator.optimizer -> how a gradient updates the parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.construct import check_arguments
from pipeline.training import optim
from pipeline.training.update import Update


def update(config: Mapping[str, Any]) -> Update:
    """Return the model's optimizer with its learning rate, clipping, skipping and EMA."""
    settings = dict(config["optimizer"])
    check_arguments(optimizer_update, settings, where="optimizer", given=("num_steps", "ema"))
    return optimizer_update(**settings, num_steps=config["num_steps"], ema=config["ema"])


def discriminator_update(config: Mapping[str, Any]) -> Update:
    """Return the discriminator's optimizer, which has no EMA.

    Keys of config.discriminator.optimizer override the keys of config.optimizer, except for
    `frozen`, which names parameters of the model.
    """
    models = {key: value for key, value in config["optimizer"].items() if key != "frozen"}
    settings = {**models, **config["discriminator"].get("optimizer", {})}
    where = "discriminator.optimizer"
    check_arguments(optimizer_update, settings, where=where, given=("num_steps", "ema"))
    return optimizer_update(**settings, num_steps=config["num_steps"], ema=0.0)


def optimizer_update(
    *,
    learning_rate: float | int,
    name: str = "adamw",
    warmup_steps: int = 0,
    decay: str = "constant",
    final_learning_rate: float | int = 0.0,
    b1: float | int = 0.9,
    b2: float | int = 0.999,
    eps: float | int = 1e-8,
    weight_decay: float | int = 0.0,
    l2: float | int = 0.0,
    clip_norm: float | int = 0.0,
    skip_norm: float | int = 0.0,
    max_skips: int = 100,
    frozen: Sequence[str] = (),
    num_steps: int,
    ema: float | int,
) -> Update:
    """Create an Update; the arguments but for the last two are the keys of config.optimizer."""

    def rate(step: Any) -> Any:
        return optim.learning_rate(
            step,
            peak=learning_rate,
            warmup_steps=warmup_steps,
            decay=decay,
            num_steps=num_steps,
            final=final_learning_rate,
        )

    rate(0)  # so that an unknown decay is an error now, not at the first step
    optimizer = optim.create(name, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, l2=l2)
    return Update(optimizer, rate, ema, clip_norm, skip_norm, max_skips, tuple(frozen))
