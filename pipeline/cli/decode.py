"""Decodes latents that `strata encode` wrote into PNG files.

strata decode --codec CODEC IN... --out DIR [--json F]

IN are .safetensors files and folders of them. A file that is no good is named and the others are done; the exit code
is then 65.
"""

import pathlib
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.cli.reconstruct import say_failed
from pipeline.errors import DataError


def run(argv: list[str]) -> int:
    """See the module's docstring."""
    values = cli_flags.new()
    flags.DEFINE_string("codec", None, "Folder of the codec.", flag_values=values)
    flags.DEFINE_string("out", None, "Folder for the PNG files.", flag_values=values)
    flags.DEFINE_string("json", None, "Where to write the result; - is standard output.", flag_values=values)
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    folder, out = cli_flags.required(values, "codec"), pathlib.Path(cli_flags.required(values, "out"))

    from pipeline.codec import files, latents, picture
    from pipeline.codec.codec import Codec

    inputs = files.find(rest, lambda name: name.endswith(".safetensors"))
    files.refuse_overwriting(inputs, out, ".png")
    codec = Codec.from_pretrained(folder)
    stream = cli_flags.report_stream(values.json)

    def work(path: pathlib.Path, name: str) -> dict[str, Any]:
        coded, tiling, how = latents.unpack(path, codec)
        target = out / f"{name}.png"
        files.save_png(target, picture.decode(codec, coded, tiling))
        print(f"{path}: {tiling.height}x{tiling.width}; {how}", file=stream, flush=True)
        return {"out": str(target), "height": tiling.height, "width": tiling.width, "how": how}

    results, failures = files.for_each(inputs, work, say_failed("decode"))
    if results:
        print(f"{len(results)} pictures: {out}", file=stream)
    cli_flags.write_json({"codec": folder, "files": results, "failed": failures}, values.json)
    return DataError.exit_code if failures else 0
