"""Image files of every format with the faults of real ones, each with the pixels it must give."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import image_bytes
import numpy as np
from image_bytes import png, tiff
from PIL import Image, PngImagePlugin

SIZE = 16
# Compressed formats, with options that keep flat colours within a few levels.
FORMATS: dict[str, dict[str, Any]] = {
    "png": {},
    "jpg": dict(quality=98, subsampling=0),
    "webp": dict(lossless=True),
    "gif": {},
    "bmp": {},
    "tif": {},
    "jp2": {},
    "avif": dict(quality=100, subsampling="4:4:4"),
    "ppm": {},
    "tga": {},
}
_PILLOW = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}
_LOSSY = {"jpg": 4, "avif": 4}
_WITH_PROFILES = ("png", "jpg", "webp", "tif", "avif")
_WITH_EXIF = ("png", "jpg", "webp", "tif")
_ORIENTED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


class ImageFile(NamedTuple):
    """One file: its pixels, to within so many levels, or the words of its refusal."""

    name: str
    data: bytes
    pixels: np.ndarray | None
    within: int = 0
    words: str = ""


def every() -> Iterator[ImageFile]:
    """Yield all files; the same ones each time."""
    for group in (
        _plain,
        _modes,
        _profiles,
        _orientations,
        _exif,
        _png_metadata,
        _png_depths,
        _tiffs,
        _damaged,
    ):
        yield from group()


def picture() -> np.ndarray:
    """Return four squares of different colours."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    half = SIZE // 2
    pixels[:half, :half], pixels[:half, half:] = (200, 30, 40), (20, 160, 60)
    pixels[half:, :half], pixels[half:, half:] = (40, 60, 190), (230, 220, 90)
    return pixels


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, _PILLOW.get(kind, kind.upper()), **FORMATS[kind], **options)
    return file.getvalue()


