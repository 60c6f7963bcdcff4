"""Code image and video files with a codec of any size; an image is a clip of one frame."""

import contextlib
import fractions
import pathlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.encodings import smallest_integers
from pipeline.codec.media import clip_latents, code_video, image_files
from pipeline.codec.media.clip_latents import About
from pipeline.codec.media.video_io import Timing
from pipeline.codec.tiling.chunks import Chunk
from pipeline.codec.tiling.side import Tile
from pipeline.core.errors import DataError
from pipeline.data.listing import has_image_suffix, has_video_suffix
from pipeline.metrics.functions.frame_quality import FrameMetric, FrameQuality

_STILL = Timing(fractions.Fraction(1), fractions.Fraction(1))
Image = UInt8[np.ndarray, "h w c"]


def accepts(name: str) -> bool:
    """Return whether a file name has an image's or a video's suffix; a .gif is a video."""
    return has_video_suffix(name) or has_image_suffix(name)


def target_of(source: pathlib.Path, stem: pathlib.Path) -> pathlib.Path:
    """Return the path of a file's result: `stem` with .mp4 for a video, .png for an image."""
    return stem.with_name(stem.name + (".mp4" if has_video_suffix(source.name) else ".png"))


def reconstruct(
    codec: AnySizeCodec,
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    tile: Tile,
    chunk: Chunk,
    side_by_side: bool,
    verify_chunks: bool = False,
    further: Mapping[str, FrameMetric] | None = None,
    advance: code_video.Advance,
) -> dict[str, Any]:
    """Write the reconstruction of an image or a video; see code_video.reconstruct."""
    if has_video_suffix(source.name):
        options: Any = dict(side_by_side=side_by_side, verify_chunks=verify_chunks)
        options |= dict(further=further, advance=advance)
        padded: list[str] = []
        with _warnings_as_remarks(padded):
            about = code_video.reconstruct(codec, source, target, tile=tile, chunk=chunk, **options)
        return about | {"remarks": about["remarks"] + padded}
    image, remarks = image_files.read(source, codec.image_shape[2])
    with _warnings_as_remarks(remarks):
        recon = _image_of(codec.reconstruct(_batch_of(codec, image), tile=tile))
    image_files.save_png(target, np.concatenate([image, recon], axis=1) if side_by_side else recon)
    quality = FrameQuality(further)
    quality.add(image, recon)
    height, width = image.shape[:2]
    about = {"frames": 1, "height": height, "width": width, "remarks": remarks}
    return about | quality.means()


def encode(
    codec: AnySizeCodec,
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    tile: Tile,
    chunk: Chunk,
    advance: code_video.Advance,
) -> dict[str, Any]:
    """Write the latents of an image or a video; of a codec of codes, their indices."""
    if has_video_suffix(source.name):
        padded: list[str] = []
        with _warnings_as_remarks(padded):
            about = code_video.encode(
                codec, source, target, tile=tile, chunk=chunk, advance=advance
            )
        return about | {"remarks": about["remarks"] + padded}
    image, remarks = image_files.read(source, codec.image_shape[2])
    with _warnings_as_remarks(remarks):
        encoding = codec.encode(_batch_of(codec, image), tile=tile)
    if codec.num_codes:
        z = smallest_integers(encoding.indices(), codec.num_codes)
    else:
        z = np.asarray(encoding.mode())
    z = z[0] if codec.is_video else z
    height, width = image.shape[:2]
    with clip_latents.Writer(target, codec.fingerprint) as writer:
        writer.write(z)
        writer.finish(About((1, height, width), _STILL, [0]))
    return {
        "frames": 1,
        "height": height,
        "width": width,
        "remarks": remarks,
        "latent_shape": list(z.shape),
    }


def decode(
    codec: AnySizeCodec,
    source: pathlib.Path,
    stem: pathlib.Path,
    *,
    tile: Tile,
    chunk: Chunk,
    advance: code_video.Advance,
) -> dict[str, Any]:
    """Decode latents to a PNG for one frame, or else to an mp4; "out" of the result is its path."""
    with clip_latents.opened(source, codec.fingerprint) as (about, latents):
        frames, height, width = about.size
        if frames == 1:
            z = clip_latents.latents_of(codec, np.concatenate(list(latents)))
            recon = codec.decode(z[None] if codec.is_video else z, tile=tile)
            target = stem.with_name(stem.name + ".png")
            image_files.save_png(target, _image_of(recon)[:height, :width])
            return {
                "out": str(target),
                "frames": 1,
                "height": height,
                "width": width,
                "remarks": _of_still(about),
            }
    if not codec.is_video:
        raise DataError(f"{source} holds {frames} frames, but this codec takes images only")
    target = stem.with_name(stem.name + ".mp4")
    result = code_video.decode(codec, source, target, tile=tile, chunk=chunk, advance=advance)
    return {"out": str(target)} | result


def _of_still(about: About) -> list[str]:
    """Return remarks on what a PNG does not keep of a frame."""
    if about.pixel_aspect == 1:
        return []
    return [f"its pixels are {about.pixel_aspect} times as wide as high, which a PNG does not say"]


@contextlib.contextmanager
def _warnings_as_remarks(remarks: list[str]) -> Iterator[None]:
    """Turn the codec's warnings of padding into remarks on the file, whose result is cropped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", UserWarning)  # report a warning of every frame once
        yield
    texts = [
        str(one.message).removeprefix("encode: ").removeprefix("encode_frames: ") for one in caught
    ]
    remarks += [text.split(";")[0] for text in texts]


def _batch_of(codec: AnySizeCodec, image: Image) -> np.ndarray:
    return image[None, None] if codec.is_video else image[None]


def _image_of(batch: Any) -> Image:
    images = np.asarray(batch)
    return images.reshape(images.shape[-3:])
