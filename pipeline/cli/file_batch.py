"""What reconstruct, encode and decode share: flags, and going through files, on after bad ones and after a stop."""

import contextlib
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import flags

from pipeline.core.errors import ConfigError

Work = Callable[
    [pathlib.Path, str, Any], dict[str, Any]
]  # (file, name of the result, advance) -> result with "out"


def define_parts(values: flags.FlagValues) -> None:
    """--tile and --chunk."""
    flags.DEFINE_integer(
        "tile",
        None,
        "Side in pixels of the tiles that large frames are cut into.",
        flag_values=values,
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "chunk",
        None,
        "Frames at a time (of strata decode: latent frames), which bounds memory; when not given 8 (2), or up to 32 "
        "(8) of frames with half the pixels of 128x128 or fewer, where that changes nothing; 0 for whole clips.",
        flag_values=values,
        lower_bound=0,
    )


def define_fit(values: flags.FlagValues) -> None:
    """--fit, of reconstruct and encode."""
    flags.DEFINE_enum(
        "fit",
        "tile",
        ["tile", "resize"],
        "What to do with a picture that is not of the model's size: cut it into tiles, or shrink and crop it.",
        flag_values=values,
    )


def has_any_size(codec: Any, values: flags.FlagValues) -> bool:
    """Whether a codec goes through files in parts.

    Raises:
      ConfigError: flags that are for the other kind.
    """
    from pipeline.codec.any_size import ConvCodec

    free = isinstance(codec, ConvCodec)
    if free and "fit" in values and values["fit"].present:
        raise ConfigError(
            "--fit is for codecs of one size: this one takes any, and --tile cuts large frames"
        )
    if not free and (values.tile is not None or values.chunk is not None):
        raise ConfigError(
            f"--tile and --chunk are for codecs of any size: this one is of {codec.image_shape}"
        )
    if free and values.chunk is not None and not codec.is_video:
        raise ConfigError("--chunk is for codecs of video: this one is of images")
    return free


def parts(codec: Any, values: flags.FlagValues, *, frames_to_one: int) -> dict[str, Any]:
    """`tile` and `chunk` as given, or else "auto"; 0 is the whole clip.

    `frames_to_one` is what a chunk must be a multiple of: of frames, the codec's temporal_factor.

    Raises:
      ConfigError: the codec cannot work in such parts.
    """
    from pipeline.codec.tiling import padding

    space, tile = codec.spatial_factor, values.tile
    if tile is not None and not padding.is_tile(tile, space):
        raise ConfigError(
            f"--tile {tile} must be a multiple of {space} pixels, this codec's to a latent, from {2 * space} on"
        )
    if values.chunk and not padding.is_chunk(values.chunk, frames_to_one):
        few = f"{values.chunk // frames_to_one * frames_to_one or frames_to_one}"
        raise ConfigError(
            f"--chunk {values.chunk} must be a multiple of {frames_to_one} frames, this codec's to a latent, such as "
            f"{few}; or 0, for whole clips"
        )
    return dict(tile=tile, chunk="auto" if values.chunk is None else values.chunk)


def tell_of_chunks(command: str, codec: Any, chunk: int | str, *, causal: bool) -> None:
    """Says on standard error that results depend on the chunks, where they do; each film's remarks say it too.

    `causal` is whether that side of the codec is which the command uses.
    """
    if codec.is_video and not causal and chunk:
        of = "" if isinstance(chunk, str) else f" of {chunk}"
        print(
            f"strata {command}: this codec is not causal: films in chunks{of} come out otherwise than whole; "
            "--chunk 0 takes them whole, in memory that grows with their length",
            file=sys.stderr,
        )


def each(
    command: str,
    inputs: Sequence[tuple[pathlib.Path, str]],
    out: pathlib.Path,
    codec: Any,
    settings: dict[str, Any],
    work: Work,
    *,
    line: Callable[[dict[str, Any]], str],
    stream: Any,
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Results of the files that work, and {path, error} of those that are no good, both told at once.

    What this command has done in this folder before, with this codec and these `settings`, is not done again. `line`
    tells of a result in words.
    """
    from pipeline.codec.media import image_files
    from pipeline.codec.media.journal import Journal

    built = {key: codec.config.get(key) for key in ("model", "dtype", "input")}
    journal = Journal(out, command=command, codec=[codec.fingerprint, built], **settings)

    def told(path: pathlib.Path, name: str) -> dict[str, Any]:
        with _progress(path.name) as advance:
            result = journal.once(path, name, lambda: work(path, name, advance))
        print("; ".join([f"{path}: {line(result)}", *_said_of(result)]), file=stream, flush=True)
        return result

    def failed(message: str) -> None:
        print(f"strata {command}: {message}", file=sys.stderr, flush=True)

    return image_files.for_each(inputs, told, failed)


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on a terminal; yields what moves it to so many frames, of how many there may be."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} frames"))
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _said_of(result: dict[str, Any]) -> list[str]:
    """How a file was coded, in words."""
    said = [result["how"]] if "how" in result else []
    if result["frames"] > 1:
        said.append(f"{result['frames']} frames of {result['height']}x{result['width']}")
    return [*said, *result["remarks"], *(["done before"] if result.get("done_before") else [])]
