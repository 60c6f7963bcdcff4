"""Pictures of a codec's latents for `strata sample`: interpolations and traversals."""

import fractions
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from absl import flags
from jaxtyping import UInt8

from pipeline.cli import flags as cli_flags
from pipeline.cli import opened
from pipeline.core import modalities
from pipeline.core.errors import ConfigError, DataError
from pipeline.storage.paths import as_path

REACH = 3.0  # deviations to either side of a traversal
STILLS, FRAMES = 9, 50  # steps of a walk by default: in a PNG or of clips, and in an mp4 of images
_EXAMPLES = {"fixed_size": 64, "any_size": 8}  # held-out examples that the KL is averaged over
_SHOWN_FRAMES = 8  # of a clip in a PNG

# A PNG's pixels, or an mp4's frames.
Canvas = UInt8[np.ndarray, "*t height width 3"]


def define(values: flags.FlagValues) -> None:
    """Define --traverse, --interpolate and the flags that are theirs alone."""
    cli_flags.define_path(
        values,
        "codec",
        "Codec in place of a run: a folder, or OWNER/NAME on a hub. For images and clips, it takes "
        "--interpolate or --traverse.",
    )
    flags.DEFINE_bool(
        "interpolate",
        False,
        "Walk from the latents of A to those of B; each is a file or a held-out example's number.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "traverse",
        False,
        "Walk along each latent dimension, from A or else from the prior's mean.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "along", "linear", ["linear", "slerp"], "Path of --interpolate.", flag_values=values
    )
    flags.DEFINE_integer(
        "dimensions",
        10,
        "Rows of --traverse, those of the largest KL; 0 for all.",
        flag_values=values,
        lower_bound=0,
    )
    flags.DEFINE_integer("frames", 17, "Most frames of a clip.", flag_values=values, lower_bound=1)
    flags.DEFINE_float("fps", 25.0, "Frames per second of an mp4.", flag_values=values)


def check(values: flags.FlagValues, rest: list[str]) -> bool:
    """Return whether a walk is wanted. Raises ConfigError for flags that do not fit together."""
    if values.interpolate and values.traverse:
        raise ConfigError("--interpolate and --traverse are two pictures: give one of them")
    if not values.interpolate and not values.traverse:
        if rest:
            raise ConfigError(f"there is no argument {rest[0]!r}: see strata sample --help")
        return False
    name = "--interpolate" if values.interpolate else "--traverse"
    for other in ("reconstruct", "recognize", "mean", "batch_norm_passes", "guidance"):
        if values[other].value:
            raise ConfigError(f"--{other} does not go with {name}")
    if values.interpolate and len(rest) != 2:
        raise ConfigError(
            f"--interpolate takes two arguments, A and B, not {len(rest)}: files of images or "
            "clips, or numbers of held-out examples"
        )
    if values.traverse and len(rest) > 1:
        raise ConfigError(f"--traverse takes at most one argument, A, not {len(rest)}")
    if bool(values.codec) == bool(values.workdir):
        raise ConfigError(f"{name} needs --workdir or --codec, and not both")
    if values.num is not None and values.num < 2:
        raise ConfigError(f"--num {values.num}: a walk has at least 2 steps")
    if not 0.1 <= values.fps <= 1000:
        raise ConfigError(f"--fps {values.fps:g} must be between 0.1 and 1000")
    return True


def draw(values: flags.FlagValues, rest: list[str]) -> tuple[Canvas, str, dict[str, Any]]:
    """Return the picture, what it shows in words, and figures for --json.

    Raises:
      ConfigError, DataError: an example or the codec cannot be used.
    """
    from pipeline import build

    codec, config, step = opened.codec_of(values)
    modality = modalities.of_model(codec.modeldef.skeleton())
    if not modality.has_pixels:
        raise ConfigError(f"walks through latents show images and clips, not {modality.plural}")
    data = None if config is None else build.dataset(config)
    is_film = values.out.endswith(".mp4")
    num = values.num or (FRAMES if is_film and not _is_video(codec) else STILLS)
    given = [_example(codec, data, text, values.frames) for text in rest]
    if values.interpolate:
        rows, labels, figures = _interpolation(codec, given, num, values)
    else:
        rows, labels, figures = _traversal(codec, data, given, num, values)
    what = "interpolation" if values.interpolate else "traversal"
    figures = {"what": what, "num": num, **figures}
    canvas = (_film if is_film else _still)(rows, labels)
    source = f"of {values.codec}" if step is None else f"at step {step}"
    return canvas, f"{what} of {num} steps {source}", {"step": step, **figures}


