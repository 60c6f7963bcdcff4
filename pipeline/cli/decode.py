"""Decode the latents that `strata encode` wrote, images into PNG files and videos into mp4 files.

strata decode --codec CODEC IN... --out DIR [--tile PIXELS|auto]
              [--chunk LATENT_FRAMES|auto] [--memory SIZE] [--json F]

IN are .safetensors files and folders of them. Files that cannot be decoded are reported and
skipped, and the exit code is then 65. The same command resumes: it only decodes files that are
missing in the output or have changed.

Example:
  strata decode --codec codec latents/ --out out
"""

import pathlib
from typing import Any

from absl import flags

from pipeline.cli import file_batch
from pipeline.cli import flags as cli_flags
from pipeline.core.errors import DataError


def run(argv: list[str]) -> int:
    """Run the command of the module's docstring."""
    values = cli_flags.new()
    cli_flags.define_codec(values)
    cli_flags.define_path(values, "out", "Folder for the PNG and mp4 files.", written="folder")
    file_batch.define_parts(values)
    cli_flags.define_json(values)
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    folder, out = cli_flags.required(values, "codec"), cli_flags.required(values, "out")
    cli_flags.check_inputs(rest, "IN")

    from pipeline.codec.media import image_files
    from pipeline.pretrained.load import Codec

    inputs = image_files.find(rest, lambda name: name.lower().endswith(".safetensors"))
    codec: Any = Codec.from_pretrained(folder)
    stream = cli_flags.report_stream(values.json)

    work, settings = _work(codec, values)

    def line(result: dict[str, Any]) -> str:
        return f"{result['height']}x{result['width']}"

    results, failures = file_batch.each(
        "decode", inputs, out, codec, settings, work, line=line, stream=stream
    )
    if results:
        print(f"wrote {len(results)} files to {out}", file=stream)
    cli_flags.write_json({"codec": folder, "files": results, "failed": failures}, values.json)
    return DataError.exit_code if failures else 0


def _work(codec: Any, values: flags.FlagValues) -> tuple[file_batch.Work, dict[str, Any]]:
    """Return the work on each file, and the settings that its result depends on."""
    if not file_batch.has_any_size(codec, values):
        return lambda path, stem, advance: _of_one_size(codec, path, stem), {}

    from pipeline.codec.media import any_size_files

    parts = file_batch.parts(codec, values, step=codec.latents_step)
    file_batch.warn_of_chunks("decode", codec, parts["chunk"], causal=codec.decoder_causal)

    def in_parts(path: pathlib.Path, stem: pathlib.Path, advance: Any) -> dict[str, Any]:
        return any_size_files.decode(codec, path, stem, **parts, advance=advance)

    return in_parts, parts | file_batch.budget(codec)


def _of_one_size(codec: Any, path: pathlib.Path, stem: pathlib.Path) -> dict[str, Any]:
    from pipeline.codec.media import code_image, image_files, image_latents

    stored = image_latents.unpack(path, codec)
    target = file_batch.with_suffix(stem, ".png")
    image = code_image.decode(codec, stored.latents, stored.tiling, stored.label)
    image_files.save_png(target, image)
    size = {"frames": 1, "height": stored.tiling.height, "width": stored.tiling.width}
    return {"out": str(target), **size, "how": stored.how, "remarks": []}
