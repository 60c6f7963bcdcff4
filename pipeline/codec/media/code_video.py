"""Code whole video files in memory that does not grow with their length.

`chunk` is the number of frames (in `decode`, latent frames) coded at a time, by default that of
`AnySizeCodec.encode_frames`, "auto" for what memory allows, or 0 for the whole clip, in memory that
does grow. The results of an encoder or decoder that is not causal depend
on it, and get a remark.
"""

import collections
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.encodings import smallest_integers
from pipeline.codec.media import clip_latents
from pipeline.codec.media.clip_latents import About
from pipeline.codec.media.video_io import VideoReader, VideoWriter
from pipeline.codec.tiling import chunks
from pipeline.codec.tiling.chunks import Chunk
from pipeline.codec.tiling.side import Tile
from pipeline.core.errors import DataError
from pipeline.metrics.functions.frame_quality import FrameMetric, FrameQuality

Frame = UInt8[np.ndarray, "h w 3"]
Advance = Callable[[int, int | None], None]  # frames done, and the expected total


def reconstruct(
    codec: AnySizeCodec,
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    tile: Tile = None,
    chunk: Chunk = None,
    side_by_side: bool = False,
    verify_chunks: bool = False,
    further: Mapping[str, FrameMetric] | None = None,
    advance: Advance = lambda done, of: None,
) -> dict[str, Any]:
    """Write an mp4 of a video's reconstruction, with its times and sound, and measure its quality.

    `side_by_side` puts each original to the left of its frame; `further` are more distances by
    name, such as LPIPS. `verify_chunks` also codes the whole clip at once, in memory that grows
    with its length, and compares.

    Returns:
      frames, height, width, fps, seconds, remarks, and the figures of
      pipeline.metrics.functions.frame_quality; with `verify_chunks`, whole_clip_difference, the
      largest difference of a value in 0..255.

    Raises:
      DataError: `source` cannot be read; or `verify_chunks` finds that the frames of a causal codec
        differ by more than a rounding.
      ConfigError: `target` cannot be written.
    """
    with VideoReader(source) as reader:
        quality = FrameQuality(further)
        frames: list[Frame] = []
        aspect = reader.pixel_aspect
        with VideoWriter(target, reader.timing, pixel_aspect=aspect, sound_of=source) as writer:
            for done, (original, frame) in enumerate(_pairs(codec, reader, tile, chunk)):
                quality.add(original, frame)
                if verify_chunks:
                    frames.append(frame)
                shown = np.concatenate([original, frame], axis=1) if side_by_side else frame
                writer.write(shown, reader.pts[done])
                advance(done + 1, reader.expected_frames)
            writer.end = reader.end
        about = _summary(reader, original.shape)
        remarks = [
            *reader.remarks,
            *writer.remarks,
            *_chunk_remarks(codec, codec.causal, len(reader.pts), chunk),
        ]
        if verify_chunks:
            difference = _whole_clip_difference(codec, source, frames, tile)
            if codec.causal and difference > 1:
                raise DataError(
                    f"{source}: coded in chunks, frames differ from those of the whole clip by up "
                    f"to {difference} of 255"
                )
            about["whole_clip_difference"] = difference
        return about | {"remarks": remarks} | quality.means()


def _whole_clip_difference(
    codec: AnySizeCodec, source: pathlib.Path, frames: list[Frame], tile: Tile
) -> int:
    """Return how far frames are from those of the clip coded at once, of 255, at most."""
    with VideoReader(source) as reader:
        return max(
            int(np.abs(frame.astype(np.int16) - whole).max())
            for frame, (_, whole) in zip(frames, _pairs(codec, reader, tile, 0), strict=True)
        )


def encode(
    codec: AnySizeCodec,
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    tile: Tile = None,
    chunk: Chunk = None,
    advance: Advance = lambda done, of: None,
) -> dict[str, Any]:
    """Write a video's latents without its sound; `decode` turns them into a silent video.

    Returns:
      frames, height, width, fps, seconds, remarks, latent_shape. Raises like `reconstruct`.
    """
    _require_video(codec)
    with VideoReader(source) as reader, clip_latents.Writer(target, codec.fingerprint) as writer:
        size: list[tuple[int, ...]] = []
        shape: tuple[int, ...] = ()
        frames = _watched(reader, size)
        count = 0
        codes = codec.num_codes
        options: Any = dict(chunk=chunk, tile=tile) | (dict(indices=True) if codes else {})
        for latents in codec.encode_frames(frames, **options):
            writer.write(smallest_integers(latents, codes) if codes else latents)
            count, shape = count + len(latents), latents.shape[1:]
            advance(len(reader.pts), reader.expected_frames)
        height, width = size[0][:2]
        writer.finish(
            About(
                (len(reader.pts), height, width),
                reader.timing,
                reader.pts,
                end=reader.end,
                pixel_aspect=reader.pixel_aspect,
            )
        )
        remarks = [
            *reader.remarks,
            *_left_out(reader),
            *_chunk_remarks(codec, codec.encoder_causal, len(reader.pts), chunk),
        ]
        return _summary(reader, size[0]) | {"remarks": remarks, "latent_shape": [count, *shape]}