def save_film(
    path: pathlib.Path, frames: UInt8[np.ndarray, "t height width 3"], fps: float
) -> None:
    """Write an mp4. Raises ConfigError if it cannot be written."""
    from pipeline.codec.media.video_io import Timing, VideoWriter

    rate = fractions.Fraction(fps).limit_denominator(1001)
    odd = [(0, side % 2) for side in frames.shape[1:3]]  # players expect even sides
    frames = np.pad(frames, ((0, 0), *odd, (0, 0)), mode="edge")
    with VideoWriter(path, Timing(1 / rate, rate)) as writer:
        for number, frame in enumerate(frames):
            writer.write(frame, number)


def _is_video(codec: Any) -> bool:
    return getattr(codec, "is_video", False)


def _interpolation(
    codec: Any, given: list[np.ndarray], num: int, values: flags.FlagValues
) -> tuple[list[np.ndarray], list[str], dict[str, Any]]:
    """Return one row of images or clips [num ...], its label, and figures."""
    from pipeline.codec import latent_walks

    frames = min(len(example) for example in given)  # of clips, which may differ in length
    label = _label(codec, values)
    batches = [_batch_of(codec, example[:frames]) for example in given]
    start, end = (codec.encode(batch, **label).mode() for batch in batches)
    row = _decoded(codec, latent_walks.between(start, end, num, values.along), label)
    return [row], [], {"along": values.along}


def _traversal(
    codec: Any, data: Any, given: list[np.ndarray], num: int, values: flags.FlagValues
) -> tuple[list[np.ndarray], list[str], dict[str, Any]]:
    """Return a row of images or clips [num ...] per dimension, labels, and figures."""
    from pipeline.codec import latent_walks
    from pipeline.codec.any_size import AnySizeCodec

    kind = "any_size" if isinstance(codec, AnySizeCodec) else "fixed_size"
    start = _batch_of(codec, given[0]) if given else None
    if data is not None:
        examples = _held_out(data, range(_EXAMPLES[kind]))
        examples = np.concatenate([_batch_of(codec, _fitted(codec, each)) for each in examples])
    elif start is not None:
        examples = start
    else:
        raise ConfigError("--traverse of a --codec needs A, an image or clip to walk from")
    label = _label(codec, values)
    try:
        axes = latent_walks.axes_of(codec, examples, start, **label)
    except DataError as error:
        raise ConfigError(f"--traverse: {error}") from None
    steps = np.linspace(-REACH, REACH, num)
    chosen = axes.largest(values.dimensions)
    rows = [_decoded(codec, axes.walk(dimension, steps), label) for dimension in chosen]
    kl = [float(axes.kl[dimension]) for dimension in chosen]
    labels = [f"z{dimension}, {nats:.2f} nats" for dimension, nats in zip(chosen, kl)]
    return rows, labels, {"dimensions": chosen, "kl": kl, "deviations": REACH}


def _label(codec: Any, values: flags.FlagValues) -> dict[str, int]:
    """Return the argument `label` of the codec, or nothing without --label."""
    from pipeline.cli.sample import parse_labels

    found = parse_labels(values.label, codec)
    if len(found) > 1:
        raise ConfigError(f"--label {','.join(values.label)}: a walk has one class")
    return {"label": found[0]} if found else {}


def _batch_of(codec: Any, frames: np.ndarray) -> np.ndarray:
    """Return the frames [t h w c] of an example as the codec's batch of one."""
    return frames[None] if _is_video(codec) else frames[:1]


