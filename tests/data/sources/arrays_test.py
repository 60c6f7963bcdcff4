"""Arrays in .npz, .npy and folders, and errors for unusable files."""

import pickle

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.data.sources.arrays import ArrayFile
from pipeline.data.sources.digits import Digits

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)


def test_npz_npy_and_folder_give_the_same(tmp_path):
    labels = np.arange(7) * 2
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=labels)
    np.savez_compressed(tmp_path / "c.npz", images=IMAGES[..., None], labels=labels)
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "labels.npy", labels)
    sources = [ArrayFile(str(tmp_path / name)) for name in ("a.npz", "c.npz", "", "images.npy")]
    for source in sources:
        source = pickle.loads(pickle.dumps(source))
        assert len(source) == 7 and source.shape == (5, 4, 1)
        np.testing.assert_array_equal(source.gather(np.array([3, 1]))[0][..., 0], IMAGES[[3, 1]])
    assert [source[4].label for source in sources] == [8, 8, 8, -1]
    assert (
        len({source.fingerprint for source in sources[:3]})
        == 1
        != len({s.fingerprint for s in sources})
    )
    assert isinstance(sources[3].images, np.memmap)
    assert len(pickle.dumps(sources[0])) < 1000
    changed = IMAGES.copy()
    changed[6, 4, 3] ^= 1
    np.save(tmp_path / "images.npy", changed)
    assert ArrayFile(str(tmp_path / "images.npy")).fingerprint != sources[3].fingerprint


def test_the_file_of_dsprites_has_images_of_0_and_1(tmp_path):
    np.savez(tmp_path / "a.npz", imgs=IMAGES % 2, latents_classes=np.zeros((7, 6), int))
    images = ArrayFile(str(tmp_path / "a.npz")).images
    np.testing.assert_array_equal(images[..., 0], IMAGES % 2 * 255)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": IMAGES}, "holds x, but must hold an array 'images'"),
        ({"images": IMAGES / 255.0}, "images are float64, but must be uint8"),
        ({"images": IMAGES[0]}, r"shape \(5, 4\), but must be \[n h w\]"),
        ({"images": np.zeros((2, 4, 4, 5), np.uint8)}, "with c 1 or 3"),
        ({"images": IMAGES[:0]}, "no examples"),
        ({"images": IMAGES, "labels": np.arange(6)}, "labels are .*, not 7 integers"),
        ({"images": IMAGES, "labels": np.zeros(7)}, "labels are float64"),
        ({"images": np.array([IMAGES, None], object)}, "cannot be read as a NumPy file"),
    ],
)
def test_wrong_content_is_reported(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        ArrayFile(str(tmp_path / "a.npz"))


def test_wrong_files_are_reported(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        ArrayFile(str(tmp_path / "none.npy"))
    (tmp_path / "bad.npy").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="cannot be read as a NumPy file"):
        ArrayFile(str(tmp_path / "bad.npy"))
    with pytest.raises(DataError, match=r"no images\.npy"):
        ArrayFile(str(tmp_path))


def test_digits_span_the_whole_range():
    digits = Digits()
    images, labels = digits.gather(np.arange(len(digits)))
    assert images.shape == (1797, 8, 8, 1) and len(np.unique(images)) == 17
    assert (images.min(), images.max()) == (0, 255) and set(labels) == set(range(10))
