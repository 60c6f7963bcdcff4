"""Lists of videos, as .csv and .jsonl files, through training's data path and packing."""

import functools
import json
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import video_files
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

from pipeline.core.errors import DataError
from pipeline.data.videos.video_data import VideoData

HEAD = "path,label,begin,end\n"
VIDEO = "v.mp4"  # 24 frames at 12 a second


class List(NamedTuple):
    """One list: its classes and the first frame of its only example, or words of its refusal."""

    name: str
    data: bytes
    classes: tuple[str, ...] = ()
    first: int = 0
    words: tuple[str, ...] = ()


def every() -> Iterator[List]:
    """Yield all lists; the same ones each time."""
    for name, text, classes, first in (
        ("plain.csv", f"{HEAD}{VIDEO},cat,,\n", ("cat",), 0),
        ("parts.csv", f"{HEAD}{VIDEO},cat,1,2\n", ("cat",), 12),
        ("zero-label.csv", f"{HEAD}{VIDEO},0,,\n", ("0",), 0),
        ("order.csv", f"begin,path\n0.5,{VIDEO}\n", (), 6),
        ("windows.csv", f"{HEAD}{VIDEO},cat,,\n".replace("\n", "\r\n"), ("cat",), 0),
        ("mark.csv", f"\ufeff{HEAD}{VIDEO},cat,,\n", ("cat",), 0),
        ("quoted.csv", f'{HEAD}"{VIDEO}","a, ""b""",0,2\n', ('a, "b"',), 0),
        ("no-end.CSV", f"{HEAD}{VIDEO},cat,0.5,", ("cat",), 6),
        ("blank.csv", f"{HEAD}\n{VIDEO},cat,,\n\n", ("cat",), 0),
        ("unicode.csv", f"{HEAD}{VIDEO},Kätzchen 猫,,\n", ("Kätzchen 猫",), 0),
    ):
        yield List(name, text.encode(), classes, first)
    for name, row, classes, first in (
        ("plain", dict(path=VIDEO, label="cat"), ("cat",), 0),
        ("parts", dict(path=VIDEO, begin=1, end=2), (), 12),
        ("zero-label", dict(path=VIDEO, label=0), ("0",), 0),
        ("zero-begin", dict(path=VIDEO, begin=0), (), 0),
        ("null", dict(path=VIDEO, label=None, begin=None, end=None), (), 0),
    ):
        yield List(f"{name}.jsonl", f"{json.dumps(row)}\n".encode(), classes, first)
    yield from _refused_tables()
    yield from _refused_objects()


def _refused_tables() -> Iterator[List]:
    good = f"{VIDEO},cat,,\n"
    for name, text, words in (
        ("unclosed.csv", f'{HEAD}{good}"{VIDEO},cat,,\n{good}', ("line 3",)),
        ("extra.csv", f"{HEAD}{good}{VIDEO},cat,0,1,2\n", ("line 3",)),
        ("duplicate.csv", f"path,label,label\n{VIDEO},a,b\n", ("line 1", "label")),
        ("semicolons.csv", f"path;label\n{VIDEO};a\n", ("line 1",)),
        ("tabs.csv", f"path\tlabel\n{VIDEO}\ta\n", ("line 1",)),
        ("unknown.csv", f"path,lable\n{VIDEO},a\n", ("lable", "label")),
        ("no-header.csv", f"{VIDEO},cat,0,1\n", ("line 1",)),
        ("nul.csv", f"{HEAD}{good}v\0.mp4,cat,,\n", ("line 3",)),
        ("words.csv", f"{HEAD}{VIDEO},cat,soon,\n", ("line 2", "begin")),
        ("nan.csv", f"{HEAD}{VIDEO},cat,nan,\n", ("line 2", "begin")),
        ("negative.csv", f"{HEAD}{VIDEO},cat,-1,\n", ("line 2", "begin")),
        ("backwards.csv", f"{HEAD}{VIDEO},cat,2,1\n", ("line 2", "end")),
        ("zero-end.csv", f"{HEAD}{VIDEO},cat,0,0\n", ("line 2", "end")),
        ("no-path.csv", f"{HEAD},cat,,\n", ("line 2", "path")),
        ("empty.csv", "", ()),
        ("head-only.csv", HEAD, ("names no videos",)),
        ("bucket.csv", f"{HEAD}gs://b/v.mp4,cat,,\n", ("line 2", "bucket")),
    ):
        yield List(name, text.encode(), words=(name, *words))
    yield List("utf-16.csv", f"{HEAD}{good}".encode("utf-16"), words=("utf-16.csv",))
    yield List(
        "latin-1.csv", f"{HEAD}{VIDEO},K\xe4tzchen,,\n".encode("latin-1"), words=("latin-1",)
    )
    yield List("video.csv", bytes(range(256)) * 20, words=("video.csv",))


