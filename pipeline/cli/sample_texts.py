"""`strata sample` of a model of text: drawn, reconstructed or interpolated sentences in a .txt."""

import pathlib
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags
from jaxtyping import Int

from pipeline.cli import opened
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.notices import notice

if TYPE_CHECKING:
    from pipeline.codec.texts import TextCodec

SUFFIXES = (".txt",)
_NOT_HERE = ("recognize", "batch_norm_passes", "traverse", "label")
Recipe = dict[str, Any] | None  # of a run; a codec's folder has none
Save = Callable[[pathlib.Path], None]


def draw(
    values: flags.FlagValues, rest: list[str], temperature: Any
) -> tuple[dict[str, Save], str, dict[str, Any]]:
    """Return what to write by the name of the file, what it shows, and figures for --json.

    Sentences are drawn token by token, or with --mean written greedily, as reconstructions and
    interpolations always are.

    Raises:
      ConfigError: a flag is for images, or no such sentence is held out.
    """
    for name in _NOT_HERE:
        if values[name].value:
            raise ConfigError(f"--{name} is for images and clips, and this model has text")
    codec, config, step = opened.codec_of(values)
    if values.interpolate:
        lines, what = _interpolation(config, codec, values, rest)
    elif values.reconstruct:
        lines, what = _reconstructions(config, codec, values)
    else:
        lines, what = _samples(codec, values, temperature)
    text = "\n".join(lines) + "\n"
    saves: dict[str, Save] = {values.out: lambda path: _write(path, text)}
    source = f"of {values.codec}" if step is None else f"at step {step}"
    return saves, f"{what} {source}", {"what": what, "step": step, "lines": lines}


def _samples(
    codec: "TextCodec", values: flags.FlagValues, temperature: Any
) -> tuple[list[str], str]:
    import jax

    num = 64 if values.num is None else values.num
    key = jax.random.key(values.seed)
    return codec.sample(num, key, temperature, mean=values.mean), f"{num} sentences"


def _reconstructions(
    config: Recipe, codec: "TextCodec", values: flags.FlagValues
) -> tuple[list[str], str]:
    tokens = _held_out(config, codec, 8 if values.num is None else values.num)
    written = codec.decode(codec.tokens.encode(tokens).mode())
    pairs = zip(map(codec.vocabulary.decode, tokens), written, strict=True)
    return [f"{kind}  {line}" for pair in pairs for kind, line in zip("><", pair)], (
        f"{len(tokens)} sentences (>) and their reconstructions (<)"
    )


def _interpolation(
    config: Recipe, codec: "TextCodec", values: flags.FlagValues, rest: list[str]
) -> tuple[list[str], str]:
    """Return sentences on the way from A to B: numbers of held-out sentences, or sentences."""
    num = 9 if values.num is None else values.num
    ends = [_end(config, codec, text) for text in rest]
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        lines = codec.interpolate(ends[0], ends[1], num, values.along)
    for remark in remarks:
        notice(str(remark.message))
    return [f"A  {ends[0]}", *lines, f"B  {ends[1]}"], f"{num} steps from A to B"


def _end(config: Recipe, codec: "TextCodec", text: str) -> str:
    if not text.isdecimal():
        return text
    found = _held_out(config, codec, int(text) + 1)
    if len(found) <= int(text):
        raise ConfigError(f"there is no held-out sentence {text}: they have numbers from 0 on")
    return codec.vocabulary.decode(found[int(text)])


def _held_out(config: Recipe, codec: "TextCodec", num: int) -> Int[np.ndarray, "m n"]:
    """Return the first `num` held-out sentences, in the order of evaluation.

    Raises:
      ConfigError: there is no run.
      DataError: the data gives another vocabulary than the run has.
    """
    if config is None:
        raise ConfigError("held-out sentences are those of a run, which needs --workdir")
    from pipeline import build

    data = build.dataset(config)
    if data.tokens.to_json() != codec.vocabulary.to_json():
        raise DataError(f"{data.where} gives another vocabulary than the run was trained with")
    with data.evaluate(num, num) as batches:
        batch = next(batches)
    return batch["text"][batch["mask"] > 0]


def _write(path: pathlib.Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