def _plain() -> Iterator[ImageFile]:
    image, pixels = Image.fromarray(picture()), picture()
    for kind in FORMATS:
        within = _LOSSY.get(kind, 0)
        yield ImageFile(f"plain.{kind}", encoded(image, kind), pixels, within)
        other = "png" if kind == "jpg" else "jpg"
        yield ImageFile(f"{kind}-named.{other}", encoded(image, kind), pixels, within)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        data = encoded(image, "tif", compression=compression)
        yield ImageFile(f"{compression}.tif", data, pixels, 30 if compression == "jpeg" else 0)
    yield ImageFile("progressive.jpg", encoded(image, "jpg", progressive=True), pixels, 4)
    yield ImageFile("interlaced.PNG", encoded(image, "png", optimize=True), pixels)
    frames = [image, Image.fromarray(255 - picture())]
    for kind in ("gif", "webp", "png"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        yield ImageFile(f"animated.{kind}", data, pixels)


def _modes() -> Iterator[ImageFile]:
    image = Image.fromarray(picture())
    for mode, kinds in {
        "L": ("png", "jpg", "tif", "bmp", "tga", "jp2", "webp"),
        "1": ("png", "tif", "bmp"),
        "P": ("png", "tif", "gif", "bmp", "tga"),
        "CMYK": ("jpg", "tif"),
        "YCbCr": ("jpg", "tif"),
        "LAB": ("tif",),
    }.items():
        converted = image.convert("RGB").quantize(8) if mode == "P" else _convert(image, mode)
        pixels = np.asarray(converted.convert("RGB"))
        for kind in kinds:
            within = 6 if kind in _LOSSY or mode in ("YCbCr", "LAB") else 0
            yield ImageFile(f"mode-{mode}.{kind}", encoded(converted, kind), pixels, within)
    alpha = Image.new("L", (SIZE, SIZE), 255)
    alpha.paste(0, (0, 0, SIZE, SIZE // 2))
    on_white = picture()
    on_white[: SIZE // 2] = 255
    for kind in ("png", "webp", "tif", "tga", "jp2", "avif"):
        clear = image.copy()
        clear.putalpha(alpha)
        yield ImageFile(f"transparent.{kind}", encoded(clear, kind), on_white, _LOSSY.get(kind, 0))
    grey = Image.merge("LA", (image.convert("L"), alpha))
    expected = np.repeat(np.asarray(image.convert("L"))[:, :, None], 3, 2).copy()
    expected[: SIZE // 2] = 255
    for kind in ("png", "tif"):
        yield ImageFile(f"transparent-grey.{kind}", encoded(grey, kind), expected)
    wide = np.asarray(image.convert("L")).astype(np.uint16) * 257
    expected = np.repeat(np.asarray(image.convert("L"))[:, :, None], 3, 2)
    for kind in ("png", "tif", "jp2"):
        yield ImageFile(f"grey-16.{kind}", encoded(Image.fromarray(wide), kind), expected)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if mode != "LAB":
        return image.convert(mode)
    from PIL import ImageCms

    transform = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    return transform.apply(image)


def _profiles() -> Iterator[ImageFile]:
    image, pixels = Image.fromarray(picture()), picture()
    swapped = image_bytes.swapped_profile()
    for kind in _WITH_PROFILES:
        within = 2 * _LOSSY.get(kind, 0) + 1
        for name, profile, expected in (
            ("srgb", image_bytes.srgb_profile(), pixels),
            ("swapped", swapped, image_bytes.applied(image, swapped)),
            ("garbage", b"no profile" * 40, pixels),
            ("truncated", swapped[:300], pixels),
            ("of-cmyk", image_bytes.cmyk_profile(), pixels),
            ("of-grey", image_bytes.grey_profile(1.0), pixels),
        ):
            data = encoded(image, kind, icc_profile=profile)
            yield ImageFile(f"profile-{name}.{kind}", data, expected, within)
    for gamma in (1.0, 1.8):
        profile, grey = image_bytes.grey_profile(gamma), image.convert("L")
        for kind in ("png", "jpg", "tif"):
            data = encoded(grey, kind, icc_profile=profile)
            expected = image_bytes.applied(grey, profile)
            yield ImageFile(f"profile-grey-{gamma}.{kind}", data, expected, 6)
    profile, cmyk = image_bytes.cmyk_profile(), image.convert("CMYK")
    for kind in ("jpg", "tif"):
        data = encoded(cmyk, kind, icc_profile=profile)
        expected = image_bytes.applied(cmyk, profile)
        yield ImageFile(f"profile-cmyk.{kind}", data, expected, 2 * _LOSSY.get(kind, 0) + 1)
    palette = image.quantize(8)
    expected = image_bytes.applied(palette.convert("RGB"), swapped)
    for kind in ("png", "tif"):
        data = encoded(palette, kind, icc_profile=swapped)
        yield ImageFile(f"profile-palette.{kind}", data, expected)


def _orientations() -> Iterator[ImageFile]:
    for kind in _WITH_EXIF:
        for value in range(10):
            exif = Image.Exif()
            exif[0x0112] = value
            data = encoded(Image.fromarray(picture()), kind, exif=exif)
            pixels = _ORIENTED.get(value, lambda x: x)(picture())
            yield ImageFile(f"orientation-{value}.{kind}", data, pixels, _LOSSY.get(kind, 0))
    for value in (3, 6):
        xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="{value}"/></x:xmpmeta>'
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp)
        for kind, options in (
            ("webp", dict(xmp=xmp.encode())),
            ("png", dict(pnginfo=text)),
            ("tif", dict(tiffinfo={700: xmp.encode()})),
        ):
            data = encoded(Image.fromarray(picture()), kind, **options)
            yield ImageFile(f"xmp-{value}.{kind}", data, _ORIENTED[value](picture()))


def _exif() -> Iterator[ImageFile]:
    for number, exif in enumerate(
        (
            b"Exif\0\0garbage",
            b"Exif\0\0MM\0*\0\0\0\xff",
            b"Exif\0\0",
            b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        )
    ):
        for kind in ("jpg", "png", "webp"):
            data = encoded(Image.fromarray(picture()), kind, exif=exif)
            name = f"damaged-exif-{number}.{kind}"
            yield ImageFile(name, data, picture(), _LOSSY.get(kind, 0))


def _png_metadata() -> Iterator[ImageFile]:
    rows = [bytes(row.ravel()) for row in picture()]
    large = zlib.compress(b"x" * 2_000_000)
    profile = image_bytes.swapped_profile()
    profile = struct.pack(">I", len(profile) + 2_000_000) + profile[4:] + bytes(2_000_000)
    for name, chunk in {
        "text": (b"zTXt", b"a\0\0" + large),
        "international": (b"iTXt", b"a\0\1\0\0\0" + large),
        "xmp": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + large),
        "method": (b"zTXt", b"a\0\5garbage"),
        "exif": (b"eXIf", b"garbage"),
        "gamma": (b"gAMA", b"1"),
        "linear": (b"gAMA", struct.pack(">I", 100_000)),
        "chromaticity": (b"cHRM", b"1"),
        "density": (b"pHYs", b"1"),
        "animation": (b"acTL", b"1"),
        "profile": (b"iCCP", b"a"),
        "codes": (b"cICP", bytes([9, 16, 0, 1])),
    }.items():
        yield ImageFile(f"metadata-{name}.png", png(rows, SIZE, before=[chunk]), picture())
        if name in ("text", "international", "xmp"):
            yield ImageFile(f"metadata-{name}-after.png", png(rows, SIZE, after=[chunk]), picture())
    chunk = (b"iCCP", b"a\0\0" + zlib.compress(profile))
    expected = image_bytes.applied(Image.fromarray(picture()), image_bytes.swapped_profile())
    yield ImageFile("metadata-large-profile.png", png(rows, SIZE, before=[chunk]), expected)
    part = (b"zTXt", b"a\0\0" + zlib.compress(b"x" * 1_000_000))
    yield ImageFile("metadata-70-texts.png", png(rows, SIZE, before=[part] * 70), picture())


def _png_depths() -> Iterator[ImageFile]:
    for bits, color, row, clear, left in (
        (16, 0, struct.pack(">H", 1000) * 8 + struct.pack(">H", 30000) * 8, 1000, 117),
        (8, 0, bytes([7] * 8 + [9] * 8), 7, 9),
        (4, 0, bytes([0x55] * 4 + [0xAA] * 4), 5, 170),
        (2, 0, bytes([0b10101010] * 2 + [0b01010101] * 2), 2, 85),
        (1, 0, bytes([0xFF, 0x00]), 1, 0),
    ):
        expected = np.full((SIZE, SIZE, 3), left, np.uint8)
        expected[:, : SIZE // 2] = 255
        data = png(
            [row] * SIZE, SIZE, bits=bits, color=color, before=[(b"tRNS", struct.pack(">H", clear))]
        )
        yield ImageFile(f"transparent-colour-{bits}.png", data, expected)
    row = struct.pack(">48H", *(picture()[0].astype(np.uint16) * 257).ravel())
    expected = np.repeat(picture()[:1], SIZE, 0)
    yield ImageFile("colour-16.png", png([row] * SIZE, SIZE, bits=16, color=2), expected)


def _tiffs() -> Iterator[ImageFile]:
    colours, luma = picture(), np.asarray(Image.fromarray(picture()).convert("L"))[:, :, None]
    for order in "<>":
        for compression in (1, 8):
            for dtype in ("u1", "u2"):
                full = 257 if dtype == "u2" else 1
                for photometric, pixels, separate in (
                    (0, luma, False),
                    (1, luma, False),
                    (2, colours, False),
                    (2, colours, True),
                ):
                    stored = pixels.astype(dtype) * full
                    stored = np.iinfo(dtype).max - stored if photometric == 0 else stored
                    options: Any = dict(order=order, compression=compression, separate=separate)
                    data = tiff(stored, photometric, **options)
                    place = "separate" if separate else "together"
                    name = f"tiff-{dtype}-{photometric}-{place}-{order}{compression}.tif"
                    name = name.replace("<", "II").replace(">", "MM")
                    expected = np.broadcast_to(pixels, colours.shape)
                    if (photometric, dtype, order) == (0, "u2", ">"):
                        yield ImageFile(
                            name, data, None, words="grey (white is 0), is not supported"
                        )
                    else:
                        yield ImageFile(name, data, expected, 1)
            for dtype, words in (
                ("i1", "signed pixels have no known range"),
                ("i2", "signed pixels have no known range"),
                ("i4", "32-bit pixels outside of 0..65535"),
                ("f2", "float pixels have no known range"),
                ("f4", "float pixels have no known range"),
                ("f8", "float pixels have no known range"),
            ):
                stored = (luma.astype(np.int64) - 200).astype(dtype)
                data = tiff(stored, 1, order=order, compression=compression)
                name = f"tiff-{dtype}-{'II' if order == '<' else 'MM'}{compression}.tif"
                yield ImageFile(name, data, None, words=words)


def _damaged() -> Iterator[ImageFile]:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for kind in FORMATS:
        data = encoded(Image.fromarray(noise), kind)
        for share in (0.02, 0.5):
            cut = data[: max(4, int(len(data) * share))]
            yield ImageFile(f"cut-{share}.{kind}", cut, None)
        yield ImageFile(f"empty.{kind}", b"", None, words="not an image")
        yield ImageFile(
            f"html.{kind}", b"<!doctype html><p>404</p>" * 9, None, words="not an image"
        )
        yield ImageFile(f"zeros.{kind}", bytes(4000), None)
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    huge = png([b""], 1)
    whole = b"IHDR" + header
    huge = huge[:12] + whole + struct.pack(">I", zlib.crc32(whole)) + huge[33:]
    yield ImageFile("bomb.png", huge, None, words="exceeds limit")
