"""Measure streaming of long clips: memory by length, and speed by chunk size.

    python benchmarks/streaming.py [--size 128] [--frames 33 257] [--chunks 4 8 16 32]

A WF-VAE S (128 channels, random weights) encodes and decodes a stream of frames that are generated
on demand and discarded, and reconstructs a video file of as many frames. Each length with the
default chunk, and each chunk on the longest clip, runs in a separate process to measure its peak
memory. Prints one JSON row: `peak_ratio` is the longest clip's peak over the shortest's,
`encode_of_best` a chunk's frames per second over the best chunk's.
"""

import argparse
import fractions
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from peak_memory import peak_bytes

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipeline.codec.any_size import AnySizeCodec  # noqa: E402
from pipeline.codec.tiling import chunks  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--frames", type=int, nargs="+", default=[33, 257])
    parser.add_argument("--chunks", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--base", type=int, default=128)
    parser.add_argument(
        "--one", nargs=3, help=argparse.SUPPRESS
    )  # what, frames, chunk: in a process of its own
    flags = parser.parse_args()
    if flags.one:
        what, frames, chunk = flags.one[0], *map(int, flags.one[1:])
        measure = {"stream": _stream, "file": _file}[what]
        print(
            json.dumps(
                measure(_codec(flags.size, flags.base), frames, chunk)
                | {"peak_bytes": peak_bytes()}
            )
        )
        return
    longest = max(flags.frames)
    usual = chunks.default_chunk(flags.size, flags.size, tile=None, causal=True)
    row: dict[str, Any] = {"size": flags.size, "chunk": usual}
    for what in ("stream", "file"):
        lengths = {frames: _run(flags, what, frames, usual) for frames in sorted(flags.frames)}
        peaks = [part["peak_bytes"] for part in lengths.values()]
        row[what] = {"lengths": lengths, "peak_ratio": round(peaks[-1] / peaks[0], 3)}
    done = {usual: row["stream"]["lengths"][longest]}
    rows = {
        chunk: done.get(chunk) or _run(flags, "stream", longest, chunk) for chunk in flags.chunks
    }
    row["chunks"] = rows
    for direction in ("encode", "decode"):
        rates = {chunk: part[f"{direction}_frames_per_s"] for chunk, part in rows.items()}
        row[f"{direction}_of_best"] = {
            chunk: round(rate / max(rates.values()), 3) for chunk, rate in rates.items()
        }
    print(json.dumps(row))


def _run(flags: argparse.Namespace, what: str, frames: int, chunk: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--size", str(flags.size), "--base", str(flags.base)]
    done = subprocess.run(
        [*command, "--one", what, str(frames), str(chunk)], stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def _codec(size: int, base: int) -> AnySizeCodec:
    from flax import nnx

    from pipeline import models
    from pipeline.core import parameters

    recipe = dict(
        name="autoencoder.Autoencoder",
        latent_channels=4,
        image_size=size,
        num_frames=17,
        encoder=dict(name="wf_vae.Encoder", base_channels=base),
        bottleneck=dict(name="gaussian.Gaussian"),
        decoder=dict(name="wf_vae.Decoder", base_channels=base),
    )
    modeldef, params, model_state = parameters.split(models.create(recipe, rngs=nnx.Rngs(0)))
    return AnySizeCodec(modeldef, params | model_state, {"model": recipe})


def _frames(codec: AnySizeCodec, count: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    return (random.integers(0, 256, codec.image_shape, np.uint8) for _ in range(count))


def _stream(codec: AnySizeCodec, frames: int, chunk: int) -> dict[str, Any]:
    latent = np.zeros((1, *(side // 8 for side in codec.image_shape[:2]), 4), np.float32)
    row: dict[str, Any] = {}
    for name, run in (
        ("encode", lambda count: codec.encode_frames(_frames(codec, count), chunk=chunk)),
        (
            "decode",
            lambda count: codec.decode_frames(
                (latent for _ in range(1 + count // 4)), chunk=chunk // 4
            ),
        ),
    ):
        for _ in run(1 + 2 * chunk):  # compiles
            pass
        began = time.perf_counter()
        for _ in run(frames):
            pass
        row[f"{name}_frames_per_s"] = round(frames / (time.perf_counter() - began), 2)
    return row


def _file(codec: AnySizeCodec, frames: int, chunk: int) -> dict[str, Any]:
    from pipeline.codec.media import code_video
    from pipeline.codec.media.video_io import Timing, VideoWriter

    with tempfile.TemporaryDirectory() as folder:
        source, target = (
            pathlib.Path(folder, "film.mp4"),
            pathlib.Path(folder, "reconstruction.mp4"),
        )
        with VideoWriter(
            source, Timing(fractions.Fraction(1, 25), fractions.Fraction(25))
        ) as writer:
            for index, frame in enumerate(_frames(codec, frames)):
                writer.write(frame, index)
        began = time.perf_counter()
        about = code_video.reconstruct(codec, source, target, chunk=chunk)
        seconds = time.perf_counter() - began
    return {"frames": about["frames"], "frames_per_s_with_compilation": round(frames / seconds, 2)}


if __name__ == "__main__":
    main()
