"""Shared parts of reconstruct, encode and decode: flags, and the resumable loop over files."""

import itertools
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.core import progress
from pipeline.core.errors import ConfigError
from pipeline.storage import ownership, transfer
from pipeline.storage.paths import Path, as_path

# A file, local or in a bucket, and the relative path of its result without suffix.
Input = tuple[pathlib.Path | Path, str]
# (local file, local path of the result without suffix, advance, and label=... of files with
# labels) -> result with "out"
Work = Callable[..., dict[str, Any]]

_DOING = {"reconstruct": "reconstructing", "encode": "encoding", "decode": "decoding"}


def define_parts(values: flags.FlagValues) -> None:
    """Define --tile, --chunk and --memory."""
    cli_flags.define_number_or_auto(
        values,
        "tile",
        'Side in pixels of the tiles into which large frames are cut; "auto" cuts into the largest '
        "for which --memory suffices, if whole frames do not fit.",
        least=1,
    )
    cli_flags.define_number_or_auto(
        values,
        "chunk",
        "Frames per chunk (for strata decode: latent frames), which bounds memory; 0 for whole "
        "clips. By default 8 (2), or up to 32 (8) if a frame has at most half the pixels of "
        '128x128 and the result does not depend on it; "auto" is as many of these as --memory '
        "suffices for.",
        least=0,
    )
    flags.DEFINE_string(
        "memory",
        None,
        "What --tile auto and --chunk auto may take on the device, such as 8GiB, with the weights; "
        "by default nine tenths of what it has.",
        flag_values=values,
    )


def define_fit(values: flags.FlagValues) -> None:
    """Define --fit, a flag of reconstruct and encode."""
    flags.DEFINE_enum(
        "fit",
        "tile",
        ["tile", "resize"],
        "How to code an image of another size than the model's: cut it into tiles, or shrink and "
        "crop it.",
        flag_values=values,
    )


def has_any_size(codec: Any, values: flags.FlagValues) -> bool:
    """Return whether the codec takes images and videos of any size.

    Raises:
      ConfigError: a flag is for the other kind of codec.
    """
    from pipeline.codec.any_size import AnySizeCodec
    from pipeline.core import modalities

    free = isinstance(codec, AnySizeCodec)
    modality = modalities.of_model(codec.modeldef.skeleton())
    if not modality.has_pixels:
        raise ConfigError(f"this codec is for {modality.plural}, not for files of images and clips")
    if free and "fit" in values and values["fit"].present:
        raise ConfigError(
            "--fit is for codecs of one size: this one takes any, and --tile cuts large frames"
        )
    given = [values[name].value is not None for name in ("tile", "chunk", "memory")]
    if not free and any(given):
        raise ConfigError(
            "--tile, --chunk and --memory are for codecs of any size: this one takes "
            f"{codec.image_shape}"
        )
    if free and values.chunk is not None and not codec.is_video:
        raise ConfigError("--chunk is for video codecs: this one is an image codec")
    return free


def parts(codec: Any, values: flags.FlagValues, *, step: int) -> dict[str, Any]:
    """Return `tile` (None for whole frames) and `chunk` (None by default, 0 for whole clips).

    Either may be "auto". A chunk must be a multiple of `step`, the codec's frames_step or
    latents_step. The codec takes --memory as its budget.

    Raises:
      ConfigError: the codec cannot work with such a tile or chunk, or --memory is no size, or for
        nothing.
    """
    from pipeline.codec.memory import byte_sizes
    from pipeline.codec.tiling import padding

    space, tile, chunk = codec.spatial_factor, values.tile, values.chunk
    if isinstance(tile, int) and not padding.is_tile(tile, space):
        raise ConfigError(
            f"--tile {tile} must be a multiple of {space} pixels (this codec's spatial factor) and "
            f"at least {2 * space}"
        )
    if isinstance(chunk, int) and chunk and not padding.is_chunk(chunk, step):
        few = f"{chunk // step * step or step}"
        of = "windows" if codec.windows else "temporal factor"
        raise ConfigError(
            f"--chunk {chunk} must be a multiple of {step} frames (this codec's {of}), such as "
            f"{few}, or 0 for whole clips"
        )
    if values.memory is not None:
        if "auto" not in (tile, chunk):
            raise ConfigError(
                "--memory is what --tile auto and --chunk auto may take: give one of them"
            )
        codec.memory = byte_sizes.parse(values.memory, "--memory")
    return dict(tile=tile, chunk=chunk)


