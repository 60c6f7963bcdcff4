"""Encode and decode image and video files with a codec, and measure the reconstructions.

strata reconstruct --codec CODEC IN... --out DIR [--side_by_side] [--json F]
                   [--tile PIXELS|auto] [--chunk FRAMES|auto] [--memory SIZE]
                   [--verify_chunks] [--fit tile|resize]
                   [--label N|LIST|folders]
                   [--perceptual.network N --perceptual.weights FILE --perceptual.heads FILE]

IN are files and folders of any size and mode. Videos are written as mp4 files with the frames,
times and sound of the originals. They need a codec that takes any size, which processes them in
constant memory: --chunk frames at a time, and with --tile in blended tiles. A codec of one size
cuts larger images into tiles of that size; --fit resize shrinks and crops them instead. LPIPS is
measured too if the files of a perceptual network are given.

With --label, a codec that is conditioned on classes is given those of the files; without it they
are unknown.

The results of a codec that is not causal depend on the chunks, and a remark says so; --chunk 0
codes each video whole, and --verify_chunks codes it both ways and compares.

A file that cannot be read is named, the others are processed, and the exit code is 65. Running the
same command again processes only files that are missing or changed.

Example:
  strata reconstruct --codec codec photos/ film.mp4 --out out --side_by_side
"""

import math
import pathlib
from typing import Any

from absl import flags

from pipeline.cli import file_batch, file_labels, frozen_networks
from pipeline.cli import flags as cli_flags
from pipeline.core.errors import ConfigError, DataError
from pipeline.metrics import catalogue
from pipeline.reporting import captions

PROTOCOL = (
    "each whole image or frame is compared with the pixels that were encoded, in 8 bits, before "
    "any video codec; means over a file's frames, then over the files that have the metric "
    "(num_files)"
)


def run(argv: list[str]) -> int:
    """Run the command described in the module's docstring; return its exit code."""
    values = cli_flags.new()
    cli_flags.define_codec(values)
    cli_flags.define_path(values, "out", "Folder for the PNG and mp4 files.", written="folder")
    file_batch.define_fit(values)
    file_batch.define_parts(values)
    file_labels.define(values)
    frozen_networks.define_perceptual(values)
    flags.DEFINE_bool(
        "side_by_side", False, "Write the original to the left of each result.", flag_values=values
    )
    flags.DEFINE_bool(
        "verify_chunks",
        False,
        "Also code each video whole, and fail if a causal codec's frames differ.",
        flag_values=values,
    )
    cli_flags.define_json(values)
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    folder, out = cli_flags.required(values, "codec"), cli_flags.required(values, "out")
    cli_flags.check_inputs(rest, "IN")

    from pipeline.pretrained.load import Codec

    perceptual = frozen_networks.perceptual(values)
    codec = Codec.from_pretrained(folder)
    stream = cli_flags.report_stream(values.json)
    inputs, work, settings = _work(codec, rest, out, values, perceptual)
    labels = file_labels.of_files(values.label, inputs, codec)
    results, failures = file_batch.each(
        "reconstruct",
        inputs,
        out,
        codec,
        settings,
        work,
        line=captions.of_reconstruction,
        stream=stream,
        labels=labels,
    )
    summary = _summary(results, perceptual)
    if results:
        print(
            f"mean of {len(results)} files: {captions.of_reconstruction(summary)}: {out}",
            file=stream,
        )
    content = {
        "codec": folder,
        "side_by_side": values.side_by_side,
        "files": results,
        "failed": failures,
        **summary,
    }
    cli_flags.write_json(content, values.json)
    return DataError.exit_code if failures else 0


