"""Whose latents a codec has: those of the codec that its run started from, or of its teacher.

Models of latents fit every codec with the same encoder. config.json says so under "latents_of":
"codec" and "fingerprint" name the other codec, and "unchanged" is true if the arrays on which the
latents depend are equal, false if the codec was trained to give the same latents.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.core.construct import find
from pipeline.formats.fingerprint import fingerprint_of


def encoder_digest(model: Mapping[str, Any], weights: Mapping[str, Any]) -> str | None:
    """Return the fingerprint of the arrays on which a model's latents depend.

    None for a model that does not say which they are (`encoder_parts`).

    Args:
      model: config.model.
    """
    kind: Any = find("pipeline.models", model["name"], where="model")
    parts = getattr(kind, "encoder_parts", None)
    if parts is None:
        return None
    names = [name for name in weights if name.partition(".")[0] in parts]
    return fingerprint_of({name: np.asarray(weights[name]) for name in names})


def of_run(
    metadata: Mapping[str, Any], model: Mapping[str, Any], weights: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what config.json says of the latents of a run's codec, as keys of it, or {}.

    If the latents are those of the codec that the run started from, so are their statistics.

    Args:
      metadata: of a checkpoint; "origin" and "teacher" are what pipeline.build.init.origin gives.
    """
    origin, teacher = metadata.get("origin") or {}, metadata.get("teacher") or {}
    digest = encoder_digest(model, weights)
    if digest is not None and origin.get("encoder_sha256") == digest:
        statistics = {"latents": origin["latents"]} if origin.get("latents") else {}
        return {"latents_of": _named(origin) | {"unchanged": True}} | statistics
    return {"latents_of": _named(teacher) | {"unchanged": False}} if teacher else {}


def _named(codec: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("codec", "fingerprint", "encoder_sha256")
    return {key: codec[key] for key in keys if key in codec}


def sentence(config: Mapping[str, Any]) -> str:
    """Return what the model card says of "latents_of"; "" if config.json has none."""
    other = config.get("latents_of")
    if not other:
        return ""
    name, weights = other.get("codec"), str(other.get("fingerprint"))
    if other.get("unchanged"):
        return (
            f"The latents are unchanged: they are those of `{name}`, because every array that they "
            f"depend on is equal (sha256 {other.get('encoder_sha256')}). Models of its latents "
            "fit this codec."
        )
    return (
        f"It was trained to give and to read the latents of `{name}` (sha256 of its weights "
        f"{weights}). They are close to them, and not equal."
    )
