"""Export a run's checkpoint, or a codec folder, as a codec: Strata's own, or files for others.

strata export --workdir D --out CODEC [--to strata] [--step N] [--raw_weights] [--stats N]
              [--license NAME] [--datasets NAME,...] [--overwrite] [--push OWNER/NAME [--private]]
strata export --codec D --out DIR --to diffusers [--overwrite] [--push OWNER/NAME [--private]]

The weights of a run are the EMA ones. Results of `strata eval` for the same step and weights are
included in the model card. --stats measures mean and deviation of the latents of N training
examples, for models of the latents (codecs of any size only). --push also uploads the folder to a
hub, with the token of `hf auth login` or HF_TOKEN; a new repository is private with --private.

Example:
  strata export --workdir runs/digits --out codec
"""

import fnmatch
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from pipeline import __version__
from pipeline.cli import flags as cli_flags
from pipeline.cli import opened
from pipeline.core import progress
from pipeline.core.construct import load
from pipeline.core.errors import ConfigError, StrataError
from pipeline.losses import objective as objectives
from pipeline.metrics import catalogue
from pipeline.storage import hub, ownership, small_files, transfer
from pipeline.storage.paths import Path, as_path

EXPORTERS = "pipeline.exporters"
PREVIEW = "preview.png"
PREVIEW_COLUMNS = 8
# Keys of the result of `strata eval` that its metrics need to be understood.
_CONTEXT = ("num_importance_samples", "likelihood", "feature_distance", "num_examples")


def run(argv: list[str]) -> int:
    """Run the command described in the module's docstring; return its exit code."""
    values = _flags()
    rest = cli_flags.parse(values, argv, __doc__, more_help=cli_flags.listing(EXPORTERS, "to"))
    if rest is None:
        return 0
    if rest:
        raise ConfigError(f"there is no argument {rest[0]!r}: see strata export --help")
    if values.private and not values.push:
        raise ConfigError("--private is for --push OWNER/NAME")
    if values.push is not None:
        hub.repository(values.push)
    if values.codec is None:
        cli_flags.required(values, "workdir")
    else:
        _check_no_run(values)
    out = as_path(cli_flags.required(values, "out"))
    exporter = load(EXPORTERS, values.to.replace("-", "_"), where="--to")
    _check_out(out, values.overwrite, exporter.FILES[0])
    with ownership.owned(out) as owner:
        _check_out(out, values.overwrite, exporter.FILES[0])  # nobody else writes there from now on
        export = _export_run if values.codec is None else _export_codec
        export(out, exporter, values, owner)
        if values.push:
            _push(out, values.push, private=values.private)
        return 0


def _check_no_run(values: flags.FlagValues) -> None:
    """Check that --codec comes without flags that are about a run. Raises ConfigError."""
    of_run = ("workdir", "step", "raw_weights", "stats")
    given = [name for name in of_run if values[name].value != values[name].default]
    if given:
        raise ConfigError(f"--codec is a codec folder, and --{given[0]} is about a run: give one")


def _export_codec(
    out: Path, exporter: Any, values: flags.FlagValues, owner: ownership.Claim
) -> None:
    from pipeline.pretrained.load import Codec

    codec = Codec.from_pretrained(values.codec)
    if values["license"].present:
        codec.config["license"] = values.license
    _write(codec, out, exporter, owner, preview=None)
    print(f"{codec.config['num_parameters']:,} parameters of {values.codec}: {out}")


def _export_run(out: Path, exporter: Any, values: flags.FlagValues, owner: ownership.Claim) -> None:
    from pipeline.build.trained import load_for_inference
    from pipeline.codec import latent_origin
    from pipeline.core import parameters
    from pipeline.pretrained.load import Codec
    from pipeline.training.checkpoints.store import Checkpoints
    from pipeline.training.workdir import checkpoint_folder

    workdir = as_path(values.workdir)
    config, step, model = load_for_inference(workdir, values.step, ema=not values.raw_weights)
    metadata = Checkpoints(checkpoint_folder(workdir, config["checkpoint"]["folder"])).metadata(
        step
    )
    modeldef, params, model_state = parameters.split(model)
    weights = params | model_state
    examples = opened.input_of(config, workdir)
    about = describe(config, metadata, step, examples, ema=not values.raw_weights)
    about |= {
        "license": values.license,
        "datasets": values.datasets or _datasets(config["data"]),
        "latent_shapes": [list(shape) for shape in model.latent_shapes],
        "num_parameters": sum(array.size for array in params.values()),
        "metrics": _metrics(workdir, step, ema=not values.raw_weights),
        **latent_origin.of_run(metadata, config["model"], weights),
    }
    codec = Codec.of(modeldef, weights, about)
    if values.stats:
        codec.config["latents"] = _latent_stats(codec, config, values.stats)
    canvas, missing = None, ""
    if about["preview"] and PREVIEW in exporter.FILES:
        with progress.task("drawing the preview"):
            canvas, missing = _preview(codec, config, values.seed)
    _write(codec, out, exporter, owner, preview=canvas)
    if missing:
        print(f"strata export: the preview has no reconstructions: {missing}", file=sys.stderr)
    kind = "last" if values.raw_weights else "EMA"
    print(f"{about['num_parameters']:,} parameters, {kind} weights of step {step}: {out}")