def _summary(results: list[dict[str, Any]], perceptual: Any) -> dict[str, Any]:
    """Return means over the files that have a metric, the number of files, and the protocol."""
    figures = [captions.figures(result) for result in results]
    names = dict.fromkeys(name for found in figures for name in found) or dict.fromkeys(
        metric.name
        for metric in catalogue.entries()
        if metric.in_summary and metric.modality == "image"
    )
    values = {name: [found[name] for found in figures if name in found] for name in names}
    means = {name: sum(found) / len(found) if found else None for name, found in values.items()}
    details = {perceptual.name: perceptual.detail} if perceptual else {}
    about = {"num_files": {name: len(found) for name, found in values.items()}}
    return means | about | {"protocol": f"{catalogue.protocol(names, details)}; {PROTOCOL}"}


def _work(
    codec: Any, rest: list[str], out: str, values: flags.FlagValues, perceptual: Any
) -> tuple[list[file_batch.Input], file_batch.Work, dict[str, Any]]:
    """Return the input files, the work on each, and the settings that it depends on."""
    from pipeline.codec.media import image_files

    further = {perceptual.name: perceptual} if perceptual else {}
    shown: dict[str, Any] = dict(side_by_side=values.side_by_side)
    measured = dict(
        figures="with ms_ssim and flicker", perceptual=perceptual.fingerprint if perceptual else ""
    )
    takes_any_size = file_batch.has_any_size(codec, values)
    if values.verify_chunks and not (takes_any_size and codec.is_video):
        raise ConfigError("--verify_chunks is for video codecs: this one is an image codec")
    if not takes_any_size:
        inputs = image_files.find(rest)
        image_files.refuse_overwriting(inputs, out, ".png")
        fit = dict(fit=values.fit)

        def in_squares(
            path: pathlib.Path, stem: pathlib.Path, advance: Any, label: int | None = None
        ) -> dict[str, Any]:
            target = file_batch.with_suffix(stem, ".png")
            return _reconstruct(codec, path, target, **fit, **shown, label=label, further=further)

        return inputs, in_squares, fit | shown | measured

    from pipeline.codec.media import any_size_files
    from pipeline.data.listing import has_video_suffix

    parts = file_batch.parts(codec, values, step=codec.frames_step)
    if values.verify_chunks:  # only then, so that results of earlier versions count as done
        shown["verify_chunks"] = True
    inputs = image_files.find(rest, any_size_files.accepts)
    for suffix in (".png", ".mp4"):
        image_files.refuse_overwriting(inputs, out, suffix)
    if any(has_video_suffix(path.name) for path, _ in inputs):
        file_batch.warn_of_chunks("reconstruct", codec, parts["chunk"], causal=codec.causal)

    def in_parts(path: pathlib.Path, stem: pathlib.Path, advance: Any) -> dict[str, Any]:
        target = any_size_files.target_of(path, stem)
        result = any_size_files.reconstruct(
            codec, path, target, **parts, **shown, further=further, advance=advance
        )
        latents = codec.latent_shape(result["frames"], result["height"], result["width"])
        pixels = result["frames"] * result["height"] * result["width"] * codec.image_shape[2]
        ratio = {"values_per_latent": round(pixels / math.prod(latents), 2)}
        return {"out": str(target)} | result | ratio

    return inputs, in_parts, parts | file_batch.budget(codec) | shown | measured


def _reconstruct(
    codec: Any,
    path: pathlib.Path,
    target: pathlib.Path,
    *,
    fit: str,
    side_by_side: bool,
    label: int | None,
    further: dict[str, Any],
) -> dict[str, Any]:
    import numpy as np

    from pipeline.codec.media import code_image, image_files
    from pipeline.metrics.functions.frame_quality import FrameQuality

    image, remarks = image_files.read(path, codec.image_shape[2])
    fitted = code_image.fit(codec, image, fit)
    recon = code_image.reconstruct(codec, fitted, label)
    shown = np.concatenate([fitted.shown, recon], axis=1) if side_by_side else recon
    image_files.save_png(target, shown)
    quality = FrameQuality(further)
    quality.add(fitted.shown, recon)
    about = {
        "out": str(target),
        "frames": 1,
        "height": image.shape[0],
        "width": image.shape[1],
        "how": fitted.how,
        "remarks": remarks,
    }
    return about | quality.means()
