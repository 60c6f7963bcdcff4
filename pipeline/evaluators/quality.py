"""What is measured of a set besides the likelihood, which depends on the modality of the examples.

Images and clips have reconstructions to look at; of vectors, the tails of draws are compared; and
of text, how much of a sentence its latent gives back.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from pipeline.core import modalities
from pipeline.core.types import Batch
from pipeline.evaluators import reconstruction, sentences, tails

# what an evaluation of examples without pixels says while it runs, and its function
_OTHERS: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "vector": ("comparing draws", tails.evaluate),
    "text": ("writing sentences again", sentences.evaluate),
}


def doing(model: Any) -> str:
    """Return what to show while `evaluate` runs."""
    modality = modalities.of_model(model)
    return "evaluating reconstructions" if modality.has_pixels else _OTHERS[modality.name][0]


def evaluate(
    model: Any,
    batches: Iterable[Batch],
    *,
    key: PRNGKeyArray,
    place: Callable[[Batch], Batch] = lambda batch: batch,
    replicated: jax.sharding.Sharding | None = None,
    **of_pixels: Any,
) -> dict[str, Any]:
    """Return the figures of a set with "num_examples" and "protocol".

    Args:
      key: for draws, where there are any.
      place, replicated: as in pipeline.evaluators.likelihood.
      **of_pixels: more arguments of pipeline.evaluators.reconstruction, for images and clips.
    """
    modality, where = modalities.of_model(model), dict(place=place, replicated=replicated)
    if modality.has_pixels:
        return reconstruction.evaluate(model, batches, **where, **of_pixels)  # type: ignore[arg-type]
    return _OTHERS[modality.name][1](model, batches, key=key, **where)
