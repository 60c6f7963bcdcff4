"""Results of commands, put into words."""

from collections.abc import Mapping
from typing import Any

from pipeline.metrics import catalogue


def figures(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of a result, by name."""
    known = catalogue.by_name()
    return {
        name: value
        for name, value in result.items()
        if name in known and known[name].is_value(value)
    }


def of_reconstruction(result: Mapping[str, Any]) -> str:
    """Return the metrics of a reconstructed file, and how much smaller its latents are."""
    parts = [catalogue.find(name).describe(value) for name, value in figures(result).items()]
    if "values_per_latent" in result:
        parts.append(f"{result['values_per_latent']:.4g} pixel values per latent value")
    if "whole_clip_difference" in result:
        parts.append(f"in chunks = whole within {result['whole_clip_difference']} of 255")
    return ", ".join(parts)


def of_samples(result: Mapping[str, Any]) -> str:
    """Return the number of samples or reconstructions, and how many of them are recognized."""
    text = f"{result['num']} {result['what']}"
    if "recognized" in result:
        share, real = result["recognized"] / result["num"], result["held_out"]
        text += f", {share:.0%} recognized (of held-out images {real:.0%})"
    return text
