"""Measure how coding in chunks or tiles differs from coding the whole, for any codec and file.

    python benchmarks/codec_exactness.py --codec DIR FILE [--frames 13] [--size 128] [--tiles 64 96]

On the middle of a video: latents and frames coded in chunks of time against the whole clip, and
latents of its first frames within the clip against the same frames alone (the first frame as an
image). On the same pixels in tiles: the largest difference of latents, and the largest and mean
difference of a frame's values (0 to 255). "latents_deviation" is the standard deviation of the
whole clip's latents, as a scale. Prints one JSON row.
"""

import argparse
import json
import pathlib
import sys
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--codec", required=True)
    parser.add_argument("--frames", type=int, default=13)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--tiles", type=int, nargs="*", default=[64, 96])
    flags = parser.parse_args()

    from pipeline import Codec

    codec: Any = Codec.from_pretrained(flags.codec)
    pixels = _pixels(flags.file, flags.frames if codec.is_video else 1, flags.size)
    pixels = pixels[None] if codec.is_video else pixels
    row: dict[str, Any] = {"file": flags.file.name, "shape": list(pixels.shape[1:])}
    row["latents_deviation"] = float(np.asarray(codec.encode(pixels).mode()).std())
    if codec.is_video:
        row |= chunks(codec, pixels) | prefixes(codec, pixels)
    row["tiles"] = {str(tile): tiles(codec, pixels, tile) for tile in flags.tiles}
    print(json.dumps(row))


def chunks(codec: Any, clip: np.ndarray) -> dict[str, Any]:
    """Return differences of latents and decoded frames for chunks of 4, 8 and 12 frames."""
    whole = codec.encode(clip)
    frames = _int(codec.decode(whole.mode()))
    latents = {
        str(n): _largest(codec.encode(clip, chunk=n).mode(), whole.mode()) for n in (4, 8, 12)
    }
    decoded = {str(n): _apart(_int(codec.decode(whole.mode(), chunk=n)), frames) for n in (1, 2, 3)}
    return {"chunked_latents": latents, "chunked_frames": decoded}


def prefixes(codec: Any, clip: np.ndarray) -> dict[str, float]:
    """Return the largest differences of latents of the first 1, 5 and 9 frames coded alone."""
    whole = np.asarray(codec.encode(clip).mode())
    lengths = [n for n in (1, 5, 9) if n < clip.shape[1]]
    alone = {n: np.asarray(codec.encode(clip[:, :n]).mode()) for n in lengths}
    return {f"prefix_{n}": _largest(z, whole[:, : z.shape[1]]) for n, z in alone.items()}


def tiles(codec: Any, pixels: np.ndarray, tile: int) -> dict[str, float]:
    """Return differences of latents and reconstructions in tiles from the whole."""
    latents = _largest(codec.encode(pixels, tile=tile).mode(), codec.encode(pixels).mode())
    apart = _apart(_int(codec.reconstruct(pixels, tile=tile)), _int(codec.reconstruct(pixels)))
    return {"latents": latents} | apart


def _pixels(path: pathlib.Path, frames: int, size: int) -> np.ndarray:
    from PIL import Image

    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        whole = np.asarray(Image.open(path).convert("RGB"))[None]
    else:
        import av

        with av.open(str(path)) as container:
            whole = np.stack(
                [
                    f.to_ndarray(format="rgb24")
                    for f, _ in zip(container.decode(video=0), range(frames))
                ]
            )
    top, left = ((length - size) // 2 for length in whole.shape[1:3])
    return whole[:, top : top + size, left : left + size]


def _int(pixels: Any) -> np.ndarray:
    return np.asarray(pixels).astype(np.int32)


def _apart(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    difference = np.abs(a - b)
    return {"largest": int(difference.max()), "mean": round(float(difference.mean()), 4)}


def _largest(a: Any, b: Any) -> float:
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


if __name__ == "__main__":
    main()
