"""Draw samples from a run, reconstructions of held-out images, or walks through the latents.

strata sample --workdir D --out grid.png [--num 64] [--temperature 0.9] [--seed 0] [--mean]
              [--batch_norm_passes 0]
strata sample --workdir D --out grid.png --label 3,5 [--num 16] [--guidance 2]
strata sample --workdir D --out grid.png --recognize [--json F]
strata sample --workdir D --out grid.png --reconstruct [--num 8]
strata sample --workdir D --out walk.png|walk.mp4 --interpolate A B [--along linear|slerp]
strata sample --workdir D --out walk.png|walk.mp4 --traverse [A] [--dimensions 10]
strata sample --workdir D --out draws.npy|draws.csv [--num 1000]
strata sample --workdir D --out lines.txt [--mean | --reconstruct | --interpolate A B]
strata sample --codec CODEC --out draws.npy|draws.csv|lines.txt [--mean | --interpolate A B]

With --label, a model that is conditioned on classes draws samples of them, in one row per class;
-1 draws without a class. --guidance above 1 makes the classes more typical than the model has them,
if it was trained with label dropout: pixels move on from what they are without the class to what
they are with it, by that factor.

With --recognize, a nearest-neighbor classifier of the run's training images says how many of the
samples look like one of the dataset's classes; it is meant for small images, such as digits.

The reconstructions of a hierarchy come in rows. The first keeps only the latents of the lowest
resolution and draws the rest from the prior; the last keeps all of them. For a model with batch
norm, --batch_norm_passes 500 first re-estimates its statistics from that many batches of samples at
the same temperature, as NVAE's authors do.

With --interpolate, latents go from those of A to those of B in --num steps, and are decoded. With
--traverse, each row changes one dimension of the latents by -3 to 3 deviations: those of the
largest KL, or with --dimensions 0 all of them. A and B are image or clip files, whose centre
squares are taken in the model's size, or numbers of held-out examples. A PNG shows the steps next
to each other; an mp4 shows those of images in time, and clips side by side. --codec CODEC takes
the place of --workdir here, and A is then a file. docs/cli.md says what a deviation is.

Draws of a run on vectors are numbers; their histograms are written next to them, to draws.png.
Those of a run on text are sentences; A and B are then sentences, or numbers of held-out ones.
Both are drawn from a --codec as well.

Example:
  strata sample --workdir runs/digits --out grid.png --num 64
"""

import functools
import importlib
import math
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.cli import latent_pictures
from pipeline.core.errors import ConfigError, DataError
from pipeline.storage import transfer
from pipeline.storage.paths import as_path


def run(argv: list[str]) -> int:
    """Run the command described in the module's docstring; return its exit code."""
    values = _flags()
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    is_walk = latent_pictures.check(values, rest)
    if values.codec and values.workdir:
        raise ConfigError("--workdir and --codec are two models: give one of them")
    if not values.codec:
        cli_flags.required(values, "workdir")
    out = cli_flags.required(values, "out")
    other = _other_modality(values)
    if values.codec and not is_walk and not other:
        raise ConfigError("--codec is for --interpolate and --traverse: give --workdir")
    suffixes = other.SUFFIXES if other else (".png", ".mp4") if is_walk else (".png",)
    if not out.endswith(suffixes):
        raise ConfigError(f"--out {out} must be a {' or '.join(suffixes)} file")
    if other:
        return _write(values, *other.draw(values, rest, parse_temperatures(values.temperature)[0]))
    if values.label and values.reconstruct:
        raise ConfigError("--label is for samples: --reconstruct takes the images' own classes")
    if values.guidance is not None and not values.label:
        raise ConfigError("--guidance needs --label, the classes that it is towards")
    if values.recognize and values.reconstruct:
        raise ConfigError("--recognize is of samples: leave out --reconstruct")
    canvas, what, figures = latent_pictures.draw(values, rest) if is_walk else _drawn(values)
    return _write(values, {out: functools.partial(_save, canvas, values.fps)}, what, figures)


def _other_modality(values: flags.FlagValues) -> Any:
    """Return the module that draws what is no image or clip, or None for these two."""
    from pipeline.core.modalities import MODALITIES

    modality = MODALITIES.get(_modality_name(values), MODALITIES["image"])
    if modality.has_pixels:
        return None
    return importlib.import_module(f"pipeline.cli.sample_{modality.plural}")


def _modality_name(values: flags.FlagValues) -> Any:
    if values.codec:
        from pipeline.codec import places

        examples = places.find(values.codec, with_weights=False).config.get("input")
        return str(examples.get("modality")) if isinstance(examples, Mapping) else None
    if not (as_path(values.workdir) / "config.json").exists():
        return None  # the error for a folder without a run comes from what reads it
    from pipeline.data import sources
    from pipeline.training import workdir

    source = workdir.load(values.workdir)["data"].get("source")
    return sources.modality_of(source) if isinstance(source, str) else None


