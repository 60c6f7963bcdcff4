"""Every file of pipeline/data/sources is a source: it can be opened, read, split and pickled."""

import inspect
import json
import pathlib
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image
from video_files import write_video

from pipeline.core.construct import load, modules_of, summaries
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.modalities import MODALITIES
from pipeline.data import sources
from pipeline.data.loading.splits import open_splits
from pipeline.data.packing.pack import pack
from pipeline.data.packing.pack_videos import pack_videos
from pipeline.data.source import (
    ImageSource,
    Line,
    Record,
    TextSource,
    VectorSource,
    Video,
    VideoSource,
)
from pipeline.storage import transfer

NAMES = modules_of(sources.__name__)
SIZE, LENGTH, FEATURES = 16, 5, 3
# The contract of a source and of an example, by modality.
CONTRACTS = {
    "image": (ImageSource, Record),
    "video": (VideoSource, Video),
    "vector": (VectorSource, Record),
    "text": (TextSource, Line),
}
DOCS = pathlib.Path(__file__).parents[3] / "docs" / "data.md"


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A path to read for each source that reads one, by its name; a new source adds its own."""
    root = tmp_path_factory.mktemp("sources")
    (root / "folder/cat").mkdir(parents=True)
    for number in range(4):
        Image.effect_noise((20, 18), 50).convert("RGB").save(root / f"folder/cat/{number}.png")
    with zipfile.ZipFile(root / "images.zip", "w") as archive:
        for file in sorted((root / "folder/cat").iterdir()):
            archive.write(file, file.name)
    np.save(root / "images.npy", np.zeros((4, SIZE, SIZE, 3), np.uint8))
    np.save(root / "vectors.npy", np.arange(4 * FEATURES).reshape(4, FEATURES))
    (root / "lines.txt").write_text("a line\n\nand another\n")
    for number in range(3):
        write_video(root / f"videos/{number}.mp4", frames=LENGTH)
    lines = [json.dumps({"path": f"videos/{number}.mp4"}) for number in range(3)]
    (root / "list.jsonl").write_text("\n".join(lines))
    pack(str(root / "folder"), str(root / "records"))
    pack_videos(str(root / "videos"), str(root / "clips"))
    return {
        "folder": root / "folder",
        "zip": root / "images.zip",
        "arrays": root / "images.npy",
        "records": root / "records",
        "videos": root / "videos",
        "video_list": root / "list.jsonl",
        "clips": root / "clips",
        "vectors": root / "vectors.npy",
        "lines": root / "lines.txt",
    }


def open_each(name: str, paths: dict[str, pathlib.Path]) -> tuple:
    return open_splits(
        name,
        str(paths[name]) if "path" in sources.arguments_of(name) else "",
        modality=sources.modality_of(name),
        eval_path="",
        eval_fraction=0.5,
        image_size=SIZE,
        length=LENGTH,
        num_features=FEATURES,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_source_says_what_it_is(name):
    module = load(sources.__name__, name, where="data.source")
    assert summaries(sources.__name__)[name].endswith(".")
    assert module.MODALITY in MODALITIES
    arguments = sources.arguments_of(name)
    assert set(arguments) <= set(sources.ARGUMENTS)
    assert ("path" in arguments) == ("key" in arguments)
    assert inspect.getdoc(module.create)


@pytest.mark.parametrize("name", NAMES)
def test_a_source_is_found_by_its_suffixes_and_in_the_docs(name):
    suffixes = getattr(load(sources.__name__, name, where="data.source"), "SUFFIXES", ())
    for suffix in suffixes:
        assert suffix.startswith(".") and suffix == suffix.lower()
        assert sources.by_suffix(sources.modality_of(name))[suffix] == name
    assert f"`{name}`" in DOCS.read_text(), "docs/data.md does not name it"


@pytest.mark.parametrize("name", NAMES)
def test_a_source_gives_examples_of_its_modality(name, paths):
    train, held_out = open_each(name, paths)
    modality = sources.modality_of(name)
    contract, kind = CONTRACTS[modality]
    for source in (train, held_out):
        assert isinstance(source, contract)
        assert len(source) > 0 and isinstance(source.fingerprint, str)
        assert all(isinstance(label, str) for label in source.classes)
        example = source[len(source) - 1]
        assert isinstance(example, kind)
        assert example.label == -1 or 0 <= example.label < max(1, len(source.classes))
        assert source.name(0)
        if modality in ("image", "vector") and source.shape is not None:
            pixels, labels = source.gather(np.arange(2) % len(source))
            assert pixels.shape == (2, *source.shape) and labels.shape == (2,)
            assert pixels.dtype == MODALITIES[modality].dtype
        if modality == "video":
            assert source.size(0) is None or len(source.size(0)) == 2
        again = pickle.loads(pickle.dumps(source))
        assert again.fingerprint == source.fingerprint
        np.testing.assert_equal(again[0], source[0])
    assert train.fingerprint != held_out.fingerprint


@pytest.mark.parametrize("name", [name for name in NAMES if "path" in sources.arguments_of(name)])
def test_a_source_in_a_bucket_is_the_same(name, paths, remote):
    root = paths[name].parent
    for file in root.rglob("*"):
        if file.is_file() and (file.is_relative_to(paths[name]) or name == "video_list"):
            transfer.upload(file, remote / file.relative_to(root))
    there = {name: f"{remote}/{paths[name].name}"}
    train, held_out = open_each(name, there)
    for source, local in zip((train, held_out), open_each(name, paths), strict=True):
        assert source.fingerprint == local.fingerprint and source.classes == local.classes
    example, expected = train[0], open_each(name, paths)[0][0]
    if sources.modality_of(name) == "video" and isinstance(example.data, str):
        read = [pathlib.Path(each.data).read_bytes() for each in (example, expected)]
        assert read[0] == read[1]
    else:
        np.testing.assert_equal(example, expected)
    with pytest.raises(DataError, match=rf"^data\.path.*{remote}/none"):
        open_each(name, {name: f"{remote}/none{paths[name].suffix}"})


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_required_where_one_is_read_and_refused_elsewhere(name, paths):
    modality = sources.modality_of(name)
    reads_path = "path" in sources.arguments_of(name)
    message = r"data\.path is missing" if reads_path else r"takes no data\.path"
    with pytest.raises(ConfigError, match=message):
        sources.open_source(name, "" if reads_path else "/nowhere", modality=modality)
    other = next(each for each in MODALITIES if each != modality)
    found, wanted = (MODALITIES[each].plural for each in (modality, other))
    with pytest.raises(ConfigError, match=f"is a source of {found}, not {wanted}"):
        sources.open_source(name, "", modality=other)


def test_the_modality_of_a_source_is_known_without_grain():
    code = f"""
import sys
from pipeline.data import sources
print([sources.modality_of(name) for name in {NAMES!r}][0], "grain" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["image", "False"], result.stderr
