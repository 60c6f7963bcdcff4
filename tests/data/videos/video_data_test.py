"""VideoData: batch k and its shape are pure functions of (seed, k); unusable videos are named."""

import csv
import itertools
import json

import numpy as np
import pytest
import video_files
from ml_collections import ConfigDict
from PIL import Image
from video_files import numbers, write_sound, write_video

from pipeline import build
from pipeline.core.errors import ConfigError, DataError
from pipeline.data import scikit_learn
from pipeline.data.images.image_data import ImageData
from pipeline.data.loading.example_files import write_examples
from pipeline.data.media.video_file import VideoFile
from pipeline.data.sources import moving_photographs
from pipeline.data.sources.moving_crops import SPEED
from pipeline.data.videos.buckets import shapes_of
from pipeline.data.videos.video_data import VideoData


def take(batches, count: int) -> list[dict[str, np.ndarray]]:
    with batches:
        return list(itertools.islice(batches, count))


def assert_equal(left: list[dict], right: list[dict]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Wide, tall and square videos in two classes."""
    folder = tmp_path_factory.mktemp("videos")
    sizes = [(32, 48), (48, 32), (40, 40), (32, 56)]
    for number in range(8):
        suffix = (".mp4", ".mkv")[number % 2]
        write_video(
            folder / f"{'cat' if number % 3 else 'dog'}/deep/{number}{suffix}",
            size=sizes[number % 4],
        )
    (folder / "cat/notes.txt").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(5):
        Image.effect_noise((50 + number, 60), 50).convert("RGB").save(folder / f"{number}.png")
    return folder


SETTINGS = {
    "image_size": 16,
    "num_frames": 5,
    "fps": 6,
    "crop": "random",
    "flip": True,
    "eval_fraction": 0,
}
BUCKETS = {"buckets": [[16, 24], [24, 16], [16, 16]], "image_fraction": 0.25}


@pytest.mark.parametrize("settings", [pytest.param({}, marks=pytest.mark.slow), BUCKETS])
def test_batches_do_not_depend_on_workers_processes_or_the_first_step(videos, tmp_path, settings):
    for path in videos.rglob("*.m*"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "damaged.mp4").write_bytes((videos / "dog/deep/0.mp4").read_bytes()[:1000])
    settings = SETTINGS | settings
    straight = VideoData("videos", str(tmp_path), **settings)
    expected = take(straight.train(4, seed=5), 7)
    assert straight.unreadable and "damaged.mp4: no" in straight.unreadable[0]
    data = VideoData("videos", str(tmp_path), num_workers=2, **settings)
    assert_equal(take(data.train(4, seed=5, start_step=2), 5), expected[2:])
    parts = [take(straight.train(4, 5, rows=np.arange(2 * p, 2 * p + 2)), 7) for p in (0, 1)]
    joined = [
        {key: np.concatenate([a[key], b[key]]) for key in a} for a, b in zip(*parts, strict=True)
    ]
    assert_equal(joined, expected)
    assert len({batch["video"].shape for batch in expected}) == (1 if settings == SETTINGS else 5)


def test_batches_have_the_types_of_the_contract_and_the_right_frames(videos):
    data = VideoData(
        "videos",
        str(videos),
        image_size=16,
        num_frames=9,
        stride=2,
        eval_fraction=0,
        clips_per_video=3,
    )
    assert (
        data.classes == ("cat", "dog") and data.num_examples == 24 and data.num_eval_examples == 0
    )
    assert data.transform.shape == (16, 16, 3)
    seen = set()
    for batch in take(data.train(8, seed=0), 3):
        assert {key: (value.dtype.name, value.shape) for key, value in batch.items()} == {
            "video": ("uint8", (8, 9, 16, 16, 3)),
            "label": ("int32", (8,)),
            "index": ("int32", (8,)),
            "mask": ("float32", (8,)),
        }
        for clip, label, index in zip(batch["video"], batch["label"], batch["index"], strict=True):
            found = numbers(clip)
            assert found == list(range(found[0], found[0] + 18, 2)) and 0 <= found[0] < 8
            assert sorted(videos.rglob("*.m*"))[index // 3].parts[-3] == data.classes[label]
            seen.add((int(index), found[0]))
    assert len({index for index, _ in seen}) == 24 and len({first for _, first in seen}) > 4


def test_evaluation_shows_each_clip_once_from_the_centre(videos, tmp_path):
    settings = SETTINGS | {
        "clips_per_video": 2,
        "eval_path": str(videos),
        "buckets": [[16, 24], [24, 16]],
    }
    data = VideoData("videos", str(videos), **settings)
    assert data.num_eval_examples == 16
    for processes in (1, 2):
        share = 4 // processes
        parts = [
            list(data.evaluate(4, rows=np.arange(p * share, (p + 1) * share)))
            for p in range(processes)
        ]
        assert len({len(part) for part in parts}) == 1
        seen = np.concatenate(
            [batch["index"][batch["mask"] == 1] for part in parts for batch in part]
        )
        assert sorted(seen) == list(range(16))
    assert {batch["video"].shape[2:4] for part in parts for batch in part} == {(16, 24), (24, 16)}
    clips = {
        int(i): numbers(c)
        for b in parts[0] + parts[1]
        for i, c in zip(b["index"], b["video"])
        if i >= 0
    }
    # The two clips of a video start at a quarter and three quarters of where a clip can start.
    assert clips[0] == [3, 5, 7, 9, 11] or clips[0] == [4, 6, 8, 10, 12]
    assert clips[1][0] > clips[0][0] + 5
    limited = list(data.evaluate(4, 6))
    assert sum(batch["mask"].sum() for batch in limited) == 6


def test_random_crops_lie_anywhere_in_the_frame_and_stay_in_place_during_a_clip(
    tmp_path, monkeypatch
):
    height, width, side = 32, 48, 16

    def places(number, height, width):
        """Return pixels whose values encode their positions."""
        rows, columns = np.mgrid[:height, :width]
        return np.stack([rows, columns, np.full_like(rows, number)], axis=-1).astype(np.uint8)

    monkeypatch.setattr(video_files, "picture", places)
    write_video(tmp_path / "in.mkv", size=(height, width), codec="ffv1", pixel_format="bgr0")
    settings = {"crop": "random", "resize": "none", "eval_fraction": 0, "clips_per_video": 64}
    data = VideoData("videos", str(tmp_path), image_size=side, num_frames=5, **settings)
    clips = np.concatenate([batch["video"] for batch in take(data.train(16, seed=0), 4)])
    corners = clips[:, 0, 0, 0].astype(int)
    for clip, (top, left, start) in zip(clips, corners):
        expected = [
            places(start + n, height, width)[top : top + side, left : left + side] for n in range(5)
        ]
        np.testing.assert_array_equal(clip, expected)
    # Up to every edge, or nearly, and seldom twice in one place.
    for axis, room in ((0, height - side), (1, width - side)):
        assert corners[:, axis].min() <= 2 and corners[:, axis].max() >= room - 2
    assert len({(top, left) for top, left, _ in corners.tolist()}) > 48


def test_held_out_videos_are_not_trained_on(videos):
    data = VideoData(
        "videos", str(videos), image_size=8, num_frames=1, eval_fraction=0.25, clips_per_video=4
    )
    assert data.num_examples == 24 and data.num_eval_examples == 8
    part, rest = data._training.kinds[0].source, data._held_out[0].source
    assert len({part.name(i) for i in range(6)} | {rest.name(i) for i in range(2)}) == 8


def test_images_are_mixed_in_by_their_share(videos, pictures):
    for source in ({}, {"image_source": "folder", "image_path": str(pictures)}):
        data = VideoData("videos", str(videos), **SETTINGS, image_fraction=0.5, **source)
        frames = [data._training.turn(0, step)[0].shape[0] for step in range(240)]
        assert frames.count(1) == 120 and frames.count(5) == 120
        stills = [batch for batch in take(data.train(4, 0), 8) if batch["video"].shape[1] == 1]
        assert stills and stills[0]["video"].shape == (4, 1, 16, 16, 3)
        assert data.num_examples == 8
        if source:
            assert all(
                batch["index"].min() >= 8 and (batch["label"] == -1).all() for batch in stills
            )


def test_each_video_is_in_the_bucket_nearest_its_shape(videos):
    data = VideoData("videos", str(videos), **SETTINGS, buckets=[[16, 24], [24, 16], [16, 16]])
    found = {
        kind.shape[1:3]: sorted(kind.name(i)[-5] for i in range(len(kind)))
        for kind in data._training.kinds
    }
    assert found == {(16, 24): ["0", "3", "4", "7"], (24, 16): ["1", "5"], (16, 16): ["2", "6"]}


def test_a_csv_and_a_jsonl_name_the_same_videos(videos, tmp_path):
    rows = [
        {"path": str(videos / "dog/deep/0.mp4"), "label": "dog", "begin": 0.5, "end": 1.5},
        {"path": "near.mp4", "label": "cat"},
        {"path": "gone.mp4"},
    ]
    write_video(tmp_path / "near.mp4")
    with open(tmp_path / "list.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "begin", "end"])
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    settings = SETTINGS | {"fps": 0, "flip": False}
    pair = [
        VideoData("video_list", str(tmp_path / name), **settings)
        for name in ("list.csv", "list.jsonl")
    ]
    assert pair[0].fingerprint == pair[1].fingerprint and pair[0].classes == ("cat", "dog")
    left, right = (take(data.train(3, 0), 4) for data in pair)
    assert_equal(left, right)
    assert all(
        "gone.mp4: not a video that can be opened: No such file" in data.unreadable[0]
        for data in pair
    )
    for batch in left:
        for clip, index, label in zip(batch["video"], batch["index"], batch["label"]):
            assert label == 1 - index
            if index == 0:
                assert min(numbers(clip)) >= 6 and max(numbers(clip)) < 18
    assert pair[0]._training.kinds[0].name(0).endswith("0.mp4 from 0.5 to 1.5 s")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "path,lable\na.mp4,x\n",
            "line 1 names the columns, and 'lable' is not known: did you mean 'label'",
        ),
        ("label\nx\n", "line 2 has no 'path'"),
        ("path,begin,end\na.mp4,3,2\n", "line 2: begin=3 must be at least 0 and before end=2"),
        ("path,begin\na.mp4,soon\n", "line 2: begin='soon' must be a number of seconds"),
        ("path\n", "names no videos"),
    ],
)
def test_wrong_lists_are_reported(tmp_path, content, message):
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        VideoData("video_list", str(tmp_path / "list.csv"), **SETTINGS)


def test_unusable_files_are_named_and_counted(videos, tmp_path):
    for path in videos.rglob("*.mp4"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "zero.mp4").write_bytes(b"")
    write_sound(tmp_path / "sound.mp4")
    write_video(tmp_path / "short.mp4", frames=2)
    data = VideoData("videos", str(tmp_path), **SETTINGS)
    take(data.train(7, 0), 2)
    shown = " | ".join(sorted(data.unreadable))
    assert (
        "zero.mp4: not a video" in shown and "sound.mp4: it has no video in it, only sound" in shown
    )
    assert "short.mp4: 1 frames at 6 fps; a clip needs 5" in shown
    with pytest.raises(
        DataError, match=r"3 unreadable videos, more than data.max_unreadable=2: .*\.mp4: "
    ):
        take(VideoData("videos", str(tmp_path), **SETTINGS, max_unreadable=2).train(7, 0), 2)
    patient = VideoData("videos", str(tmp_path), **SETTINGS, short="repeat")
    take(patient.train(7, 0), 2)
    assert len(patient.unreadable) == 2


def test_moving_crops_are_parts_of_the_photographs_that_move():
    settings = {"image_size": 24, "num_frames": 9, "crop": "random"}
    data = VideoData("moving_crops", **settings, num_workers=0)
    assert (
        data.num_examples == 20_000
        and data.num_eval_examples == 64
        and data.classes == ("china", "flower")
    )
    batch = take(data.train(6, 0), 1)[0]
    photos = data._training.kinds[0].source.photos
    speeds = set()
    for clip, index, label in zip(batch["video"], batch["index"], batch["label"]):
        source = data._training.kinds[0].source
        rows, columns = (
            source._places(int(index), axis, photos.shape[axis + 1]) for axis in (0, 1)
        )
        for frame, row, column in zip(clip, rows, columns):
            np.testing.assert_array_equal(
                frame, photos[label, row : row + 24, column : column + 24]
            )
        assert len(set(np.diff(rows))) == 1
        speeds.add((int(rows[1] - rows[0]), int(columns[1] - columns[0])))
    assert len(speeds) > 3 and max(abs(s) for pair in speeds for s in pair) <= SPEED
    again = VideoData("moving_crops", **settings)
    assert_equal(take(again.train(6, 0), 1), [batch])
    assert sum(b["mask"].sum() for b in data.evaluate(16)) == 64
    VideoData(
        "moving_crops", image_size=160, num_frames=17
    )  # no room to move sideways in evaluation
    with pytest.raises(ConfigError, match="160"):
        VideoData("moving_crops", image_size=161, num_frames=5)


def test_a_whole_photograph_is_held_out_of_clips_too():
    china, flower = scikit_learn.photographs()
    kinds = (("train", china, 0, moving_photographs.ORDERS), ("eval", flower, 1, [[0, 1, 2]]))
    for split, photo, label, orders in kinds:
        source = moving_photographs.create(24, 5, split)
        for index, order in enumerate(orders):
            video = source[index]
            top, left = (source._places(index, axis, photo.shape[axis])[0] for axis in (0, 1))
            window = photo[top : top + 24, left : left + 24, order]
            np.testing.assert_array_equal(video.data[0], window)
            assert video.label == label


def test_examples_are_written_without_loss(tmp_path):
    data = VideoData("moving_crops", image_size=18, num_frames=5)
    (path,) = write_examples(data, str(tmp_path), split="eval", num=1)
    with VideoFile(path) as file:
        written = np.stack([frame.pixels(18, 18) for frame in file.frames_from(0)])
    np.testing.assert_array_equal(written, next(data.evaluate(1, 1))["video"][0])


def test_the_fingerprint_follows_examples_and_settings_that_change_the_stream(videos, pictures):
    def fingerprint(**settings):
        return VideoData("videos", str(videos), **{**SETTINGS, **settings}).fingerprint

    first = fingerprint()
    assert first == fingerprint(num_workers=1, max_unreadable=3)
    changes = [
        {"image_size": 17},
        {"num_frames": 1},
        {"fps": 5},
        {"stride": 2},
        {"short": "repeat"},
        {"flip": False},
    ]
    changes += [
        {"clips_per_video": 2},
        {"buckets": [[16, 16]]},
        {"eval_fraction": 0.2},
        {"image_fraction": 0.5},
    ]
    changes += [{"image_fraction": 0.5, "image_source": "folder", "image_path": str(pictures)}]
    assert len({first, *(fingerprint(**change) for change in changes)}) >= len(changes)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"source": "vidoes"}, ConfigError, "did you mean 'videos'"),
        ({"path": ""}, ConfigError, "data.path is missing"),
        (
            {"path": "/nowhere"},
            DataError,
            "'/nowhere' does not exist: point it at a folder of videos",
        ),
        ({"source": "moving_crops", "fps": 0}, ConfigError, "takes no data.path"),
        ({"num_frames": 0}, ConfigError, "must be at least 1"),
        ({"image_size": 64}, DataError, "48x32 pixels are too few for 64x64.*resize='fit'"),
        ({"buckets": [[16]]}, ConfigError, r"data.buckets: \[16\] must be a height and a width"),
        ({"fps": float("inf")}, ConfigError, "data.fps=inf must be a number"),
        ({"eval_path": "/nowhere"}, DataError, "data.eval_path='/nowhere' does not exist"),
        (
            {"image_fraction": 0.5, "image_source": "folder"},
            ConfigError,
            "data.image_path is missing: data.image_s",
        ),
        (
            {"image_fraction": 0.5, "image_source": "folder", "image_path": "/nowhere"},
            DataError,
            "data.image_path='/nowhere' does not exist",
        ),
        ({"image_fraction": 1}, ConfigError, "data.image_fraction=1"),
        ({"image_source": "folder"}, ConfigError, "do nothing without data.image_fraction"),
        ({"image_fraction": 0.5, "image_source": "foldr"}, ConfigError, "did you mean 'folder'"),
        ({"clips_per_video": 0}, ConfigError, "data.clips_per_video=0"),
    ],
)
def test_settings_that_cannot_work_fail_at_once(videos, settings, error, message):
    with pytest.raises(error, match=message):
        VideoData(
            **{"source": "videos", "path": str(videos), **SETTINGS, "max_unreadable": 3, **settings}
        )


def test_the_source_selects_the_class_of_data():
    video = {"source": "moving_crops", "image_size": 16, "num_frames": 5}
    assert isinstance(build.dataset({"data": video}), VideoData)
    assert isinstance(build.dataset({"data": {"source": "digits", "image_size": 8}}), ImageData)
    assert build.defaults(ConfigDict({"data": video}), "data")["clips_per_video"] == 1
    with pytest.raises(
        ConfigError,
        match=r"data\.num_frame is not a setting of VideoData.*did you mean 'num_frames'",
    ):
        build.dataset({"data": {**video, "num_frame": 5}})
    with pytest.raises(ConfigError, match=r"data\.fps='30' must be float or int"):
        build.dataset({"data": {**video, "fps": "30"}})
    for buckets, message in (
        (16, "buckets=16 must be a list of heights and widths"),
        ([16, 32], "16 must be a height and"),
    ):
        with pytest.raises(ConfigError, match=message):
            shapes_of(buckets)
    with pytest.raises(ConfigError, match="did you mean 'moving_crops'"):
        build.dataset({"data": {"source": "moving_crop", "image_size": 8}})