def _decoded(codec: Any, z: Any, label: dict[str, int]) -> np.ndarray:
    """Decode one step after another for maps of any size, which may be large; vectors at once."""
    from pipeline.codec.any_size import AnySizeCodec

    if not isinstance(codec, AnySizeCodec):
        return np.asarray(codec.decode(z, **label))
    return np.concatenate([np.asarray(codec.decode(each[None])) for each in z])


def _example(codec: Any, data: Any, text: str, frames: int) -> np.ndarray:
    """Return an example [t h w c] of the codec's size: a file, or a held-out example by number."""
    from pipeline.storage import transfer

    if text.isdecimal() and not pathlib.Path(text).exists():
        if data is None:
            raise ConfigError(f"{text} is a held-out example's number, which needs --workdir")
        if int(text) >= data.num_eval_examples:
            raise ConfigError(
                f"there is no held-out example {text}: they have numbers from 0 to "
                f"{data.num_eval_examples - 1}"
            )
        return _fitted(codec, _held_out(data, [int(text)])[0][:frames])
    with transfer.temporary_copy(as_path(text)) as path:
        return _fitted(codec, _read(codec, path, frames))


def _read(codec: Any, path: pathlib.Path, frames: int) -> np.ndarray:
    import itertools

    from pipeline.codec.media import image_files
    from pipeline.codec.media.video_io import VideoReader
    from pipeline.data.listing import has_video_suffix

    if not has_video_suffix(path.name):
        return image_files.read(path, codec.image_shape[2])[0][None]
    if not _is_video(codec):
        raise ConfigError(f"{path} is a video, but this codec takes images")
    with VideoReader(path) as reader:
        return np.stack(list(itertools.islice(reader, frames)))


def _held_out(data: Any, numbers: Iterable[int]) -> list[np.ndarray]:
    """Return held-out examples [t h w c] by their numbers, as far as there are so many."""
    from pipeline.core.types import pixels_of

    found: list[np.ndarray] = []
    wanted, at = set(numbers), 0
    # All, because a smaller number would take a part of each kind of clip, in another order.
    with data.evaluate(16) as batches:
        for batch in batches:
            rows = np.asarray(pixels_of(batch))[batch["mask"] > 0]
            found += [row for number, row in enumerate(rows, at) if number in wanted]
            at += len(rows)
            if at > max(wanted):
                break
    return [each if each.ndim == 4 else each[None] for each in found]


def _fitted(codec: Any, frames: np.ndarray) -> np.ndarray:
    """Shrink and crop an example [t h w c] to the model's size: the centre square."""
    from pipeline.data.images.transforms import Transform

    size, _, channels = codec.image_shape
    transform = Transform(size, channels, resize="fit")
    return np.stack([transform.square(frame, 0, 0) for frame in frames])


def _still(rows: list[np.ndarray], labels: list[str]) -> Canvas:
    """Return a grid: of images one row for each walk, of clips their middle frames.

    A single walk of clips has a row for each of its steps, with frames of the whole clip.
    """
    from pipeline.core import grids

    if rows[0].ndim == 5 and len(rows) == 1:
        clips = rows[0]
        count = min(_SHOWN_FRAMES, clips.shape[1])
        frames = np.linspace(0, clips.shape[1] - 1, count).round().astype(int)
        return grids.grid(clips[:, frames].reshape(-1, *clips.shape[2:]), columns=count)
    images = [row[:, row.shape[1] // 2] if row.ndim == 5 else row for row in rows]
    return grids.grid(np.concatenate(images), columns=len(images[0]), labels=labels)


def _film(rows: list[np.ndarray], labels: list[str]) -> Canvas:
    """Return frames: of images the steps one after another, of clips all steps side by side."""
    from pipeline.core import grids

    if rows[0].ndim == 4:
        return np.stack(
            [grids.grid(np.stack(images), columns=1, labels=labels) for images in zip(*rows)]
        )
    clips, columns = np.concatenate(rows), len(rows[0])
    frames = range(clips.shape[1])
    return np.stack([grids.grid(clips[:, t], columns=columns, labels=labels) for t in frames])
