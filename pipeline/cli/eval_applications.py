"""Flags of `strata eval` for what a model is used for: anomaly detection, compression, factors,
and what a generative model can learn of its latents.
"""

import runpy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.core.construct import check_arguments
from pipeline.core.errors import ConfigError, one_line

# what is shown while it runs -> batches
Open = Callable[[str], AbstractContextManager[Any]]


def define(values: flags.FlagValues) -> None:
    """Define the flags of this file."""
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
    flags.DEFINE_bool(
        "latents",
        False,
        "Measure the latents: spectrum, equivariance, interpolation, bits, linear probe.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "probe",
        "",
        "Train a small generative model on the latents; a file such as configs/probe/cifar10.py.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "teacher.name", "", "Frozen encoder for the alignment of --latents.", flag_values=values
    )
    cli_flags.define_path(values, "teacher.weights", "Its folder or file of weights.")
    flags.DEFINE_integer(
        "teacher.size",
        0,
        "Side in pixels to which images are resized for it; 0 keeps their size.",
        flag_values=values,
        lower_bound=0,
    )


def check(values: flags.FlagValues) -> None:
    """Raise ConfigError for flags that cannot work, before anything is loaded."""
    _normal_labels(values)
    if values.normal_labels is not None and not values.anomaly:
        raise ConfigError("--normal_labels needs --anomaly")
    _probe(values)
    for name in ("teacher.name", "teacher.weights", "teacher.size"):
        if values[name].present and not values.latents:
            raise ConfigError(f"--{name} needs --latents")


def refuse_pixels(values: flags.FlagValues, model: str) -> None:
    """Raise ConfigError for a flag that is for images and clips, of a model that has others."""
    networks = ("perceptual.network", "perceptual.weights", "features.network")
    flagged = ("anomaly", "rate", "factors", "latents", "probe", *networks)
    given = [name for name in flagged if values[name].present]
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
    """Return the results "anomaly", "coding", "factors" and "latents" of the flags given."""
    import jax

    from pipeline.evaluators import anomaly, factors, latents, rate

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
    if values.latents:
        with opened("measuring the latents") as batches:
            found = latents.evaluate(model, batches, teacher=_teacher(values), **where)
            results["latents"] = found
    if values.probe:
        results["probe"] = _probed(model, values, opened, data)
    return results


def _probe(values: flags.FlagValues) -> dict[str, Any]:
    """Return the settings of --probe FILE[:arg], or {} without it.

    Raises:
      ConfigError: there is no such file, or it fails.
    """
    if not values.probe:
        return {}
    file, _, argument = values.probe.partition(":")
    try:
        found = runpy.run_path(file)["get_probe"](argument)
    except FileNotFoundError:
        raise ConfigError(f"--probe {file}: there is no such file") from None
    except KeyError:
        raise ConfigError(f"--probe {file}: it defines no function get_probe") from None
    except Exception as error:
        raise ConfigError(f"--probe {file} fails: {one_line(error)}") from None
    if not isinstance(found, Mapping):
        raise ConfigError(f"--probe {file}: get_probe must return a dict")
    return dict(found)


def _probed(model: Any, values: flags.FlagValues, opened: Open, data: Any) -> dict[str, Any]:
    from pipeline.evaluators import probe
    from pipeline.metrics.functions import embedding

    given = _probe(values)
    check_arguments(probe.Settings, given, where="--probe")
    settings = probe.Settings(**given)
    network, weights = values["features.network"].value, values["features.weights"].value
    features = embedding.create(
        network or embedding.RANDOM,
        weights=weights or "",
        is_video=getattr(model, "is_video", False),
        where="--features",
    )
    size = min(settings.batch_size, data.num_examples)
    with data.train(size, settings.seed) as train, opened("probing the latents") as held_out:
        return probe.evaluate(model, train, held_out, settings, features=features)


def _teacher(values: flags.FlagValues) -> Any:
    """Return the frozen encoder of --teacher.* with its arrays, or None."""
    from pipeline.frozen import encoder

    name = values["teacher.name"].value
    if not name:
        return None
    weights, size = (values[f"teacher.{key}"].value for key in ("weights", "size"))
    return encoder.create(name=name, weights=weights or "", size=size or 0, where="--teacher")


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
