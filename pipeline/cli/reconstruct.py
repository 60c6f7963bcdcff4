"""Encodes and decodes image files with a codec, and tells how close the results come.

strata reconstruct --codec CODEC IN... --out DIR [--fit tile|resize] [--side_by_side] [--json F]

IN are files and folders of any size and mode. Larger pictures are done in tiles of the model's size; --fit resize
shrinks and crops them instead. A file that cannot be read is named and the others are done; the exit code is then 65.
"""

import pathlib
import sys
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.errors import DataError

PROTOCOL = (
    "PSNR (at most 100 dB) and SSIM (Gaussian window 11, sigma 1.5, valid, mean over channels) of each whole picture "
    "against the pixels that were encoded, 8 bits; means over files"
)


def run(argv: list[str]) -> int:
    """See the module's docstring."""
    values = cli_flags.new()
    flags.DEFINE_string("codec", None, "Folder of the codec.", flag_values=values)
    flags.DEFINE_string("out", None, "Folder for the PNG files.", flag_values=values)
    define_fit(values)
    flags.DEFINE_bool("side_by_side", False, "Write the original at the left of each result.", flag_values=values)
    flags.DEFINE_string("json", None, "Where to write the result; - is standard output.", flag_values=values)
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    folder, out = cli_flags.required(values, "codec"), pathlib.Path(cli_flags.required(values, "out"))

    from pipeline.codec import files
    from pipeline.codec.codec import Codec

    inputs = files.find(rest)
    files.refuse_overwriting(inputs, out, ".png")
    codec = Codec.from_pretrained(folder)
    stream = cli_flags.report_stream(values.json)

    def work(path: pathlib.Path, name: str) -> dict[str, Any]:
        result = _reconstruct(codec, path, out / f"{name}.png", values.fit, values.side_by_side)
        quality = f"{result['psnr']:.2f} dB, SSIM {result['ssim']:.4f}"
        print("; ".join([f"{path}: {quality}", result["how"], *result["remarks"]]), file=stream, flush=True)
        return result

    results, failures = files.for_each(inputs, work, say_failed("reconstruct"))
    means = {key: _mean([result[key] for result in results]) for key in ("psnr", "ssim")}
    if results:
        print(f"mean of {len(results)} files: {means['psnr']:.2f} dB, SSIM {means['ssim']:.4f}: {out}", file=stream)
    content = {"codec": folder, "files": results, "failed": failures, **means, "protocol": PROTOCOL}
    cli_flags.write_json(content, values.json)
    return DataError.exit_code if failures else 0


def define_fit(values: flags.FlagValues) -> None:
    """--fit, which `strata encode` has too."""
    flags.DEFINE_enum(
        "fit",
        "tile",
        ["tile", "resize"],
        "What to do with a picture that is not of the model's size: cut it into tiles, or shrink and crop it.",
        flag_values=values,
    )


def say_failed(command: str) -> Any:
    """What tells of a file that is left out."""
    return lambda message: print(f"strata {command}: {message}", file=sys.stderr, flush=True)


def _reconstruct(codec: Any, path: pathlib.Path, target: pathlib.Path, fit: str, side_by_side: bool) -> dict[str, Any]:
    import jax.numpy as jnp
    import numpy as np

    from pipeline import distances
    from pipeline.codec import files, picture

    image, remarks = files.read(path, codec.image_shape[2])
    fitted = picture.fit(codec, image, fit)
    recon = picture.reconstruct(codec, fitted)
    shown = np.concatenate([fitted.shown, recon], axis=1) if side_by_side else recon
    files.save_png(target, shown)
    pair = jnp.asarray(fitted.shown[None]), jnp.asarray(recon[None])
    return {
        "out": str(target),
        "frames": 1,
        "height": image.shape[0],
        "width": image.shape[1],
        "how": fitted.how,
        "remarks": remarks,
        "psnr": float(distances.psnr(*pair)[0]),
        "ssim": float(distances.ssim(*pair)[0]),
    }


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