def _write(
    values: flags.FlagValues,
    saves: Mapping[str, Callable[[pathlib.Path], None]],
    what: str,
    figures: Mapping[str, Any],
) -> int:
    """Write the files, of which the first is --out, and the figures.

    Raises:
      ConfigError: a file could not be written; what it holds is then in a temporary one.
    """
    written = [_written(save, out) for out, save in saves.items()]
    place = written[0][0]
    problem = "; ".join(problem for _, problem in written if problem)
    print(f"{what}: {place}", file=cli_flags.report_stream(values.json))
    try:
        cli_flags.write_json({"out": place, **figures}, values.json)
    except ConfigError as error:
        raise ConfigError("; ".join(filter(None, [problem, str(error)]))) from None
    if problem:
        raise ConfigError(problem)
    return 0


def _drawn(values: flags.FlagValues) -> tuple[Any, str, dict[str, Any]]:
    """Return the grid of samples or reconstructions, what it shows, and figures for --json."""
    temperatures = parse_temperatures(values.temperature)

    from pipeline.build.trained import load_for_inference

    config, step, model = load_for_inference(values.workdir, values.step)
    temperature = per_layer(temperatures, model.num_layers)
    label = _labels(values, model)
    if values.batch_norm_passes:
        model = _reestimated(model, temperature, values, label)
    draw = _reconstructions if values.reconstruct else _samples
    canvas, what, figures = draw(config, model, temperature, values, label)
    return canvas, f"{what} at step {step}", {"step": step, **figures}


def _save(canvas: Any, fps: float, path: pathlib.Path) -> None:
    """Write a picture or, of several, a film."""
    from pipeline.core import grids

    if canvas.ndim == 4:
        latent_pictures.save_film(path, canvas, fps)
    else:
        grids.save(path, canvas)