def _write(codec: Any, out: Path, exporter: Any, owner: ownership.Claim, *, preview: Any) -> None:
    """Write the codec, or if `out` cannot be written, into a temporary folder."""
    owner.check()
    try:
        with progress.task(f"writing {out}"):
            exporter.write(codec, out, preview=preview)
    except (OSError, ConfigError) as error:
        kept = as_path(tempfile.mkdtemp(prefix="strata-codec-"))
        try:
            exporter.write(codec, kept, preview=preview)
        except ConfigError:  # it is not about the folder
            shutil.rmtree(kept, ignore_errors=True)
            raise error from None
        raise ConfigError(f"{error}; the codec is in {kept}") from None


def _push(out: Path, repo: str, *, private: bool) -> None:
    """Upload an exported folder to a hub; the folder stays where it is."""
    try:
        address = hub.upload(transfer.local_copy(out), repo, private=private)
    except ConfigError as error:
        raise ConfigError(f"{error}; the codec is in {out}") from None
    print(address)


def _datasets(data: Mapping[str, Any]) -> list[str]:
    """Return the name of the dataset that a recipe trains on, if its source is one by itself."""
    from pipeline.data import sources

    return [] if "path" in sources.arguments_of(data["source"]) else [data["source"]]


def describe(
    config: Mapping[str, Any],
    metadata: Mapping[str, Any],
    step: int,
    examples: Mapping[str, Any],
    *,
    ema: bool,
) -> dict[str, Any]:
    """Return what a codec's config.json takes from a run's, without paths of the machine.

    `examples` is its `input` (pipeline.cli.opened.input_of).
    """
    data, dataset = config["data"], metadata.get("dataset") or {}
    known = {key: dataset[key] for key in ("num_examples", "fingerprint") if dataset.get(key)}
    settings = {
        key: value for key, value in data.items() if key not in ("path", "eval_path", "num_workers")
    }
    training = {
        "step": step,
        "weights": f"EMA (decay {config['ema']})" if ema else "not averaged",
        "imported_from": metadata.get("imported_from"),
        "data": settings | known,
        **{key: config[key] for key in ("num_steps", "batch_size", "seed", "optimizer")},
        "objective": _without_paths(config["objective"]),
    }
    return {
        "strata_version": __version__,
        "model": config["model"],
        "dtype": config["dtype"],
        "input": examples,
        "training": training,
        "preview": "image_shape" in examples,
    }


def _without_paths(objective: Mapping[str, Any]) -> dict[str, Any]:
    """Return the objective's settings without the paths of its networks' files."""
    paths = objectives.path_arguments()
    return {
        name: _without(part, paths[name]) if name in paths else part
        for name, part in objective.items()
    }


def _without(settings: Mapping[str, Any], paths: Sequence[str], start: str = "") -> dict[str, Any]:
    """Return settings without those that `paths` name, also inside one another."""
    kept = {
        key: value
        for key, value in settings.items()
        if not any(fnmatch.fnmatchcase(f"{start}{key}", path) for path in paths)
    }
    return {
        key: _without(value, paths, f"{start}{key}.") if isinstance(value, Mapping) else value
        for key, value in kept.items()
    }


def _flags() -> flags.FlagValues:
    values = cli_flags.new()
    cli_flags.define_path(values, "workdir", "Folder of the run.")
    cli_flags.define_codec(values, "Codec to export in place of a run's: ")
    cli_flags.define_path(values, "out", "Folder of the codec.", written="folder")
    flags.DEFINE_enum(
        "to", "strata", cli_flags.names(EXPORTERS), "Format of the files.", flag_values=values
    )
    flags.DEFINE_integer(
        "step", None, "Checkpoint; default: the newest.", flag_values=values, lower_bound=0
    )
    flags.DEFINE_bool(
        "raw_weights",
        False,
        "Export the last step's weights instead of the EMA.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "license",
        "unknown",
        "License of the weights, for the model card: mit, apache-2.0, ...",
        flag_values=values,
    )
    flags.DEFINE_list(
        "datasets",
        None,
        "Names of the training data on a hub, for the model card; by default that of the source.",
        flag_values=values,
    )
    flags.DEFINE_string("push", None, "Repository on a hub to upload to.", flag_values=values)
    flags.DEFINE_bool("private", False, "Make a new repository private.", flag_values=values)
    flags.DEFINE_integer(
        "stats",
        0,
        "Number of training examples to measure latents of; 0 for none.",
        flag_values=values,
        lower_bound=0,
    )
    flags.DEFINE_bool(
        "overwrite", False, "Replace the files of an existing codec.", flag_values=values
    )
    flags.DEFINE_integer("seed", 0, "Seed of the samples in the preview.", flag_values=values)
    return values


