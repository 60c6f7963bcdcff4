"""Evaluate a run on its held-out examples: bits per dimension, use of the latents, reconstructions.

strata eval --workdir D [--step N] [--num_importance_samples K] [--num_examples N] [--json F]
            [--perceptual.network N --perceptual.weights FILE --perceptual.heads FILE]
            [--features.network N --features.weights FILE]
            [--anomaly [--normal_labels 3,5]] [--rate] [--factors]
            [--latents [--teacher.name N --teacher.weights FILE]] [--probe FILE]

LPIPS is measured with the files of a perceptual network, given here or in the recipe's
objective.perceptual. The Frechet distance is named for its network: rfid for Inception v3 and fvd
for I3D, from their files, and random_feature_distance without a file.

--anomaly scores every example by its ELBO, its KL, its reconstruction error and, with
--num_importance_samples, the importance-weighted bound; with --normal_labels it tells how well each
score separates these labels from the others (AUROC). --rate measures the length of the latents'
code, and the distortion after each number of layers.

--factors compares the posterior means with the factors that the images were made from, which the
source knows (dsprites). Two thirds of the examples train the classifiers; DCI takes minutes for
15,000 examples.

--latents measures what a generative model will meet: where the power of the latents is, how they
follow a change of scale and a rotation of the images, how evenly images change between two of them,
their bits, a linear probe of the labels, and the alignment with a frozen encoder. --probe trains a
small flow-matching transformer on them, with the settings of a file such as
configs/probe/cifar10.py, and reports its held-out loss over that of a Gaussian.

The result is also written to D/eval/<step>.json.

Example:
  strata eval --workdir runs/digits --num_importance_samples 16
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from absl import flags

from pipeline.cli import eval_applications, frozen_networks, help_text
from pipeline.cli import flags as cli_flags
from pipeline.core import progress
from pipeline.core.errors import ConfigError
from pipeline.metrics import catalogue
from pipeline.storage.paths import as_path


def run(argv: list[str]) -> int:
    """Run the command described in the module's docstring; return its exit code."""
    values = _flags()
    rest = cli_flags.parse(values, argv, __doc__, more_help=_metrics())
    if rest is None:
        return 0
    if rest:
        raise ConfigError(f"there is no argument {rest[0]!r}: see strata eval --help")
    workdir = cli_flags.required(values, "workdir")
    eval_applications.check(values)
    folder = str(as_path(workdir) / "eval")
    is_kept = _is_writable(folder, values.json)
    result = _evaluate(workdir, values)
    _print_table(result, values.json)
    try:
        cli_flags.write_json(result, values.json)
    finally:
        if is_kept:
            cli_flags.write_json(
                result, f"{folder}/{result['step']}.json", name="the result's file"
            )
    return 0


def _metrics() -> str:
    """Return the metrics for help."""
    width = help_text.columns()
    parts = (
        f"Metrics ({modality}):\n{help_text.rows(lines, width, 37)}"
        for modality, lines in catalogue.help_lines().items()
    )
    return "\n\n".join(parts)


def _is_writable(folder: str, json_path: str | None) -> bool:
    """Return whether the run's folder for results can be written, before minutes of evaluation.

    Raises:
      ConfigError: it cannot, and the result would go nowhere else.
    """
    try:
        cli_flags.check_path(folder, "the folder for results", written="folder")
    except ConfigError as error:
        if not json_path:
            raise
        print(f"strata eval: {error}; the result goes to --json only", file=sys.stderr)
        return False
    return True


def _flags() -> flags.FlagValues:
    values = cli_flags.new()
    cli_flags.define_path(values, "workdir", "Folder of the run.")
    flags.DEFINE_integer(
        "step", None, "Checkpoint; default: the newest.", flag_values=values, lower_bound=0
    )
    flags.DEFINE_integer(
        "num_importance_samples",
        0,
        "Samples of the importance-weighted bound, one pass over the examples each; 0 skips it.",
        flag_values=values,
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "num_examples",
        None,
        "Number of examples to use, from the first; default: all.",
        flag_values=values,
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "batch_size", None, "Default: the recipe's.", flag_values=values, lower_bound=1
    )
    flags.DEFINE_bool(
        "ema", True, "Use the EMA weights instead of the last step's.", flag_values=values
    )
    eval_applications.define(values)
    frozen_networks.define_perceptual(values)
    frozen_networks.define_features(values)
    flags.DEFINE_integer("seed", 0, "Seed of the latents' noise.", flag_values=values)
    cli_flags.define_json(values)
    return values


