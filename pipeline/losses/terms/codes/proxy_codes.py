"""The cross-entropy of the codes that another tokenizer gives to an image (TiTok, 2406.07550)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.core.types import pixels_of
from pipeline.losses.code_error import array_of, mean_per_frame
from pipeline.losses.term import Term, Weight

PATHS = ("codec",)  # Arguments that say where files are on this machine.


def proxy_codes(
    *,
    codec: str = "",
    weight: Weight = 1.0,
    load_codec: Callable[[str], tuple[Any, Any]],
    where: str = "objective.proxy_codes",
) -> Term:
    """Return -log of the probability of each patch's code, in nats, a mean over the patches.

    codec: folder of the tokenizer, such as an export of configs/vqgan/f16_1024.py, which stays
    frozen.
    """
    if not codec:
        raise ConfigError(
            f"{where}.codec is missing: give the folder of the tokenizer whose codes are predicted"
        )
    modeldef, arrays = load_codec(codec)

    def value(outputs, batch, step, frozen):
        logits = array_of(outputs, "proxy_logits", where)
        image = pixels.to_float(pixels_of(batch))
        (latent,) = modeldef.merge(frozen, frozen).encode(image)
        if latent.indices is None:
            raise ConfigError(f"{where}.codec={codec!r} has no codes")
        positions, count = latent.indices.shape[1:], latent.num_codes
        if logits.shape[1:] != (*positions, count):
            raise ConfigError(
                f"{where}.codec={codec!r} has {count} codes at {list(positions)} positions, and "
                f"the model predicts {logits.shape[-1]} at {list(logits.shape[1:-1])}"
            )
        chosen = jax.lax.stop_gradient(latent.indices)[..., None]
        log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
        return mean_per_frame(-jnp.take_along_axis(log_probs, chosen, axis=-1), batch)

    return Term(
        value, weight, log_name="proxy_codes", likelihood=True, per_value=True, frozen=arrays
    )