def _check_out(out: Path, overwrite: bool, first: str) -> None:
    if ownership.is_unused(out):
        return
    if not out.is_dir():
        raise ConfigError(f"--out {out} is a file, not a folder")
    if not overwrite:
        raise ConfigError(f"--out {out} is not empty: give --overwrite to replace the codec in it")
    # The first file is there even if writing was interrupted.
    if not (out / first).exists():
        raise ConfigError(f"--out {out} holds something else than a codec: give another folder")


def _metrics(workdir: Path, step: int, *, ema: bool) -> dict[str, Any] | None:
    """Return the result of `strata eval` for these weights, or None if there is none."""
    try:
        result = small_files.content_of(workdir / "eval" / f"{step}.json", _is_evaluation)
    except OSError:
        return None
    if result is None:
        return None
    protocol = result["protocol"].split("; ")
    if f"{'EMA' if ema else 'last'} weights of step {step}" not in protocol:
        return None
    public = [part for part in protocol if "data={" not in part]
    scalars = {each.name for each in catalogue.reported(result) if not each.per_layer}
    known = {key: value for key, value in result.items() if key in scalars or key in _CONTEXT}
    for group, content in result.items():
        if isinstance(content, dict) and group not in known:
            figures = {k: v for k, v in content.items() if {k, f"{group}.{k}"} & scalars}
            known |= {group: figures} if figures else {}
    return known | {"protocol": "; ".join(public)}


def _is_evaluation(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("protocol"), str)
        and type(content.get("num_examples")) is int
        and isinstance(content.get("feature_distance", {}), dict)
    )


def _latent_stats(codec: Any, config: dict[str, Any], count: int) -> dict[str, Any]:
    """Measure latents of the first training examples, in batches of the recipe's size."""
    from pipeline import build
    from pipeline.codec.any_size import AnySizeCodec
    from pipeline.codec.latent_stats import measure
    from pipeline.codec.scaling import frames_of
    from pipeline.core.types import pixels_of

    if not isinstance(codec, AnySizeCodec):
        raise ConfigError(
            "--stats is for codecs of any size: the latents of this one are not one map"
        )
    rows = min(count, config["batch_size"])
    with build.dataset(config).train(rows, config["seed"]) as batches:
        number = -(-count // rows)
        steps = progress.track(range(number), "measuring latents", number, "batches")
        per_frame = frames_of(codec.config.get("latents") or {}) > 0
        clips = (pixels_of(next(batches)) for _ in steps)
        return measure(codec, clips, per_frame=per_frame)


def _preview(codec: Any, config: dict[str, Any], seed: int) -> tuple[Any, str]:
    """Return a picture of originals, reconstructions and samples, and why any are missing.

    Clips are shown by their first and last frames. A codec of any size has no prior, so it has no
    samples. A codec of labels is given those of the originals, and draws a sample of each one's
    class, or without originals of one class after another.
    """
    import jax
    import numpy as np

    from pipeline.codec.any_size import AnySizeCodec
    from pipeline.core import grids
    from pipeline.core import labels as classes

    rows, labels, missing, columns = [], [], "", PREVIEW_COLUMNS
    count = classes.num_classes_of(codec)
    drawn: Any = np.arange(columns) % count if count else None
    try:
        images, label = _held_out(config)
        columns, drawn = len(images), label if count else None
        condition = classes.of_batch(codec.modeldef.skeleton(), {"label": label})
        recon = np.asarray(codec.reconstruct(images, **condition))
        for at, when in ((0, "first"), (-1, "last")) if images.ndim == 5 else ((None, ""),):
            frames = (images, recon) if at is None else (images[:, at], recon[:, at])
            rows += frames
            labels += [f"{what} {when}".strip() for what in ("original", "reconstruction")]
    except StrataError as error:
        missing = str(error)
    if not isinstance(codec, AnySizeCodec):
        rows.append(np.asarray(codec.sample(columns, jax.random.key(seed), label=drawn)))
        labels.append("sample")
    if not rows:
        size, _, channels = codec.image_shape
        rows, labels = [np.zeros((columns, size, size, channels), np.uint8)], ["nothing to show"]
    return grids.grid(np.concatenate(rows), columns=columns, labels=labels), missing


def _held_out(config: dict[str, Any]) -> tuple[Any, Any]:
    """Return held-out images or clips and their labels."""
    from pipeline import build
    from pipeline.core.errors import DataError
    from pipeline.core.types import pixels_of

    with build.dataset(config).evaluate(PREVIEW_COLUMNS, PREVIEW_COLUMNS) as batches:
        for batch in batches:
            shown = batch["mask"] > 0
            return pixels_of(batch)[shown], batch["label"][shown]
    raise DataError("there are no held-out examples")
