"""Codec folders and files of latents that are damaged or of another kind."""

import functools
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import safetensors.numpy
from hostile_inputs import image_files
from hostile_inputs.attempts import RIGHT, Attempt, Wrong, command, expect_success
from hostile_inputs.corpus import Corpus
from hostile_inputs.damage import (
    BROKEN,
    DAMAGED,
    Change,
    changed_json,
    changed_tensors,
    damage,
    refused,
    with_header,
)
from PIL import Image

from pipeline import Codec
from pipeline.core.errors import DataError

CONFIGS: dict[str, Change] = BROKEN | {
    "a list": lambda data: b"[]",
    "null": lambda data: b"null",
    "another format": changed_json(format="other"),
    "a newer version": changed_json(format_version=99),
    "no model": changed_json(model=None),
    "a name of another package": changed_json(model={"name": "vae.find"}),
    "a depth without end": changed_json(model={"name": "vae.VAE", "hidden": [10**12]}),
    "a part without end": changed_json(model={"name": "vae.VAE", "hidden": [8] * 10**5}),
    "a model that is a list": changed_json(model=[1]),
    "an unknown model": changed_json(model={"name": "vae.VEA"}),
    "no dtype": changed_json(dtype=None),
    "an unknown dtype": changed_json(dtype="float7"),
    "another sum": changed_json(weights_sha256="0" * 64),
}
WEIGHTS: dict[str, Change] = BROKEN | {
    "a huge header": with_header(1 << 60),
    "an empty header": with_header(0),
    "one tensor fewer": changed_tensors(lambda tensors: tensors.popitem()),
    "one tensor more": changed_tensors(
        lambda tensors: tensors.update(more=np.zeros(3, np.float32))
    ),
    "another shape": changed_tensors(
        lambda tensors: tensors.update({min(tensors): np.zeros((1, 2, 3), np.float32)})
    ),
    "another type": changed_tensors(
        lambda tensors: tensors.update({min(tensors): tensors[min(tensors)].astype(np.float16)})
    ),
    "another value": changed_tensors(
        lambda tensors: tensors.update({min(tensors): tensors[min(tensors)] + 1})
    ),
}


def attempts(corpus: Corpus) -> Iterator[Attempt]:
    """Yield the inspection of each codec, and the decoding of each file of latents."""
    yield from _codecs(corpus)
    yield from _latents(corpus)


def _codecs(corpus: Corpus) -> Iterator[Attempt]:
    image = corpus.new("codecs") / "x.png"
    image.parent.mkdir(parents=True)
    Image.fromarray(image_files.picture()).save(image)
    for name, changes in (("config.json", CONFIGS), ("model.safetensors", WEIGHTS)):
        for what, change in changes.items():
            folder = corpus.later("codecs", "codec", functools.partial(_copy, corpus, name, change))
            run = functools.partial(_uses, corpus, folder, image)
            yield Attempt(f"codec with {name}: {what}", run)


def _copy(corpus: Corpus, name: str, change: Change, folder: pathlib.Path) -> None:
    shutil.copytree(corpus.image_codec, folder)
    damage(folder / name, change)


def _uses(corpus: Corpus, written: Callable[[], pathlib.Path], image: pathlib.Path) -> str:
    folder = written()
    out = corpus.new("reconstructed")
    return refused(("reconstruct", "--codec", folder, image, "--out", out), DAMAGED, str(folder))


def _latents(corpus: Corpus) -> Iterator[Attempt]:
    codec = Codec.from_pretrained(corpus.image_codec)
    squares = [np.ones((1, *shape), np.float32) for shape in codec.latent_shapes]
    tensors = {f"layer_{index:03}": array for index, array in enumerate(squares)}
    about = {
        "format": "strata-latents",
        "format_version": "1",
        "codec": codec.fingerprint,
        "how": "whole",
        "height": "8",
        "width": "8",
        "tile": "8",
    }

    def stored(changed: dict[str, Any], **metadata: str) -> bytes:
        return safetensors.numpy.save(tensors | changed, about | metadata)

    first, whole = tensors["layer_000"], stored({})
    files = {
        "NaN": stored({"layer_000": first * np.nan}),
        "infinite": stored({"layer_000": first * np.inf}),
        "integers": stored({"layer_000": first.astype(np.int32)}),
        "bytes": stored({"layer_000": first.astype(np.uint8)}),
        "too many": stored({"layer_000": np.concatenate([first, first])}),
        "a tensor more": stored({"layer_900": first}),
        "another codec": stored({}, codec="0" * 64),
        "another format": stored({}, format="latents"),
        "a newer version": stored({}, format_version="9"),
        "no size": stored({}, height="tall"),
        "a negative size": stored({}, height="-8"),
        "zero": stored({}, height="0"),
        "a zero tile": stored({}, tile="0"),
        "a huge size": stored({}, height="99999999999"),
        "other tensors": safetensors.numpy.save({"x": first}),
    }
    files |= {name: change(whole) for name, change in BROKEN.items()}
    for name, data in files.items():
        path = corpus.put("latents", "z.safetensors", data)
        where = ("--codec", corpus.image_codec, "--out", corpus.new("decoded"))
        run = functools.partial(refused, ("decode", path, *where), DataError.exit_code, str(path))
        yield Attempt(f"latents: {name}", run)
    path = corpus.put("latents", "z.safetensors", whole)
    out = corpus.new("decoded")
    yield Attempt("latents: whole", functools.partial(_decoded, corpus.image_codec, path, out))


def _decoded(codec: pathlib.Path, path: pathlib.Path, out: pathlib.Path) -> str:
    expect_success(command("decode", path, "--codec", codec, "--out", out))
    if [file.name for file in out.glob("*.png")] != ["z.png"]:
        raise Wrong(f"the output is {list(out.iterdir())}")
    return RIGHT
