"""One rule for which files of a folder count, for training, packing and the codec commands."""

import os

import pytest
from video_files import pictures, write_frames

from pipeline.codec.media import any_size_files, image_files
from pipeline.core.errors import DataError
from pipeline.data.listing import is_video, walk
from pipeline.data.packing.pack_videos import has_videos, pack_videos
from pipeline.data.sources.videos import VideoFolder


@pytest.fixture
def folder(tmp_path):
    """Three videos, one of them behind a link, among files that do not count."""
    inside = tmp_path / "in"
    film = write_frames(inside / "a.mp4", pictures(2))
    write_frames(tmp_path / "elsewhere/b.MP4", pictures(2))
    (inside / "link").symlink_to(tmp_path / "elsewhere")
    (inside / "link/back").symlink_to(inside)  # a loop
    (inside / "c.mp4").symlink_to(film)
    (inside / "broken.mp4").symlink_to(tmp_path / "nowhere")
    (inside / "folder.mp4").mkdir()
    for name in ("._a.mp4", "__MACOSX/x.mp4", ".h/b.mp4", "notes.txt", ".DS_Store"):
        (inside / name).parent.mkdir(exist_ok=True)
        (inside / name).write_bytes(b"\0\5\x16\7")
    return inside


def test_all_commands_list_the_same_files(folder, tmp_path):
    expected = ["a.mp4", "c.mp4", "link/b.MP4"]
    source = VideoFolder(str(folder))
    found = image_files.find([str(folder)], any_size_files.accepts)
    assert [os.path.relpath(source.name(index), folder) for index in range(3)] == expected
    assert [os.path.relpath(path, folder) for path, _ in found] == expected and len(source) == 3
    assert sorted(name for name, _ in walk(str(folder), is_video)) == expected
    assert has_videos(str(folder))
    assert pack_videos(str(folder), str(tmp_path / "out"))["num_examples"] == 3


def test_a_hidden_file_that_is_named_is_read(folder):
    film = folder / ".film.mp4"
    (folder / "a.mp4").rename(film)
    assert [path for path, _ in image_files.find([str(film)], any_size_files.accepts)] == [film]
    assert any_size_files.target_of(film, folder / "out").suffix == ".mp4"


def test_a_folder_inside_a_hidden_one_can_be_named(folder):
    hidden = folder.parent / ".cache"
    folder.rename(hidden)
    assert len(image_files.find([str(hidden)], any_size_files.accepts)) >= 2
    assert len(VideoFolder(str(hidden))) >= 2


def test_a_folder_that_cannot_be_read_is_named(folder, monkeypatch):
    def scandir(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"in/?: Permission denied"):
        walk(str(folder), is_video)