def _evaluate(workdir: str, values: flags.FlagValues) -> dict[str, Any]:
    import jax

    from pipeline import build
    from pipeline.build.trained import load_for_inference
    from pipeline.core import modalities
    from pipeline.evaluators import classification, quality

    config, step, model = load_for_inference(workdir, values.step, ema=values.ema)
    has_pixels = modalities.of_model(model).has_pixels
    if not has_pixels:
        eval_applications.refuse_pixels(values, config["model"]["name"])
    perceptual = frozen_networks.perceptual(values, config["objective"].get("perceptual"))
    data = build.dataset(config)
    eval_applications.check_data(values, data)
    batch_size = config["eval"]["batch_size"] if values.batch_size is None else values.batch_size
    features = frozen_networks.features(values, is_video=getattr(model, "is_video", False))
    model, where = _spread(model, batch_size)
    began = time.monotonic()
    bounds: dict[str, Any] = {}
    if config.get("step", "elbo") == "elbo":
        with _batches(data, batch_size, values, "evaluating the ELBO") as batches:
            bounds = _bounds(model, batches, values, where)
    of_pixels: Any = dict(features=features, **_perceptual(perceptual)) if has_pixels else {}
    with _batches(data, batch_size, values, quality.doing(model)) as batches:
        found = quality.evaluate(
            model, batches, key=jax.random.key(values.seed), **where, **of_pixels
        )
    applications = eval_applications.evaluate(
        model, values, lambda what: _batches(data, batch_size, values, what), data, **where
    )
    classes: dict[str, Any] = {}
    if hasattr(model, "classify"):
        with _batches(data, batch_size, values, "evaluating classes") as batches:
            classes = classification.evaluate(model, batches, **where)
    protocol = [
        *([bounds.pop("protocol")] if bounds else []),
        found.pop("protocol"),
        *([catalogue.protocol(classes)] if classes else []),
        *([f"{perceptual.name}: {perceptual.detail}"] if perceptual else []),
        f"{'EMA' if values.ema else 'last'} weights of step {step}",
        f"held-out split of data={config['data']}",
        f"seed {values.seed}, batches of {batch_size}",
    ]
    about = dict(unreadable=list(data.unreadable), protocol="; ".join(protocol))
    seconds = round(time.monotonic() - began, 2)
    return (
        dict(step=step, **bounds) | found | classes | applications | about | dict(seconds=seconds)
    )


@contextlib.contextmanager
def _batches(data: Any, batch_size: int, values: flags.FlagValues, what: str) -> Iterator[Any]:
    """Open the held-out batches, and show how many have been evaluated."""
    examples = data.num_eval_examples
    number = -(-min(examples, values.num_examples or examples) // batch_size)
    with data.evaluate(batch_size, values.num_examples) as batches:
        yield progress.track(batches, what, number, "batches")


def _bounds(
    model: Any, batches: Any, values: flags.FlagValues, where: dict[str, Any]
) -> dict[str, Any]:
    import jax

    from pipeline.evaluators import likelihood

    return likelihood.evaluate(
        model,
        batches,
        key=jax.random.key(values.seed),
        num_importance_samples=values.num_importance_samples,
        **where,
    )


def _perceptual(given: frozen_networks.Perceptual | None) -> dict[str, Any]:
    return {} if given is None else {"perceptual": {given.name: (given.distance, given.weights)}}


def _spread(model: Any, batch_size: int) -> tuple[Any, dict[str, Any]]:
    """Return the model on every device, and how batches are placed there.

    A single device, or a batch that the devices do not divide, leaves the model where it is.
    """
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

    title = [f"step {result['step']}", f"{result['num_examples']} examples"]
    if "likelihood" in result:
        title.append(f"likelihood {result['likelihood']}")
    if "num_importance_samples" in result:
        title.append(f"{result['num_importance_samples']} importance samples")
    table = Table(title=", ".join(title), title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    for metric, value in catalogue.reported(result).items():
        table.add_row(metric.label, metric.format_value(value))
    console = Console(file=cli_flags.report_stream(json_path))
    console.print(table)
    for extra in eval_applications.tables(result):
        console.print(extra)
