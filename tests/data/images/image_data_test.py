"""ImageData: batch k is a pure function of (seed, k), and every failure is reported.

Evaluation covers each example once.
"""

import itertools
import pathlib

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import ConfigError, DataError
from pipeline.data.images.image_data import ImageData


def write_images(
    folder: pathlib.Path, count: int, size: tuple[int, int] = (12, 10), classes: int = 2
) -> None:
    """Write PNG files of noise, of unequal sizes, into class folders."""
    rng = np.random.default_rng(count)
    for i in range(count):
        (folder / f"class{i % classes}").mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (size[1] + i % 3, size[0], 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"class{i % classes}" / f"{i:03d}.png")


def take(batches, count: int) -> list[dict[str, np.ndarray]]:
    with batches:
        return list(itertools.islice(batches, count))


def assert_equal(left: list[dict], right: list[dict]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


@pytest.fixture
def folder(tmp_path):
    write_images(tmp_path / "images", 23)
    (tmp_path / "images/class1/notes.txt").write_text("no image")
    return tmp_path / "images"


SETTINGS = {"image_size": 8, "crop": "random", "resize": "none", "flip": True}


def test_batches_do_not_depend_on_workers_processes_or_the_first_step(folder):
    (folder / "class0/000.png").write_bytes(b"damaged")
    straight = ImageData("folder", str(folder), **SETTINGS)
    expected = take(straight.train(6, seed=5), 9)
    assert straight.unreadable and "000.png" in straight.unreadable[0]
    for workers in (2, 3):
        data = ImageData("folder", str(folder), num_workers=workers, **SETTINGS)
        assert_equal(take(data.train(6, seed=5, start_step=2), 7), expected[2:])
        assert data.unreadable == straight.unreadable  # counted in the workers, reported here
    parts = [take(straight.train(6, 5, rows=np.arange(3 * p, 3 * p + 3)), 9) for p in (0, 1)]
    joined = [
        {key: np.concatenate([a[key], b[key]]) for key in a} for a, b in zip(*parts, strict=True)
    ]
    assert_equal(joined, expected)
    # On a torus, the rows of a host need not be contiguous.
    scattered = take(straight.train(6, 5, rows=np.array([0, 1, 4])), 9)
    assert_equal(
        scattered, [{key: values[[0, 1, 4]] for key, values in batch.items()} for batch in expected]
    )


def test_batches_have_the_types_of_the_contract_and_the_right_images(folder):
    data = ImageData("folder", str(folder), eval_fraction=0, image_size=10, resize="none", bits=5)
    assert data.classes == ("class0", "class1") and data.num_examples == 23
    names = sorted(path for path in folder.rglob("*.png"))
    for batch in take(data.train(4, seed=0), 6):
        assert {key: (value.dtype.name, value.shape) for key, value in batch.items()} == {
            "image": ("uint8", (4, 10, 10, 3)),
            "label": ("int32", (4,)),
            "index": ("int32", (4,)),
            "mask": ("float32", (4,)),
        }
        assert batch["mask"].all()
        for image, label, index in zip(batch["image"], batch["label"], batch["index"], strict=True):
            pixels = np.asarray(Image.open(names[index]))
            assert names[index].parent.name == data.classes[label]
            np.testing.assert_array_equal(
                image[:, 0], pixels[(len(pixels) - 10) // 2 :][:10, 1] >> 3 << 3
            )


def test_an_epoch_has_each_training_example_once_and_seeds_differ():
    data = ImageData("digits", image_size=8, channels=1)
    count = data.num_examples
    batches = take(data.train(count, seed=1), 2)
    for batch in batches:
        assert sorted(batch["index"]) == list(range(count))
    other = take(data.train(count, seed=2), 1)[0]
    assert (batches[0]["index"] != other["index"]).any() and (
        batches[0]["index"] != batches[1]["index"]
    ).any()


def test_half_of_the_images_are_flipped_and_each_epoch_chooses_anew(tmp_path):
    lopsided = np.zeros((1, 4, 4, 3), np.uint8)
    lopsided[:, :, 0] = 255
    np.savez(tmp_path / "one.npz", images=np.repeat(lopsided, 500, 0))
    data = ImageData("arrays", str(tmp_path / "one.npz"), image_size=4, flip=True, eval_fraction=0)
    flipped = [batch["image"][:, 0, 3, 0] == 255 for batch in take(data.train(500, 0), 2)]
    assert all(180 < one.sum() < 320 for one in flipped) and (flipped[0] != flipped[1]).any()


@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_covers_each_held_out_example_once(processes):
    data = ImageData("digits", image_size=8, eval_fraction=0.06)
    assert data.num_eval_examples == 108 and data.num_examples == 1797 - 108
    share = 50 // processes
    parts = [
        list(data.evaluate(50, rows=np.arange(p * share, (p + 1) * share)))
        for p in range(processes)
    ]
    assert [len(part) for part in parts] == [3] * processes
    seen = np.concatenate([batch["index"][batch["mask"] == 1] for part in parts for batch in part])
    assert sorted(seen) == list(range(108))
    padding = np.concatenate(
        [batch["image"][batch["mask"] == 0] for part in parts for batch in part]
    )
    assert len(padding) == 150 - 108 and not padding.any()
    limited = list(data.evaluate(50, 60))
    assert sum(batch["mask"].sum() for batch in limited) == 60
    assert_equal(limited[:1], list(data.evaluate(50))[:1])


def test_held_out_examples_are_not_trained_on(tmp_path):
    pixels = np.arange(200, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.arange(200))
    data = ImageData("arrays", str(tmp_path / "a.npz"), image_size=4, eval_fraction=0.1)
    trained = take(data.train(180, 0), 1)[0]
    evaluated = next(data.evaluate(20))
    assert sorted([*trained["label"], *evaluated["label"]]) == list(range(200))
    assert (trained["image"][:, 0, 0, 0] == trained["label"]).all()


def test_photographs_of_scikit_learn_are_split_by_region():
    data = ImageData("sklearn_images", image_size=32, crop="random", flip=False)
    photos = data._training.kinds[0].source.photos  # type: ignore[attr-defined]
    assert photos.shape == (2, 427, 480, 3) and data.num_examples == 2 * (427 - 31) * (480 - 31)
    batch = next(data.train(16, 0))
    for image, label, index in zip(batch["image"], batch["label"], batch["index"], strict=True):
        row, column = divmod(index % (396 * 449), 449)
        np.testing.assert_array_equal(image, photos[label, row : row + 32, column : column + 32])
    tiles = np.concatenate([batch["image"][batch["mask"] == 1] for batch in data.evaluate(64)])
    assert len(tiles) == 130 == len(np.unique(tiles.reshape(130, -1), axis=0))  # no two alike
    with pytest.raises(ConfigError, match="160 pixels wide"):
        ImageData("sklearn_images", image_size=161)


def test_an_unreadable_image_in_evaluation_is_masked_and_counted(folder, tmp_path):
    write_images(tmp_path / "eval", 5)
    (tmp_path / "eval/class0/002.png").write_bytes(b"damaged")
    data = ImageData("folder", str(folder), image_size=8, eval_path=str(tmp_path / "eval"))
    assert data.num_examples == 23
    (batch,) = list(data.evaluate(5))
    assert batch["mask"].sum() == 4 and sorted(batch["index"])[:2] == [-1, 0]
    assert len(data.unreadable) == 1 and "002.png: not an image" in data.unreadable[0]


def test_too_many_unreadable_images_end_the_run_and_are_named(folder):
    for i in range(4, 16, 2):
        (folder / f"class0/{i:03d}.png").write_bytes(b"damaged")
    for workers in (0, 1):
        data = ImageData(
            "folder",
            str(folder),
            eval_fraction=0,
            max_unreadable=3,
            num_workers=workers,
            **SETTINGS,
        )
        with pytest.raises(
            DataError,
            match=r"4 unreadable images, more than data.max_unreadable=3: .*\.png: not an",
        ):
            take(data.train(23, 0), 3)


def test_the_fingerprint_follows_examples_and_settings_that_change_the_stream(folder):
    def fingerprint(**settings):
        return ImageData("folder", str(folder), **{"image_size": 8, **settings}).fingerprint

    first = fingerprint()
    assert first == fingerprint(num_workers=1, max_unreadable=3)
    changes = [
        {"image_size": 9},
        {"flip": True},
        {"bits": 5},
        {"crop": "random"},
        {"eval_fraction": 0.2},
    ]
    assert len({first, *(fingerprint(**change) for change in changes)}) == 1 + len(changes)
    (folder / "class0/000.png").rename(folder / "class0/0000.png")
    renamed = fingerprint()
    (folder / "class0/0000.png").unlink()
    assert len({first, renamed, fingerprint()}) == 3


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"source": "foldr"}, ConfigError, "did you mean 'folder'"),
        ({"path": ""}, ConfigError, "data.path is missing"),
        ({"path": "/nowhere/at/all"}, DataError, "'/nowhere/at/all' does not exist"),
        ({"source": "digits"}, ConfigError, "takes no data.path"),
        ({"image_size": 64}, DataError, "12x10 pixels are too few for image_size=64"),
        ({"num_workers": -1}, ConfigError, "data.num_workers=-1"),
        ({"max_unreadable": -1}, ConfigError, "data.max_unreadable=-1"),
        ({"eval_fraction": 1.0}, ConfigError, "data.eval_fraction=1.0"),
    ],
)
def test_settings_that_cannot_work_fail_at_once(folder, settings, error, message):
    with pytest.raises(error, match=message):
        ImageData(**{"source": "folder", "path": str(folder), "image_size": 8, **settings})


