"""Videos through training's data path and packing, or through the codec commands."""

import functools
import itertools
import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
from hostile_inputs import video_clips
from hostile_inputs.attempts import (
    REFUSED,
    RIGHT,
    Attempt,
    Wrong,
    command,
    expect_refusal,
    expect_success,
    refusals_of,
)
from hostile_inputs.corpus import Corpus
from hostile_inputs.video_clips import Clip

from pipeline.core.errors import DataError
from pipeline.data.videos.video_data import VideoData

Path = Callable[[], pathlib.Path]
_CLIP = 5  # frames of a training example
_EDGE = 4  # pixels at an edge that are not compared: chroma has half the resolution


def attempts(corpus: Corpus) -> Iterator[Attempt]:
    """Yield each clip's way through training and packing in turn."""
    yield from _attempts(corpus, _train, _pack)


def coded(corpus: Corpus) -> Iterator[Attempt]:
    """Yield each clip's way through reconstruction and latents in turn."""
    yield from _attempts(corpus, _reconstruct, _encode)


def _attempts(corpus: Corpus, *uses: Callable[[Corpus, Clip, Path], str]) -> Iterator[Attempt]:
    for clip in video_clips.every():
        path = corpus.later("videos", clip.name, clip.write)
        for use in uses:
            name = f"{use.__name__.removeprefix('_')} {clip.name[:60]}"
            yield Attempt(name, functools.partial(use, corpus, clip, path))


def compared(clip: Clip, frames: np.ndarray, start: int | None = 0) -> str:
    """Check frames [t h w 3] against those of the clip from `start` on, or from any place."""
    expected = clip.pictures()
    if frames.shape[1:] != expected.shape[1:]:
        raise Wrong(f"frames are {frames.shape[1:]}, not {expected.shape[1:]}")
    if len(frames) > len(expected):
        raise Wrong(f"there are {len(frames)} frames, not {len(expected)}")
    starts = range(len(expected) - len(frames) + 1) if start is None else [start]
    differences = [_difference(frames, expected[at : at + len(frames)]) for at in starts]
    if min(differences) > clip.within:
        raise Wrong(f"pixels differ by {min(differences)}, more than {clip.within}")
    return RIGHT


def _difference(frames: np.ndarray, expected: np.ndarray) -> int:
    """Return the largest difference of pixels that are not near an edge of the picture."""
    flat = np.ones(expected.shape[1:3], bool)
    for shift in itertools.product(range(-_EDGE, _EDGE + 1), repeat=2):
        flat &= (np.roll(expected[0], shift, (0, 1)) == expected[0]).all(-1)
    for rows in (flat, flat.T):
        rows[:_EDGE] = rows[-_EDGE:] = False
    return int(np.abs(frames.astype(np.int16) - expected)[:, flat].max())


def _cropped(clip: Clip) -> Clip:
    """Return a clip whose frames are the centre square of the given one's."""
    side = min(clip.size)

    def turn(pixels: np.ndarray) -> np.ndarray:
        shown = clip.turn(pixels)
        top, left = (shown.shape[0] - side) // 2, (shown.shape[1] - side) // 2
        return shown[top : top + side, left : left + side]

    return clip._replace(turn=turn)


def _example(source: str, path: pathlib.Path, clip: Clip) -> np.ndarray:
    options: Any = dict(image_size=min(clip.size), resize="none", num_frames=_CLIP)
    data = VideoData(source, str(path), eval_fraction=0, **options)
    with data.train(1, seed=0) as batches:
        return next(iter(batches))["video"][0]


def _train(corpus: Corpus, clip: Clip, written: Path) -> str:
    path = written()
    words = clip.words or ("frame" if len(clip.frames) < _CLIP else "")
    if words:
        with refusals_of(DataError, [clip.name, words]):
            _example("videos", path.parent, clip)
        return REFUSED
    try:
        example = _example("videos", path.parent, clip)
    except DataError as error:
        if clip.partial and clip.name in str(error):
            return REFUSED  # too few of its frames are left for an example
        raise Wrong(f"it was refused: {error}") from None
    return compared(_cropped(clip), example, None)


