"""Tests that image modes are read with remarks, names never collide and originals are kept."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.codec.media import image_files
from pipeline.core.errors import ConfigError, DataError


def picture(mode: str = "RGB", seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix", "said"),
    [
        ("RGB", "png", []),
        ("L", "png", ["L converted to RGB"]),
        ("P", "png", ["P converted to RGB"]),
        ("1", "png", ["1 converted to RGB"]),
        ("CMYK", "jpg", ["CMYK converted to RGB"]),
        ("I;16", "png", ["I;16 converted to RGB"]),
        ("RGBA", "png", ["RGBA converted to RGB", "transparency on white"]),
    ],
)
def test_modes_are_read_with_remarks(mode, suffix, said, tmp_path):
    picture(mode).save(tmp_path / f"x.{suffix}")
    pixels, remarks = image_files.read(tmp_path / f"x.{suffix}", 3)
    assert pixels.shape == (6, 9, 3)
    assert remarks == said
    assert image_files.read(tmp_path / f"x.{suffix}", 1)[0].shape == (6, 9, 1)


def test_animations_and_orientation_give_remarks(tmp_path):
    picture().save(
        tmp_path / "x.gif", save_all=True, append_images=[picture(seed=1), picture(seed=2)]
    )
    assert image_files.read(tmp_path / "x.gif", 3)[1][-1] == "the first of 3 frames"
    whole = (tmp_path / "x.gif").read_bytes()
    (tmp_path / "cut.gif").write_bytes(whole[:-60])
    pixels, remarks = image_files.read(tmp_path / "cut.gif", 3)
    assert pixels.shape == (6, 9, 3) and "frames" in remarks[-1]
    exif = Image.Exif()
    exif[0x0112] = 6
    picture().save(tmp_path / "x.jpg", exif=exif)
    pixels, remarks = image_files.read(tmp_path / "x.jpg", 3)
    assert pixels.shape == (9, 6, 3)
    assert remarks == ["turned upright as its EXIF data says"]


def test_files_that_are_not_images_are_named(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no image")
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[:80])
    for name in ("x.png", "cut.png", "absent.png"):
        with pytest.raises(DataError, match=name):
            image_files.read(tmp_path / name, 3)


def test_names_keep_folders_and_never_collide(tmp_path):
    for name in (
        "a/one.png",
        "a/one.jpg",
        "a/b/one.png",
        "c/one.png",
        "a/.hidden.png",
        "a/notes.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = image_files.find(
        [str(tmp_path / "a"), str(tmp_path / "c"), str(tmp_path / "c/one.png"), "absent.gif"]
    )
    names = [name for _, name in found]
    assert len(set(names)) == len(names) == 6
    assert "b/one" in names and "absent" in names and "one.jpg" in names
    with pytest.raises(ConfigError, match="name the files"):
        image_files.find([])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="empty has no files"):
        image_files.find([str(tmp_path / "empty")])


def test_an_original_is_not_replaced(tmp_path):
    picture().save(tmp_path / "x.png")
    inputs = image_files.find([str(tmp_path)])
    with pytest.raises(ConfigError, match="is an input and would be replaced"):
        image_files.refuse_overwriting(inputs, tmp_path, ".png")
    image_files.refuse_overwriting(inputs, tmp_path, ".safetensors")
    image_files.refuse_overwriting(inputs, tmp_path / "other", ".png")


@pytest.mark.parametrize("channels", [1, 3])
def test_png_files_hold_the_pixels(channels, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, channels), np.uint8)
    image_files.save_png(tmp_path / "deep" / "x.png", pixels)
    back = np.asarray(Image.open(tmp_path / "deep" / "x.png"))
    np.testing.assert_array_equal(back.reshape(pixels.shape), pixels)
    with pytest.raises(ConfigError):
        image_files.save_png(tmp_path / "deep" / "x.png" / "y.png", pixels)
