"""`strata sample` of a model of vectors: draws as numbers, and their histograms."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags
from jaxtyping import Float

from pipeline.cli import opened
from pipeline.core.errors import ConfigError, StrataError

SUFFIXES = (".npy", ".csv")
_NOT_HERE = ("reconstruct", "recognize", "batch_norm_passes", "interpolate", "traverse", "label")
Save = Callable[[pathlib.Path], None]


def draw(
    values: flags.FlagValues, rest: list[str], temperature: Any
) -> tuple[dict[str, Save], str, dict[str, Any]]:
    """Return what to write by the name of the file, what it shows, and figures for --json.

    Draws go to --out, and a picture of their histograms next to those of held-out vectors to the
    same name with .png.

    Raises:
      ConfigError: a flag is for images.
    """
    del rest
    for name in _NOT_HERE:
        if values[name].value:
            raise ConfigError(f"--{name} is for images and clips, and this model has vectors")
    import jax

    from pipeline.core import grids
    from pipeline.core.histograms import histograms

    codec, config, step = opened.codec_of(values)
    num = 1_000 if values.num is None else values.num
    drawn = np.asarray(
        codec.sample(num, jax.random.key(values.seed), temperature, mean=values.mean)
    )
    sets, missing = {"samples": drawn}, ""
    try:
        sets = sets if config is None else {"data": _held_out(config, num), **sets}
    except StrataError as error:
        missing = f" (without held-out vectors: {error})"
    picture = str(pathlib.PurePosixPath(values.out).with_suffix(".png"))
    if "://" in values.out:  # a path would lose one of the slashes
        picture = values.out[: values.out.rindex(".")] + ".png"
    saves: dict[str, Save] = {
        values.out: lambda path: _save(path, drawn),
        picture: lambda path: grids.save(path, histograms(sets)),
    }
    figures = {"num": num, "what": "samples", "step": step, "picture": picture}
    source = f"of {values.codec}" if step is None else f"at step {step}"
    return saves, f"{num} samples {source}{missing}", figures


def _held_out(config: dict[str, Any], num: int) -> Float[np.ndarray, "n d"]:
    """Return up to `num` held-out vectors."""
    from pipeline import build

    data = build.dataset(config)
    with data.evaluate(min(num, 1_024), num) as batches:
        return np.concatenate([batch["vector"][batch["mask"] > 0] for batch in batches])


def _save(path: pathlib.Path, vectors: Float[np.ndarray, "n d"]) -> None:
    """Write an .npy of float32, or a .csv with a line for each vector."""
    with path.open("wb") as file:  # NumPy would add a suffix to a name without one
        if path.suffix == ".npy":
            np.save(file, vectors)
        else:
            np.savetxt(file, vectors, fmt="%.9g", delimiter=",")