def _pack(corpus: Corpus, clip: Clip, written: Path) -> str:
    path = written()
    out = corpus.new("packed")
    raw = sum(clip.name.encode()) % 2
    how = ("--raw",) if raw else ("--clip_seconds", "0")
    answer = command("data", "pack", path.parent, "--kind", "videos", "--out", out, *how)
    if clip.words:
        return expect_refusal(answer, DataError.exit_code, clip.name, clip.words)
    if clip.partial and answer.code:  # its damage makes the only clip of this set unusable
        return expect_refusal(answer, DataError.exit_code, clip.name)
    expect_success(answer)
    if clip.partial or len(clip.frames) < _CLIP:
        return RIGHT
    return compared(_cropped(clip), _example("clips", out, clip), None)


def _reconstruct(corpus: Corpus, clip: Clip, written: Path) -> str:
    path = written()
    answer, result = _coded(corpus, clip, path, "reconstruct", "--side_by_side")
    if result is None:
        return expect_refusal(answer, DataError.exit_code, clip.name, clip.words)
    with av.open(result["out"]) as container:
        (stream,) = container.streams.video
        shape, sounds = stream.codec_context.sample_aspect_ratio, len(container.streams.audio)
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    if clip.shape is not None and shape != clip.shape:
        raise Wrong(f"pixels are {shape}, not {clip.shape}")
    if sounds < clip.sounds and not re.search("sound|audio|track", "; ".join(result["remarks"])):
        raise Wrong(f"{clip.sounds - sounds} tracks of sound are gone without a remark")
    width = clip.pictures().shape[2]
    if not clip.partial and len(frames) != len(clip.frames):
        raise Wrong(f"the result has {len(frames)} frames, not {len(clip.frames)}")
    return compared(clip, frames[:, : clip.pictures().shape[1], :width])


def _encode(corpus: Corpus, clip: Clip, written: Path) -> str:
    path = written()
    answer, result = _coded(corpus, clip, path, "encode")
    if result is None:
        return expect_refusal(answer, DataError.exit_code, clip.name, clip.words)
    out, report = corpus.new("decoded"), path.parent / "decode.json"
    where = ("--codec", corpus.video_codec, "--out", out, "--json", report)
    expect_success(command("decode", result["out"], *where, "--tile", "32"))
    (decoded,) = json.loads(report.read_text())["files"]
    for key in ("frames", "height", "width"):
        if decoded[key] != result[key]:
            raise Wrong(f"decode gives {decoded[key]} for {key}, and encode had {result[key]}")
    return RIGHT


def _coded(
    corpus: Corpus, clip: Clip, path: pathlib.Path, name: str, *more: str
) -> tuple[Any, dict[str, Any] | None]:
    """Run a codec command; return its answer and result, or None if it should be refused."""
    out, report = corpus.new(name), path.parent / f"{name}.json"
    where = ("--codec", corpus.video_codec, "--out", out, "--json", report)
    answer = command(name, path, *where, "--tile", "32", "--chunk", "4", *more)
    if clip.words:
        return answer, None
    expect_success(answer)
    (result,) = json.loads(report.read_text())["files"]
    expected = clip.pictures().shape
    if (result["height"], result["width"]) != expected[1:3]:
        raise Wrong(f"it is {result['height']}x{result['width']}, not {expected[1]}x{expected[2]}")
    if not clip.partial and result["frames"] != len(clip.frames):
        raise Wrong(f"there are {result['frames']} frames, not {len(clip.frames)}")
    if clip.remark and not re.search(clip.remark, "; ".join(result["remarks"])):
        raise Wrong(f"no remark {clip.remark!r} in {result['remarks']}")
    return answer, result
