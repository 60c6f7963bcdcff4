"""`strata sample` of a run on text: drawn, reconstructed or interpolated sentences in a .txt."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags
from jaxtyping import Float, Int

from pipeline.core.errors import ConfigError, DataError

SUFFIXES = (".txt",)
_NOT_HERE = ("recognize", "batch_norm_passes", "traverse", "label", "codec")
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
            raise ConfigError(f"--{name} is for images and clips, and this run has text")
    from pipeline.build.trained import load_for_inference

    config, step, model = load_for_inference(values.workdir, values.step)
    vocabulary = vocabulary_of(values.workdir)
    if values.interpolate:
        lines, what = _interpolation(config, model, vocabulary, values, rest)
    elif values.reconstruct:
        lines, what = _reconstructions(config, model, vocabulary, values)
    else:
        lines, what = _samples(model, vocabulary, values, temperature)
    text = "\n".join(lines) + "\n"
    saves: dict[str, Save] = {values.out: lambda path: _write(path, text)}
    return saves, f"{what} at step {step}", {"what": what, "step": step, "lines": lines}


def vocabulary_of(workdir: str) -> Any:
    """Return the vocabulary that a run keeps. Raises DataError: there is none."""
    from pipeline.data.texts.vocabulary import Vocabulary
    from pipeline.storage import small_files
    from pipeline.storage.paths import as_path

    path = as_path(workdir) / "vocabulary.json"
    content = small_files.content_of(path, lambda content: isinstance(content, dict))
    return Vocabulary.from_json(content, str(path))


def _samples(
    model: Any, vocabulary: Any, values: flags.FlagValues, temperature: Any
) -> tuple[list[str], str]:
    import jax

    num = 64 if values.num is None else values.num
    of_latents, of_words = jax.random.split(jax.random.key(values.seed))
    likelihood = model.decode((), num=num, key=of_latents, temperature=temperature)
    tokens = likelihood.mean() if values.mean else likelihood.sample(of_words)
    return _lines(vocabulary, tokens), f"{num} sentences"


def _reconstructions(
    config: dict[str, Any], model: Any, vocabulary: Any, values: flags.FlagValues
) -> tuple[list[str], str]:
    num = 8 if values.num is None else values.num
    tokens = _held_out(config, vocabulary, num)
    written = model.decode([latent.z for latent in model.encode(tokens)]).mean()
    pairs = zip(_lines(vocabulary, tokens), _lines(vocabulary, written), strict=True)
    return [f"{kind}  {line}" for pair in pairs for kind, line in zip("><", pair)], (
        f"{len(tokens)} sentences (>) and their reconstructions (<)"
    )


def _interpolation(
    config: dict[str, Any],
    model: Any,
    vocabulary: Any,
    values: flags.FlagValues,
    rest: list[str],
) -> tuple[list[str], str]:
    """Return sentences on the way from A to B: numbers of held-out sentences, or sentences."""
    if values.along != "linear":
        raise ConfigError("--along slerp is for images and clips: sentences are walked linearly")
    num = 9 if values.num is None else values.num
    ends = np.stack([_end(config, model, vocabulary, text) for text in rest])
    first, last = np.asarray(model.encode(ends)[0].z)
    share = np.linspace(0, 1, num)[:, None]
    z: Float[np.ndarray, "n d"] = ((1 - share) * first + share * last).astype(np.float32)
    lines = _lines(vocabulary, model.decode([z]).mean())
    given = _lines(vocabulary, ends)
    return [f"A  {given[0]}", *lines, f"B  {given[1]}"], f"{num} steps from A to B"


def _end(config: dict[str, Any], model: Any, vocabulary: Any, text: str) -> Int[np.ndarray, " n"]:
    if not text.isdecimal():
        return vocabulary.encode(text, model.example_shape[0])
    found = _held_out(config, vocabulary, int(text) + 1)
    if len(found) <= int(text):
        raise ConfigError(f"there is no held-out sentence {text}: they have numbers from 0 on")
    return found[int(text)]


def _held_out(config: dict[str, Any], vocabulary: Any, num: int) -> Int[np.ndarray, "m n"]:
    """Return the first `num` held-out sentences, in the order of evaluation.

    Raises:
      DataError: the data gives another vocabulary than the run has.
    """
    from pipeline import build

    data = build.dataset(config)
    if data.tokens.to_json() != vocabulary.to_json():
        raise DataError(f"{data.where} gives another vocabulary than the run was trained with")
    with data.evaluate(num, num) as batches:
        batch = next(batches)
    return batch["text"][batch["mask"] > 0]


def _lines(vocabulary: Any, tokens: Any) -> list[str]:
    return [vocabulary.decode(row) for row in np.asarray(tokens)]


def _write(path: pathlib.Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
