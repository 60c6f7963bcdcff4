"""Images through training's data path, packing, and the codec commands."""

import functools
import json
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
from hostile_inputs import image_files
from hostile_inputs.attempts import (
    REFUSED,
    RIGHT,
    Attempt,
    Wrong,
    command,
    expect_refusal,
    expect_success,
    refusals_of,
)
from hostile_inputs.corpus import Corpus
from hostile_inputs.image_files import SIZE, ImageFile
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.data.images.decode import decode
from pipeline.data.images.image_data import ImageData
from pipeline.data.sources import open_source

Path = Callable[[], pathlib.Path]


def attempts(corpus: Corpus) -> Iterator[Attempt]:
    """Yield each file's way through training, packing and reconstruction in turn."""
    for file in image_files.every():
        path = corpus.later("images", file.name, functools.partial(_write, file))
        for use in (_train, _pack, _reconstruct):
            name = f"{use.__name__.removeprefix('_')} {file.name}"
            yield Attempt(name, functools.partial(use, corpus, file, path))


def _write(file: ImageFile, path: pathlib.Path) -> None:
    path.write_bytes(file.data)


def compared(file: ImageFile, pixels: np.ndarray) -> str:
    """Check pixels against those that a file must give."""
    if file.pixels is None:
        raise Wrong("it was read, and should be refused")
    if pixels.shape != file.pixels.shape:
        raise Wrong(f"the shape is {pixels.shape}, not {file.pixels.shape}")
    difference = int(np.abs(pixels.astype(np.int16) - file.pixels).max())
    if difference > file.within:
        raise Wrong(f"pixels differ by {difference}, more than {file.within}")
    return RIGHT


def _train(corpus: Corpus, file: ImageFile, written: Path) -> str:
    path = written()

    def first() -> np.ndarray:
        data = ImageData(
            "folder", str(path.parent), image_size=SIZE, resize="none", eval_fraction=0
        )
        with data.train(1, seed=0) as batches:
            return next(iter(batches))["image"][0]

    if file.pixels is None:
        with refusals_of(DataError, [file.name, file.words]):
            first()
        return REFUSED
    return compared(file, first())


def _pack(corpus: Corpus, file: ImageFile, written: Path) -> str:
    path, out = written(), corpus.new("packed")
    raw = ["--raw"] if sum(file.name.encode()) % 2 else []
    answer = command("data", "pack", path.parent, "--kind", "images", "--out", out, *raw)
    if file.pixels is None:
        return expect_refusal(answer, DataError.exit_code, file.name, file.words)
    expect_success(answer)
    data = open_source("records", str(out), modality="image")[0].data
    return compared(file, data if raw else decode(data, 3))


def _reconstruct(corpus: Corpus, file: ImageFile, written: Path) -> str:
    path = written()
    out, report = corpus.new("reconstructed"), path.parent / "report.json"
    where = ("--codec", corpus.image_codec, "--out", out, "--json", report)
    answer = command("reconstruct", path, *where, "--side_by_side")
    if file.pixels is None:
        return expect_refusal(answer, DataError.exit_code, file.name, file.words)
    expect_success(answer)
    (result,) = json.loads(report.read_text())["files"]
    shown = np.asarray(Image.open(result["out"]))
    if shown.shape != (SIZE, 2 * SIZE, 3):
        raise Wrong(f"the result's shape is {shown.shape}")
    return compared(file, shown[:, :SIZE])