def budget(codec: Any) -> dict[str, Any]:
    """Return the setting --memory, on which results depend where tiles or chunks are "auto"."""
    return {} if codec.memory is None else {"memory": codec.memory}


def warn_of_chunks(command: str, codec: Any, chunk: int | str | None, *, causal: bool) -> None:
    """Warn on standard error if results depend on the chunks; the remarks of each video say so too.

    `causal` is whether the part of the codec that the command uses (encoder, decoder or both) is
    causal.
    """
    if codec.is_video and not causal and chunk != 0 and codec.windows is None:
        of = f" of {chunk}" if isinstance(chunk, int) else ""
        print(
            f"strata {command}: this codec is not causal: results in chunks{of} differ from those "
            "of whole clips; --chunk 0 takes clips whole, in memory that grows with their length",
            file=sys.stderr,
        )


def each(
    command: str,
    inputs: Sequence[Input],
    out: str,
    codec: Any,
    settings: dict[str, Any],
    work: Work,
    *,
    line: Callable[[dict[str, Any]], str],
    stream: Any,
    labels: Mapping[str, int] | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Run `work` on each file; return the results, and {path, error} of the files that failed.

    Each result, put into words by `line`, and each failure is printed as soon as it is known. Files
    that this command has already finished in this folder, with this codec and these `settings`, are
    skipped. Files in a bucket are worked on in a temporary folder, one at a time. `labels` are by
    the names of the results; they count as settings.

    Raises:
      ConfigError: another process writes to the folder, or it cannot be written.
    """
    built = {key: codec.config.get(key) for key in ("model", "dtype", "input")}
    with ownership.owned(out) as owner:

        def owned(source: pathlib.Path, folder: pathlib.Path, name: str, advance: Any) -> Any:
            condition = {"label": labels[name]} if labels else {}
            result = work(source, folder / name, advance, **condition)
            owner.check()  # before an upload
            return result

        about = [codec.fingerprint, built]
        settings = settings | ({"labels": dict(labels)} if labels else {})
        return _each(command, inputs, out, about, settings, owned, line, stream)


def _each(
    command: str,
    inputs: Sequence[Input],
    out: str,
    codec: list[Any],
    settings: dict[str, Any],
    work: Callable[[pathlib.Path, pathlib.Path, str, Any], dict[str, Any]],
    line: Callable[[dict[str, Any]], str],
    stream: Any,
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    from pipeline.codec.media import image_files
    from pipeline.codec.media.journal import Journal

    journal = Journal(as_path(out), command=command, codec=codec, **settings)

    def finished(path: pathlib.Path | Path, name: str, advance: Any) -> dict[str, Any]:
        with (
            transfer.temporary_copy(path) as source,
            transfer.written_folder(out, name="--out") as folder,
        ):
            result = work(source, folder, name, advance)
            place = pathlib.Path(result["out"]).relative_to(folder)
        return result | {"out": str(as_path(out) / place)}

    numbers = itertools.count(1)

    def process(path: pathlib.Path | Path, name: str) -> dict[str, Any]:
        number = f" ({next(numbers)} of {len(inputs)})" if len(inputs) > 1 else ""
        what = f"{_DOING[command]} {path.name}{number}"
        with progress.task(what, unit="frames", says_end=False) as frames:
            result = journal.once(path, name, lambda: finished(path, name, frames.update))
        print("; ".join([f"{path}: {line(result)}", *_remarks(result)]), file=stream, flush=True)
        return result

    def report_failure(message: str) -> None:
        print(f"strata {command}: {message}", file=sys.stderr, flush=True)

    return image_files.for_each(inputs, process, report_failure)


def with_suffix(stem: pathlib.Path, suffix: str) -> pathlib.Path:
    """Return a path with a suffix after its name, which may have dots."""
    return stem.with_name(stem.name + suffix)


def _remarks(result: dict[str, Any]) -> list[str]:
    """Return how a file was coded, in words."""
    remarks = [result["how"]] if "how" in result else []
    if result["frames"] > 1:
        remarks.append(f"{result['frames']} frames of {result['height']}x{result['width']}")
    return [*remarks, *result["remarks"], *(["done before"] if result.get("done_before") else [])]
