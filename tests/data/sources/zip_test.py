"""A zip gives the same examples as the folder from which it was made."""

import pathlib
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.data.sources.folder import Folder
from pipeline.data.sources.zip import Archive
from pipeline.data.unreadable import Unreadable


@pytest.fixture
def folder(tmp_path):
    for i in range(6):
        (tmp_path / f"root/{'ab'[i % 2]}/deeper").mkdir(parents=True, exist_ok=True)
        Image.effect_noise((9, 9), 40).save(tmp_path / f"root/{'ab'[i % 2]}/deeper/{i}.png")
    (tmp_path / "root/.hidden.png").write_bytes(b"")
    return tmp_path / "root"


@pytest.mark.parametrize("base", [None, "root"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_gives_the_files_and_classes_of_its_folder(folder, tmp_path, base, method):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(folder.parent if base else folder))
    source, archive = (
        Folder(str(folder)),
        pickle.loads(pickle.dumps(Archive(str(tmp_path / "x.zip")))),
    )
    assert len(archive) == len(source) == 6 and archive.classes == source.classes == ("a", "b")
    for i in range(6):
        assert archive[i] == source[i]
    assert archive.name(0).endswith("x.zip:a/deeper/0.png")


def test_a_damaged_entry_is_unreadable(folder, tmp_path):
    path = pathlib.Path(shutil.make_archive(str(tmp_path / "x"), "zip", folder))
    archive = Archive(str(path))
    content = bytearray(path.read_bytes())
    offset = int(archive._offsets[2])
    content[offset + 60 : offset + 64] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match="damaged"):
        archive[2]
    assert isinstance(archive[3].data, bytes)


def test_bad_archives_are_reported(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="not a whole zip"):
        Archive(str(tmp_path / "x.zip"))
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match="has no image files"):
        Archive(str(tmp_path / "y.zip"))
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a.png", "hello")
    with pytest.raises(DataError, match="rare compression"):
        Archive(str(tmp_path / "z.zip"))
    with pytest.raises(DataError, match="does not exist"):
        Archive(str(tmp_path / "none.zip"))


def test_a_folder_follows_links_but_not_in_circles(folder, tmp_path):
    (folder / "a/again").symlink_to(folder)
    (tmp_path / "link").symlink_to(folder)
    assert len(Folder(str(tmp_path / "link"))) == 6
    (folder / "top.png").write_bytes(b"x")
    source = Folder(str(folder))
    assert source[len(source) - 1].label == -1 and source.name(len(source) - 1) == str(
        folder / "top.png"
    )
    (folder / "a/deeper/0.png").unlink()
    with pytest.raises(Unreadable, match="No such file"):
        source[0]
    with pytest.raises(DataError, match="is not a folder"):
        Folder(str(folder / "top.png"))
    assert np.all(source.listing.labels[:3] == 0)
