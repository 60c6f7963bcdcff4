"""Encode image and video files into latents, one safetensors file each, for `strata decode`.

strata encode --codec CODEC IN... --out DIR [--tile PIXELS|auto] [--chunk FRAMES|auto]
              [--memory SIZE] [--fit tile|resize]
              [--label N|LIST|folders] [--json F]

The latents are the posterior means in float32. With --label, a codec that is conditioned on classes
encodes each file as one of its class, and `strata decode` finds the class with the latents. Files
that cannot be read are reported and skipped, and the exit code is then 65. The same command
resumes: it only encodes files that are missing in the output or have changed.

Example:
  strata encode --codec codec photos/ --out latents
"""

import math
import pathlib
from typing import Any

from absl import flags

from pipeline.cli import file_batch, file_labels
from pipeline.cli import flags as cli_flags
from pipeline.core.errors import DataError


def run(argv: list[str]) -> int:
    """Run the command of the module's docstring."""
    values = cli_flags.new()
    cli_flags.define_codec(values)
    cli_flags.define_path(values, "out", "Folder for the latents.", written="folder")
    file_batch.define_fit(values)
    file_batch.define_parts(values)
    file_labels.define(values)
    cli_flags.define_json(values)
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    folder, out = cli_flags.required(values, "codec"), cli_flags.required(values, "out")
    cli_flags.check_inputs(rest, "IN")

    from pipeline.pretrained.load import Codec

    codec = Codec.from_pretrained(folder)
    stream = cli_flags.report_stream(values.json)
    inputs, work, settings = _work(codec, rest, out, values)
    labels = file_labels.of_files(values.label, inputs, codec)

    def line(result: dict[str, Any]) -> str:
        return f"{result['latent_numbers']:,} latent numbers"

    results, failures = file_batch.each(
        "encode", inputs, out, codec, settings, work, line=line, stream=stream, labels=labels
    )
    if results:
        print(f"wrote the latents of {len(results)} files to {out}", file=stream)
    cli_flags.write_json({"codec": folder, "files": results, "failed": failures}, values.json)
    return DataError.exit_code if failures else 0


def _work(
    codec: Any, rest: list[str], out: str, values: flags.FlagValues
) -> tuple[list[file_batch.Input], file_batch.Work, dict[str, Any]]:
    """Return the input files, the work on each, and the settings that its result depends on."""
    from pipeline.codec.media import image_files

    if not file_batch.has_any_size(codec, values):
        inputs = image_files.find(rest)
        image_files.refuse_overwriting(inputs, out, ".safetensors")

        def in_squares(
            path: pathlib.Path, stem: pathlib.Path, advance: Any, label: int | None = None
        ) -> dict[str, Any]:
            target = file_batch.with_suffix(stem, ".safetensors")
            return _of_one_size(codec, path, target, values.fit, label)

        return inputs, in_squares, dict(fit=values.fit)

    from pipeline.codec.media import any_size_files
    from pipeline.data.listing import has_video_suffix

    parts = file_batch.parts(codec, values, step=codec.frames_step)
    inputs = image_files.find(rest, any_size_files.accepts)
    image_files.refuse_overwriting(inputs, out, ".safetensors")
    if any(has_video_suffix(path.name) for path, _ in inputs):
        file_batch.warn_of_chunks("encode", codec, parts["chunk"], causal=codec.encoder_causal)

    def in_parts(path: pathlib.Path, stem: pathlib.Path, advance: Any) -> dict[str, Any]:
        target = file_batch.with_suffix(stem, ".safetensors")
        result = any_size_files.encode(codec, path, target, **parts, advance=advance)
        return {"out": str(target), "latent_numbers": math.prod(result["latent_shape"])} | result

    return inputs, in_parts, parts | file_batch.budget(codec)


def _of_one_size(
    codec: Any, path: pathlib.Path, target: pathlib.Path, fit: str, label: int | None
) -> dict[str, Any]:
    from pipeline.codec.media import code_image, image_files, image_latents

    image, remarks = image_files.read(path, codec.image_shape[2])
    fitted = code_image.fit(codec, image, fit)
    coded = code_image.encode(codec, fitted, label)
    image_files.save(target, image_latents.pack(codec, coded, fitted, label))
    numbers = sum(z.size for z in coded)
    size = {"frames": 1, "height": image.shape[0], "width": image.shape[1]}
    return {
        "out": str(target),
        **size,
        "how": fitted.how,
        "remarks": remarks,
        "latent_numbers": numbers,
    }