def test_empty_unreadable_and_tiny_datasets_fail(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty has no image files"):
        ImageData("folder", str(tmp_path / "empty"), image_size=8)
    (tmp_path / "empty/a.jpg").write_bytes(b"x")
    with pytest.raises(
        DataError, match=r"none of the 1 images can be used; .*a\.jpg: not an image"
    ):
        ImageData("folder", str(tmp_path / "empty"), image_size=8, eval_fraction=0)
    with pytest.raises(DataError, match="1 example: too few to hold some out"):
        ImageData("folder", str(tmp_path / "empty"), image_size=8)
    data = ImageData("folder", str(folder), image_size=8, eval_fraction=0)
    with pytest.raises(DataError, match="23 training examples, fewer than batch_size=24"):
        data.train(24, 0)
    with pytest.raises(ConfigError, match=r"nothing to evaluate on: set data\.eval_path"):
        data.evaluate(4)


def test_binarized_pixels_are_new_in_each_epoch_and_fixed_in_evaluation():
    data = ImageData("digits", image_size=8, channels=1, binarize=True)
    straight = take(data.train(400, seed=0), 10)
    assert_equal(take(data.train(400, seed=0, start_step=4), 6), straight[4:])
    shown = [batch["image"][batch["index"] == 7] for batch in straight]
    first, second = np.concatenate(shown)[:2]
    assert (first != second).any()
    # In evaluation the result does not depend on the batch size.
    small, large = (take(data.evaluate(size), 1)[0] for size in (16, 48))
    np.testing.assert_array_equal(small["image"], large["image"][:16])
    assert data.fingerprint != ImageData("digits", image_size=8, channels=1).fingerprint
