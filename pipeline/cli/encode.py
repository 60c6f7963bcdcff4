"""Encodes image files into latents: one safetensors file each, which `strata decode` turns into pictures again.

strata encode --codec CODEC IN... --out DIR [--fit tile|resize] [--json F]

The latents are the posterior means, float32. A file that cannot be read is named and the others are done; the exit
code is then 65.
"""

import pathlib
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.cli.reconstruct import define_fit, say_failed
from pipeline.errors import DataError


def run(argv: list[str]) -> int:
    """See the module's docstring."""
    values = cli_flags.new()
    flags.DEFINE_string("codec", None, "Folder of the codec.", flag_values=values)
    flags.DEFINE_string("out", None, "Folder for the latents.", flag_values=values)
    define_fit(values)
    flags.DEFINE_string("json", None, "Where to write the result; - is standard output.", flag_values=values)
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    folder, out = cli_flags.required(values, "codec"), pathlib.Path(cli_flags.required(values, "out"))

    from pipeline.codec import files, latents, picture
    from pipeline.codec.codec import Codec

    inputs = files.find(rest)
    files.refuse_overwriting(inputs, out, ".safetensors")
    codec = Codec.from_pretrained(folder)
    stream = cli_flags.report_stream(values.json)

    def work(path: pathlib.Path, name: str) -> dict[str, Any]:
        image, remarks = files.read(path, codec.image_shape[2])
        fitted = picture.fit(codec, image, values.fit)
        coded = picture.encode(codec, fitted)
        target = out / f"{name}.safetensors"
        files.save(target, latents.pack(codec, coded, fitted))
        numbers = sum(z.size for z in coded)
        print("; ".join([f"{path}: {numbers:,} latent numbers", fitted.how, *remarks]), file=stream, flush=True)
        size = {"height": image.shape[0], "width": image.shape[1]}
        return {"out": str(target), **size, "how": fitted.how, "remarks": remarks, "latent_numbers": numbers}

    results, failures = files.for_each(inputs, work, say_failed("encode"))
    if results:
        print(f"latents of {len(results)} files: {out}", file=stream)
    cli_flags.write_json({"codec": folder, "files": results, "failed": failures}, values.json)
    return DataError.exit_code if failures else 0