def decode(
    codec: AnySizeCodec,
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    tile: Tile = None,
    chunk: Chunk = None,
    advance: Advance = lambda done, of: None,
) -> dict[str, Any]:
    """Write an mp4 of a clip's latents: the encoded frames, at their times.

    Returns:
      frames, height, width, fps, remarks. Raises like `reconstruct`.
    """
    _require_video(codec)
    with (
        clip_latents.opened(source, codec.fingerprint) as (about, latents),
        VideoWriter(target, about.timing, pixel_aspect=about.pixel_aspect) as writer,
    ):
        pieces = (clip_latents.latents_of(codec, stored) for stored in latents)
        frames = codec.decode_frames(pieces, chunk=chunk, tile=tile, size=about.size)
        for done, (frame, at) in enumerate(zip(frames, about.pts)):
            writer.write(frame, at)
            advance(done + 1, about.size[0])
        writer.end = about.end
    count, height, width = about.size
    fps = float(about.timing.rate)
    frames_a_chunk = chunk if not chunk or isinstance(chunk, str) else chunk * codec.temporal_factor
    remarks = [
        *writer.remarks,
        *_chunk_remarks(codec, codec.decoder_causal, count, frames_a_chunk),
    ]
    return {"frames": count, "height": height, "width": width, "fps": fps, "remarks": remarks}


def _pairs(
    codec: AnySizeCodec, reader: VideoReader, tile: Tile, chunk: Chunk
) -> Iterator[tuple[Frame, Frame]]:
    """Yield pairs of original and decoded frame; at most one chunk of originals waits."""
    waiting: collections.deque[Frame] = collections.deque()
    size: list[tuple[int, ...]] = []

    def taken() -> Iterator[Frame]:
        for frame in _watched(reader, size):
            waiting.append(frame)
            yield frame

    if not codec.is_video:
        for frame in taken():
            yield waiting.popleft(), np.asarray(codec.reconstruct(frame[None], tile=tile))[0]
        return
    latents = codec.encode_frames(taken(), chunk=chunk, tile=tile)
    steps = chunks.in_latents(chunk, codec.temporal_factor)
    for frame in codec.decode_frames(latents, chunk=steps, tile=tile):
        if not waiting:  # the remaining frames are padding
            return
        height, width = size[0][:2]
        yield waiting.popleft(), frame[:height, :width]


def _watched(reader: VideoReader, size: list[tuple[int, ...]]) -> Iterator[Frame]:
    for frame in reader:
        if size and frame.shape != size[0]:
            (height, width), (now_height, now_width) = size[0][:2], frame.shape[:2]
            raise DataError(
                f"{reader.path}: frame {len(reader.pts) - 1} is {now_height}x{now_width}, but "
                f"earlier frames are {height}x{width}: cut the video where its size changes"
            )
        size[:] = [frame.shape]
        yield frame


def _chunk_remarks(codec: AnySizeCodec, causal: bool, frames: int, chunk: Chunk) -> list[str]:
    exact = causal or codec.windows is not None
    if not codec.is_video or exact or chunk == 0:
        return []
    if isinstance(chunk, str):
        return ["coded in chunks that memory allowed, which this codec's results depend on"]
    chunk = chunks.FRAMES if chunk is None else chunk
    if frames <= 1 + chunk:
        return []
    return [f"coded in chunks of {chunk} frames, which this codec's results depend on"]


def _require_video(codec: AnySizeCodec) -> None:
    if not codec.is_video:
        raise DataError(
            "this codec takes images only: strata encode takes image files for it, "
            "and strata reconstruct takes videos too"
        )


def _left_out(reader: VideoReader) -> list[str]:
    """Return remarks on what latents do not hold."""
    found = []
    if reader.sounds:
        found.append("without its sound, which latents do not hold")
    if reader.subtitles:
        found.append(f"without its {reader.subtitles} tracks of subtitles")
    return found


def _summary(reader: VideoReader, shape: tuple[int, ...]) -> dict[str, Any]:
    frames = len(reader.pts)
    seconds = float((reader.end - reader.pts[0]) * reader.timing.time_base)
    return {
        "frames": frames,
        "height": shape[0],
        "width": shape[1],
        "fps": round(frames / seconds, 3),
        "seconds": round(seconds, 3),
    }
