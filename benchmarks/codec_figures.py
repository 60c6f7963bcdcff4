"""Compare codecs on a folder of images: PSNR, a perceptual distance, latents, milliseconds.

    python benchmarks/codec_figures.py --codecs before/,after/ --images kodak/ \\
        --weights squeezenet11_caffe_notop.h5 [--teacher before/] [--grid grid.png] [--crop 512]

Each image is cut to a multiple of 16 pixels, at most --crop, around its centre. One JSON row a
codec: means over the images; the distance is that of the perceptual term "squeezenet_caffe" (not
LPIPS), `teacher_psnr` compares with the teacher's images, `encoder_sha256` is that of the arrays
on which latents depend, and `ms` is the median of a decode and an encode of one 256x256 image.
"""

import argparse
import json
import pathlib
import time

import jax
import numpy as np
from PIL import Image

from pipeline import Codec
from pipeline.codec.latent_origin import encoder_digest
from pipeline.core import grids, pixels
from pipeline.frozen import lpips


def main() -> None:
    """Print a row for each codec, and write a grid of originals above reconstructions."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("codecs", "images"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("weights", "teacher", "grid"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--crop", type=int, default=512)
    given = parser.parse_args()
    files = sorted(path for path in pathlib.Path(given.images).iterdir() if path.is_file())
    images = [read(path, given.crop) for path in files]
    distance = distance_of(given.weights) if given.weights else None
    taught = reconstructions(Codec.from_pretrained(given.teacher), images) if given.teacher else []
    shown = [image[:256, :256] for image in images[:6]]
    for path in given.codecs.split(","):
        codec = Codec.from_pretrained(path, dtype="float32")
        found = reconstructions(codec, images)
        shown += [image[:256, :256] for image in found[:6]]
        row = {
            "codec": path,
            "images": len(images),
            "psnr": mean(psnr(a, b) for a, b in zip(images, found)),
            "teacher_psnr": mean(psnr(a, b) for a, b in zip(taught, found)) if taught else None,
            "squeezenet_caffe": mean(distance(a, b) for a, b in zip(images, found))
            if distance
            else None,
            "encoder_sha256": encoder_digest(codec.config["model"], codec.weights),
            "ms": milliseconds(codec),
        }
        print(json.dumps(row), flush=True)
    if given.grid:
        small = [image for image in shown if image.shape[:2] == (256, 256)]
        grids.save(pathlib.Path(given.grid), grids.grid(np.stack(small), columns=6))


def read(path: pathlib.Path, most: int) -> np.ndarray:
    """Return the centre of an image, [h w 3] uint8."""
    image = np.asarray(Image.open(path).convert("RGB"))
    height, width = (min(side, most) // 16 * 16 for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def reconstructions(codec, images: list[np.ndarray]) -> list[np.ndarray]:
    """Return the decoded mode of each image's posterior, uint8."""
    return [np.asarray(codec.decode(codec.encode(x[None]).mode()))[0] for x in images]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Return the PSNR of uint8 images, in dB."""
    error = np.square(a.astype(np.float64) - b.astype(np.float64)).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def distance_of(weights: str):
    """Return the perceptual distance of two uint8 images."""
    found, arrays = lpips.create("squeezenet_caffe", weights=weights, heads="", where="--weights")
    compiled = jax.jit(lambda a, b: found(arrays, pixels.to_float(a), pixels.to_float(b)).mean())
    return lambda a, b: float(compiled(a[None], b[None]))


def milliseconds(codec, repeats: int = 5) -> dict[str, float]:
    """Return the median time of an encode and a decode of one 256x256 image."""
    image = np.zeros((1, 256, 256, 3), np.uint8)
    z = codec.encode(image).mode()
    calls = {"encode": lambda: codec.encode(image).mode(), "decode": lambda: codec.decode(z)}
    result = {}
    for name, call in calls.items():
        times = []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            jax.block_until_ready(call())
            times.append(time.perf_counter() - began)
        result[name] = round(1e3 * float(np.median(times[1:])), 1)
    return result


def mean(values) -> float:
    """Return the mean of some numbers."""
    return float(np.mean(list(values)))


if __name__ == "__main__":
    main()
