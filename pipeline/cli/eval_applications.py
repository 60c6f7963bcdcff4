"""Flags of `strata eval` for what a model is used for: anomaly detection, compression, factors."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from absl import flags

from pipeline.core.errors import ConfigError

# what is shown while it runs -> batches
Open = Callable[[str], AbstractContextManager[Any]]


def define(values: flags.FlagValues) -> None:
    """Define --anomaly, --normal_labels, --rate and --factors."""
    flags.DEFINE_bool("anomaly", False, "Score every example.", flag_values=values)
    flags.DEFINE_list(
        "normal_labels",
        None,
        "Labels of what is normal, for --anomaly: 3,5.",
        flag_values=values,
    )
    flags.DEFINE_bool("rate", False, "Measure the code of the latents.", flag_values=values)
    flags.DEFINE_bool(
        "factors",
        False,
        "Measure how well the posterior means separate the factors of the images.",
        flag_values=values,
    )


def check(values: flags.FlagValues) -> None:
    """Raise ConfigError for flags that cannot work, before anything is loaded."""
    _normal_labels(values)
    if values.normal_labels is not None and not values.anomaly:
        raise ConfigError("--normal_labels needs --anomaly")


def refuse_pixels(values: flags.FlagValues, model: str) -> None:
    """Raise ConfigError for a flag that is for images and clips, of a model that has others."""
    networks = ("perceptual.network", "perceptual.weights", "features.network")
    given = [name for name in ("anomaly", "rate", "factors", *networks) if values[name].present]
    if given:
        raise ConfigError(f"--{given[0]} is for images and clips, and {model} takes neither")


def check_data(values: flags.FlagValues, data: Any) -> None:
    """Raise ConfigError for a flag that this dataset does not serve, before minutes of work."""
    if values.factors:
        data.eval_factors(np.arange(0))


def _normal_labels(values: flags.FlagValues) -> tuple[int, ...]:
    given = values.normal_labels or []
    try:
        return tuple(int(label) for label in given)
    except ValueError:
        raise ConfigError(
            f"--normal_labels={','.join(given)} must be labels, integers such as 3,5"
        ) from None


def evaluate(
    model: Any, values: flags.FlagValues, opened: Open, data: Any, **where: Any
) -> dict[str, Any]:
    """Return the results "anomaly", "coding" and "factors" of the flags that are given."""
    import jax

    from pipeline.evaluators import anomaly, factors, rate

    key, results = jax.random.key(values.seed), {}
    if values.anomaly:
        with opened("scoring the examples") as batches:
            results["anomaly"] = anomaly.evaluate(
                model,
                batches,
                key=key,
                num_importance_samples=values.num_importance_samples,
                normal_labels=_normal_labels(values),
                **where,
            )
    if values.rate:
        with opened("measuring the rate") as batches:
            results["coding"] = rate.evaluate(model, batches, key=key, **where)
    if values.factors:
        with opened("encoding") as batches:
            results["factors"] = factors.evaluate(model, batches, data.eval_factors, **where)
    return results


def tables(result: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the rate-distortion table of a result, if it has one of several rows."""
    from rich.table import Table

    rows = result.get("coding", {}).get("table", [])
    if len(rows) < 2:
        return
    table = Table(title="rate and distortion", title_justify="left")
    for name in ("layers", "bits/value", "bits/pixel", "PSNR", "MSE"):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [f"{row[f'bits_per_{unit}']:.4f}" for unit in ("value", "pixel")]
        table.add_row(str(row["layers"]), *cells, f"{row['psnr']:.2f} dB", f"{row['mse']:.5f}")
    yield table
