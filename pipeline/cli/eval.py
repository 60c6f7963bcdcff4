"""Evaluates a run on its held-out examples: bits per dimension, use of the latents, how close reconstructions come.

strata eval --workdir D [--step N] [--num_importance_samples K] [--num_examples N] [--json F]
            [--perceptual.network N --perceptual.weights FILE --perceptual.heads FILE]
            [--features.network N --features.weights FILE]

With the files of a perceptual network, given here or in the recipe's objective.perceptual, LPIPS is measured too. The
Frechet distance is of the features of a network given by its file (inception: rfid; i3d: fvd), or else of a random one,
and is named so.

The result is also written to D/eval/<step>.json.
"""

import pathlib
import time
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.cli import frozen_networks
from pipeline.core.errors import ConfigError

_FURTHER = ("ms_ssim", "flicker", "lpips", "squeezenet")  # beginnings of names of figures


def run(argv: list[str]) -> int:
    """See the module's docstring."""
    values = _flags()
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    if rest:
        raise ConfigError(f"there is no argument {rest[0]!r}: see strata eval --help")
    workdir = cli_flags.required(values, "workdir")
    result = _evaluate(workdir, values)
    folder = pathlib.Path(workdir) / "eval"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}") from None
    cli_flags.write_json(result, str(folder / f"{result['step']}.json"))
    cli_flags.write_json(result, values.json)
    _print_table(result, values.json)
    return 0


def _flags() -> flags.FlagValues:
    values = cli_flags.new()
    flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=values)
    flags.DEFINE_integer(
        "step", None, "Checkpoint; the newest when not given.", flag_values=values, lower_bound=0
    )
    flags.DEFINE_integer(
        "num_importance_samples",
        0,
        "Samples of the importance-weighted bound, a pass over the examples each; 0 leaves it out.",
        flag_values=values,
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "num_examples",
        None,
        "The first so many; all when not given.",
        flag_values=values,
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "batch_size", None, "That of the recipe when not given.", flag_values=values, lower_bound=1
    )
    flags.DEFINE_bool(
        "ema", True, "Average weights, rather than the last step's.", flag_values=values
    )
    frozen_networks.define_perceptual(values)
    frozen_networks.define_features(values)
    flags.DEFINE_integer("seed", 0, "Of the latents' noise.", flag_values=values)
    flags.DEFINE_string(
        "json", None, "Where to write the result; - is standard output.", flag_values=values
    )
    return values


def _evaluate(workdir: str, values: flags.FlagValues) -> dict[str, Any]:
    import jax

    from pipeline import build
    from pipeline.build.trained import load_for_inference
    from pipeline.evaluators import likelihood, reconstruction

    config, step, model = load_for_inference(workdir, values.step, ema=values.ema)
    perceptual = frozen_networks.perceptual(values, config["objective"].get("perceptual"))
    data = build.dataset(config)
    batch_size = values.batch_size or config["eval"]["batch_size"]
    features = frozen_networks.features(values, is_video=getattr(model, "is_video", False))
    model, where = _spread(model, batch_size)
    began = time.monotonic()
    bounds: dict[str, Any] = {}
    if config.get("step", "elbo") == "elbo":
        with data.evaluate(batch_size, values.num_examples) as batches:
            bounds = likelihood.evaluate(
                model,
                batches,
                key=jax.random.key(values.seed),
                num_importance_samples=values.num_importance_samples,
                **where,
            )
    with data.evaluate(batch_size, values.num_examples) as batches:
        quality = reconstruction.evaluate(
            model, batches, features=features, **where, **_perceptual(perceptual)
        )
    protocol = "; ".join(
        [
            *([bounds.pop("protocol")] if bounds else []),
            quality.pop("protocol"),
            *([perceptual.meaning] if perceptual else []),
            f"{'EMA' if values.ema else 'last'} weights of step {step}",
            f"held-out split of data={config['data']}",
            f"seed {values.seed}, batches of {batch_size}",
        ]
    )
    result = (
        dict(step=step, **bounds)
        | quality
        | dict(unreadable=list(data.unreadable), protocol=protocol)
    )
    return result | dict(seconds=round(time.monotonic() - began, 2))


def _perceptual(given: frozen_networks.Perceptual | None) -> dict[str, Any]:
    return {} if given is None else {"perceptual": {given.name: (given.distance, given.weights)}}


def _spread(model: Any, batch_size: int) -> tuple[Any, dict[str, Any]]:
    """The model on every device and how batches get there, where there are several that the batch divides."""
    import jax
    from flax import nnx
    from jax.sharding import NamedSharding, PartitionSpec

    from pipeline.training.state import mesh as meshes
    from pipeline.training.state import sharding

    if jax.device_count() == 1 or batch_size % jax.device_count():
        return model, {}
    mesh = meshes.create()
    replicated = NamedSharding(mesh, PartitionSpec())
    graph, state = nnx.split(model)
    model = nnx.merge(graph, jax.device_put(state, replicated))
    rows = sharding.batch_sharding(mesh)
    return model, dict(place=lambda batch: sharding.place(batch, rows), replicated=replicated)


def _print_table(result: dict[str, Any], json_path: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"step {result['step']}, {result['num_examples']} examples"
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    rows = [
        ("PSNR of reconstructions", f"{result['psnr']:.2f} dB"),
        ("SSIM", f"{result['ssim']:.4f}"),
    ]
    rows += [(name, f"{value:.5f}") for name, value in result.items() if name.startswith(_FURTHER)]
    name, value = next(iter(result["feature_distance"].items()))
    rows += [] if value is None else [(name, f"{value:.4f}")]
    if "codebook_perplexity" in result:
        rows.append(
            ("perplexity of the codes, by layer", _numbers(result["codebook_perplexity"], ".1f"))
        )
        rows.append(("share of codes used, by layer", _numbers(result["codebook_used"], ".3f")))
    if "bits_per_dim" in result:
        rows = _likelihood_rows(result, rows)
    for row in rows:
        table.add_row(*row)
    Console(file=cli_flags.report_stream(json_path)).print(table)


def _numbers(values: list[float], form: str) -> str:
    return " ".join(format(value, form) for value in values)


def _likelihood_rows(
    result: dict[str, Any], quality: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    rows = [
        (f"negative ELBO ({result['likelihood']})", f"{result['bits_per_dim']:.4f} bits/dim"),
        ("  distortion + rate", f"{result['distortion']:.2f} + {result['rate']:.2f} nats an image"),
        *quality,
    ]
    if "active_units" in result:
        units = result["active_units"]
        layers = len(result["active_units_per_layer"])
        shown = f"{units['by_variance']} | {units['by_kl']} of {units['units']} in {layers} layers"
        rows.append(("active units, by variance | by KL", shown))
    if "iwae_bits_per_dim" in result:
        label = f"importance-weighted bound, K={result['num_importance_samples']}"
        rows.insert(2, (label, f"{result['iwae_bits_per_dim']:.4f} bits/dim"))
    return rows