def _written(save: Callable[[pathlib.Path], None], out: str) -> tuple[str, str]:
    """Write a file, to a temporary place if need be; return the place and what went wrong."""
    try:
        with transfer.written_file(out, name="--out") as file:
            save(file)
        return out, ""
    except (OSError, ConfigError) as error:
        reason = f"--out {out}: {error.strerror}" if isinstance(error, OSError) else str(error)
    try:
        handle, kept = tempfile.mkstemp(prefix="strata-sample-", suffix=out[-4:])
        os.close(handle)
        save(pathlib.Path(kept))
    except (OSError, ConfigError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        return "not written", f"{reason}; nor can a temporary file be: {words}"
    kind = "picture" if out.endswith((".png", ".mp4")) else "result"
    return kept, f"{reason}; the {kind} is in {kept}"


def parse_temperatures(texts: list[str]) -> tuple[float, ...]:
    """Parse the numbers of --temperature.

    Raises:
      ConfigError: a text that is not a number of 0 or more, or no texts.
    """
    try:
        temperatures = tuple(float(text) for text in texts)
    except ValueError:
        temperatures = ()
    if not temperatures or not all(0 <= temperature < math.inf for temperature in temperatures):
        raise ConfigError(
            f"--temperature {','.join(texts)} must be a number of 0 or more, or one per layer: "
            "1,0.9,0.8"
        )
    return temperatures


def per_layer(temperatures: tuple[float, ...], num_layers: int) -> float | tuple[float, ...]:
    """Return one temperature as it is, and several as a tuple with one per layer.

    Raises:
      ConfigError: there are several, but not one per layer.
    """
    if len(temperatures) == 1:
        return temperatures[0]
    if len(temperatures) != num_layers:
        raise ConfigError(
            f"--temperature has {len(temperatures)} values, but the model has {num_layers} layers: "
            "give one value, or one per layer, top first"
        )
    return temperatures


def parse_labels(texts: list[str], model: Any) -> list[int]:
    """Parse the classes of --label.

    Raises:
      ConfigError: one is not a class of the model, or the model takes none.
    """
    from pipeline.core import labels

    try:
        found = [int(text) for text in texts]
    except ValueError:
        raise ConfigError(f"--label {','.join(texts)} must be numbers: 3 or 0,1,2") from None
    if found:
        try:
            labels.checked(found, labels.num_classes_of(model), len(found))
        except DataError as error:
            raise ConfigError(f"--label {','.join(texts)}: {error}") from None
    return found


def _flags() -> flags.FlagValues:
    values = cli_flags.new()
    cli_flags.define_path(values, "workdir", "Folder of the run.")
    cli_flags.define_path(
        values, "out", "PNG or mp4 file to write; .npy or .csv of vectors.", written="file"
    )
    flags.DEFINE_integer(
        "step", None, "Checkpoint; default: the newest.", flag_values=values, lower_bound=0
    )
    flags.DEFINE_integer(
        "num",
        None,
        "Number of images; default: 64 samples, 8 reconstructions, or 9 steps (50 in an mp4).",
        flag_values=values,
        lower_bound=1,
    )
    flags.DEFINE_list(
        "temperature",
        ["1"],
        "Temperature of the prior: one number, or one per layer, top first.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "label",
        [],
        "Classes to draw, numbers from 0, for a model that is conditioned on them.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "guidance",
        None,
        "Scale of guidance by --label: 0 ignores the class, 1 is the model as it is.",
        flag_values=values,
    )
    flags.DEFINE_integer("seed", 0, "Seed of the noise.", flag_values=values)
    flags.DEFINE_integer(
        "batch_norm_passes",
        0,
        "Batches of samples to re-estimate batch norm statistics from; 0 keeps those of training.",
        flag_values=values,
        lower_bound=0,
    )
    flags.DEFINE_bool(
        "mean", False, "Show the mean of the likelihood instead of a draw.", flag_values=values
    )
    flags.DEFINE_bool(
        "reconstruct", False, "Show held-out images and their reconstructions.", flag_values=values
    )
    flags.DEFINE_bool(
        "recognize",
        False,
        "Count the samples that look like a class of the data.",
        flag_values=values,
    )
    latent_pictures.define(values)
    cli_flags.define_json(values)
    return values


def _number(values: flags.FlagValues, default: int) -> int:
    return default if values.num is None else values.num


def _labels(values: flags.FlagValues, model: Any) -> Any:
    """Return one label for each of the --num samples, or None without --label."""
    import numpy as np

    num, classes = _number(values, 64), parse_labels(values.label, model)
    if not classes:
        return None
    if num % len(classes):
        raise ConfigError(
            f"--num {num} must be a multiple of {len(classes)}, the classes of --label"
        )
    return np.repeat(np.asarray(classes, np.int32), num // len(classes))


def _reestimated(model: Any, temperature: Any, values: flags.FlagValues, label: Any) -> Any:
    import jax

    from pipeline.evaluators import batch_statistics

    if not batch_statistics.has_statistics(model):
        raise ConfigError(
            f"--batch_norm_passes {values.batch_norm_passes}: this {type(model).__name__} does not "
            "draw samples through batch norm"
        )
    # A key of its own: statistics must not come from the samples that are shown.
    key = jax.random.fold_in(jax.random.key(values.seed), 1)
    return batch_statistics.reestimated(
        model,
        num=_number(values, 64),
        passes=values.batch_norm_passes,
        key=key,
        temperature=temperature,
        condition={} if label is None else {"label": label},
    )


def _samples(
    config: dict[str, Any], model: Any, temperature: Any, values: flags.FlagValues, label: Any
) -> tuple[Any, str, dict[str, Any]]:
    """Return the grid, what it shows, and figures for --json."""
    import jax

    from pipeline.core import grids
    from pipeline.evaluators import pictures
    from pipeline.reporting import captions

    num = _number(values, 64)
    classes = parse_labels(values.label, model)
    try:
        images = pictures.samples(
            model,
            num,
            key=jax.random.key(values.seed),
            temperature=temperature,
            mean=values.mean,
            label=label,
            guidance=values.guidance,
        )
    except DataError as error:
        raise ConfigError(f"--guidance: {error}") from None
    figures: dict[str, Any] = {"num": num, "what": "samples"}
    figures |= {"label": classes} if classes else {}
    figures |= {} if values.guidance is None else {"guidance": values.guidance}
    figures |= _recognized(config, images) if values.recognize else {}
    rows: Any = {}
    if len(classes) > 1:
        rows = dict(columns=num // len(classes), labels=list(map(str, classes)))
    return grids.grid(images, **rows), captions.of_samples(figures), figures


def _recognized(config: dict[str, Any], images: Any) -> dict[str, Any]:
    """Return how many images are recognized, in all and of each class, and how it was decided."""
    import numpy as np

    from pipeline import build
    from pipeline.evaluators import recognition

    data = build.dataset(config)
    if data.what != "images":
        raise ConfigError("--recognize is for runs on images")
    recognizer, held_out = recognition.of_dataset(data)
    known, classes = recognizer(images)
    counts = np.bincount(classes[known], minlength=len(data.classes))
    names = data.classes or [str(number) for number in range(len(counts))]
    return {
        "recognized": int(known.sum()),
        "classes": dict(zip(names, counts.tolist(), strict=True)),
        "held_out": float(recognizer(held_out)[0].mean()),
        "protocol": recognition.PROTOCOL,
    }


def _reconstructions(
    config: dict[str, Any], model: Any, temperature: Any, values: flags.FlagValues, label: Any
) -> tuple[Any, str, dict[str, Any]]:
    import jax

    del label  # the images have their own
    from pipeline import build
    from pipeline.core import grids
    from pipeline.evaluators import pictures
    from pipeline.reporting import captions

    num = _number(values, 8)
    with build.dataset(config).evaluate(num, num) as batches:
        batch = next(batches)
    images = batch["image"][batch["mask"] > 0]
    rows, labels = pictures.reconstructions(
        model,
        images,
        key=jax.random.key(values.seed),
        temperature=temperature,
        label=batch["label"][batch["mask"] > 0],
    )
    grid = grids.grid(rows, columns=len(images), labels=labels)
    figures = {"num": len(images), "what": "reconstructions"}
    return grid, captions.of_samples(figures), figures
