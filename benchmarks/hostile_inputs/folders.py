"""Folders with files that do not count: all readers must take the same ones."""

import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from hostile_inputs import image_files, video_clips
from hostile_inputs.attempts import RIGHT, Attempt, Wrong, command, expect_success
from hostile_inputs.corpus import Corpus
from PIL import Image

from pipeline.data.images.image_data import ImageData
from pipeline.data.videos.video_data import VideoData

NOT_COUNTED = (
    "._a{suffix}",
    ".hidden{suffix}",
    ".folder/b{suffix}",
    "__MACOSX/c{suffix}",
    "sub/__MACOSX/d{suffix}",
    "a{suffix}.partial",
    "notes.txt",
    "Thumbs.db",
    "README",
    "suffix-only/{suffix}",
)


class Folder(NamedTuple):
    """A kind of folder: the suffix of its files, and one file's content."""

    kind: str
    suffix: str
    content: bytes


def attempts(corpus: Corpus) -> Iterator[Attempt]:
    """Yield the count of files that training, packing and a codec command take from a folder."""
    video = corpus.new("folders") / "v.mp4"
    video.parent.mkdir(parents=True)
    clip = video_clips.write(video).read_bytes()
    image = image_files.encoded(Image.fromarray(image_files.picture()), "png")
    for folder in (Folder("images", ".png", image), Folder("videos", ".mp4", clip)):
        root, expected = _filled(corpus, folder)
        for use in (_train, _pack, _reconstruct):
            name = f"{use.__name__.removeprefix('_')} a folder of {folder.kind}"
            yield Attempt(name, functools.partial(use, corpus, folder, root, expected))


def _filled(corpus: Corpus, folder: Folder) -> tuple[pathlib.Path, int]:
    """Return a folder, and the number of files in it that count."""
    root, elsewhere = corpus.new("folders"), corpus.new("folders")
    suffix = folder.suffix
    counted = [f"a{suffix}", f"B{suffix.upper()}", f"sub/deep/c{suffix}", f"with space/d{suffix}"]
    for name in (*counted, *(name.format(suffix=suffix) for name in NOT_COUNTED)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(folder.content)
        corpus.num_files += 1
    elsewhere.mkdir(parents=True)
    (elsewhere / f"e{suffix}").write_bytes(folder.content)
    (root / "linked").symlink_to(elsewhere)
    (root / "loop").symlink_to(root)
    (root / f"link{suffix}").symlink_to(elsewhere / f"e{suffix}")
    (root / f"broken{suffix}").symlink_to(root / "nowhere")
    (root / f"folder{suffix}").mkdir()
    return root, len(counted) + 2


def _train(corpus: Corpus, folder: Folder, root: pathlib.Path, expected: int) -> str:
    options: Any = dict(eval_fraction=0)
    if folder.kind == "images":
        data: Any = ImageData("folder", str(root), image_size=16, **options)
    else:
        data = VideoData("videos", str(root), image_size=32, num_frames=5, **options)
    return _checked(data.num_examples, expected)


def _pack(corpus: Corpus, folder: Folder, root: pathlib.Path, expected: int) -> str:
    out = corpus.new("packed")
    report = f"{out}.json"
    whole = ("--clip_seconds", "0") if folder.kind == "videos" else ()
    expect_success(command("data", "pack", root, "--out", out, *whole, "--json", report))
    return _checked(json.loads(pathlib.Path(report).read_text())["num_examples"], expected)


def _reconstruct(corpus: Corpus, folder: Folder, root: pathlib.Path, expected: int) -> str:
    out = corpus.new("reconstructed")
    report = f"{out}.json"
    codec = corpus.video_codec if folder.kind == "videos" else corpus.image_codec
    where = ("--codec", codec, "--out", out, "--json", report)
    parts = ("--tile", "32", "--chunk", "4") if folder.kind == "videos" else ()
    expect_success(command("reconstruct", root, *where, *parts))
    return _checked(len(json.loads(pathlib.Path(report).read_text())["files"]), expected)


def _checked(count: int, expected: int) -> str:
    if count != expected:
        raise Wrong(f"{count} files count, not {expected}")
    return RIGHT