def _refused_objects() -> Iterator[List]:
    for name, row, words in (
        ("zero-end", f'{{"path": "{VIDEO}", "end": 0}}', ("end",)),
        ("boolean-label", f'{{"path": "{VIDEO}", "label": true}}', ("label",)),
        ("list-label", f'{{"path": "{VIDEO}", "label": ["a"]}}', ("label",)),
        ("list-path", f'{{"path": ["{VIDEO}"]}}', ("path",)),
        ("number-path", '{"path": 7}', ("path",)),
        ("boolean-begin", f'{{"path": "{VIDEO}", "begin": true}}', ("begin",)),
        ("list-begin", f'{{"path": "{VIDEO}", "begin": [1]}}', ("begin",)),
        ("nan", f'{{"path": "{VIDEO}", "begin": NaN}}', ("NaN",)),
        ("nul", '{"path": "v\\u0000.mp4"}', ("path",)),
        ("array", f'["{VIDEO}"]', ()),
        ("text", f'"{VIDEO}"', ()),
        ("cut", f'{{"path": "{VIDEO}", ', ()),
        ("unknown", f'{{"path": "{VIDEO}", "start": 1}}', ("start",)),
        ("duplicate", f'{{"path": "{VIDEO}", "path": "w.mp4"}}', ("path",)),
    ):
        text = f'{{"path": "{VIDEO}"}}\n{row}\n'
        yield List(f"{name}.jsonl", text.encode(), words=(f"{name}.jsonl", "line 2", *words))


def attempts(corpus: Corpus) -> Iterator[Attempt]:
    """Yield each list's way through training and packing in turn."""
    for one in every():
        path = corpus.put("lists", one.name, one.data)
        video_files.write_video(path.parent / VIDEO)
        yield Attempt(f"train on {one.name}", functools.partial(_train, one, path))
        yield Attempt(f"pack {one.name}", functools.partial(_pack, corpus, one, path))


def _train(one: List, path: pathlib.Path) -> str:
    def data() -> VideoData:
        options = dict(image_size=32, num_frames=5, eval_fraction=0)
        return VideoData("video_list", str(path), **options)  # type: ignore[arg-type]

    if one.words:
        with refusals_of(DataError, one.words):
            data()
        return REFUSED
    found = data()
    if (found.classes, found.num_examples) != (one.classes, 1):
        raise Wrong(f"{found.num_examples} examples of the classes {found.classes}")
    with found.train(1, seed=0) as batches:
        clip = next(iter(batches))["video"][0]
    numbers = video_files.numbers(clip)
    last = 24 - 5
    if numbers != list(range(numbers[0], numbers[0] + 5)) or not one.first <= numbers[0] <= last:
        raise Wrong(f"the frames are {numbers}")
    return RIGHT


def _pack(corpus: Corpus, one: List, path: pathlib.Path) -> str:
    out = corpus.new("packed")
    report = f"{out}.json"
    answer = command("data", "pack", path, "--out", out, "--clip_seconds", "0", "--json", report)
    if one.words:
        return expect_refusal(answer, DataError.exit_code, *one.words)
    expect_success(answer)
    manifest = json.loads(pathlib.Path(report).read_text())
    if (tuple(manifest["classes"]), manifest["num_examples"]) != (one.classes, 1):
        raise Wrong(f"{manifest['num_examples']} clips of the classes {manifest['classes']}")
    return RIGHT
