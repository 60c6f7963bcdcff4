"""config.optimizer and config.trainable -> how a gradient updates which parameters."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.construct import check_arguments, find
from pipeline.core.errors import ConfigError
from pipeline.training import optim
from pipeline.training.state.trainable import Trainable
from pipeline.training.update import Update


def update(config: Mapping[str, Any]) -> Update:
    """Return the model's optimizer with its learning rate, clipping, skipping and EMA."""
    settings = dict(config["optimizer"])
    check_arguments(optimizer_update, settings, where="optimizer", given=("num_steps", "ema"))
    rules = optimizer_update(**settings, num_steps=config["num_steps"], ema=config["ema"])
    return dataclasses.replace(rules, trainable=trainable(config))


def trainable(config: Mapping[str, Any]) -> Trainable:
    """Return which arrays config.trainable names; all if it is empty.

    It is "decoder" or "encoder", a regular expression, or a tuple of them. "encoder" are the arrays
    on which the latents depend, and "decoder" all others, also of the prior.

    Raises:
      ConfigError: it is something else, or the model does not say what its encoder is.
    """
    given = config.get("trainable", "")
    patterns = (given,) if isinstance(given, str) else given
    if not isinstance(patterns, list | tuple) or not all(isinstance(p, str) for p in patterns):
        raise ConfigError(
            f"config.trainable={given!r} must be 'decoder', 'encoder', a regular expression on "
            "names of arrays, or a tuple of them"
        )
    if not given:
        return Trainable()
    if given in ("decoder", "encoder"):
        name = str(config["model"].get("name"))
        parts = getattr(find("pipeline.models", name, where="model"), "encoder_parts", None)
        if parts is None:
            raise ConfigError(
                f"config.trainable={given!r}: {name} does not say which of its arrays the latents "
                "depend on; give regular expressions on names, which strata inspect shows"
            )
        inside = rf"({'|'.join(parts)})\."
        return Trainable((rf"^{inside}" if given == "encoder" else rf"^(?!{inside})",))
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"config.trainable: {pattern!r} is no regular expression: {error}"
            ) from None
    return Trainable(tuple(patterns))


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
