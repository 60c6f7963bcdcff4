"""The part of `strata plan` that is about codecs: its flags, and what it prints."""

import re
from collections.abc import Mapping
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.cli.plan_text import number, size, verdict
from pipeline.core.errors import ConfigError

_OPERATIONS = ("decode", "encode")
_OF_TRAINING = ("mesh", "preemptions_per_day", "save_seconds")
_SIZE = re.compile(r"(?:(?P<frames>[1-9]\d*)x)?(?P<height>[1-9]\d*)x(?P<width>[1-9]\d*)")


def define(values: flags.FlagValues) -> None:
    """Define the flags of codecs."""
    cli_flags.define_codec(values, "Codec to plan in place of a recipe: ")
    for operation in _OPERATIONS:
        flags.DEFINE_string(
            operation,
            None,
            f"Plan to {operation} a clip of FRAMESxHEIGHTxWIDTH pixels, or an image HEIGHTxWIDTH.",
            flag_values=values,
        )
    flags.DEFINE_integer(
        "chunk",
        None,
        "Frames at a time, after the first one, for --decode too; by default the whole clip.",
        flag_values=values,
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "dtype",
        None,
        ["float32", "bfloat16"],
        "Dtype in which --codec computes; by default its own.",
        flag_values=values,
    )


def is_asked(values: flags.FlagValues) -> bool:
    """Return whether a codec is to be planned, and not a training step.

    Raises:
      ConfigError: flags of codecs come without --decode and --encode, or with those of training.
    """
    asked = [name for name in _OPERATIONS if values[name].value is not None]
    if not asked:
        for name in ("codec", "chunk", "dtype"):
            if values[name].value is not None:
                raise ConfigError(
                    f"--{name} needs --decode or --encode with a size, such as --decode 17x256x256"
                )
        return False
    if len(asked) > 1:
        raise ConfigError("give one of --decode and --encode")
    for name in _OF_TRAINING:
        if values[name].present:
            raise ConfigError(
                f"--{name} is of training, and --{asked[0]} plans a codec, which runs on one device"
            )
    if (values.config is None) == (values.codec is None):
        raise ConfigError(f"--{asked[0]} needs one of --config F and --codec D")
    if values.dtype is not None and values.codec is None:
        raise ConfigError(f"--dtype is for --codec; with a recipe, --config.dtype={values.dtype}")
    return True


def run(values: flags.FlagValues, description: str) -> int:
    """Plan what the flags ask for, and print it."""
    from pipeline import build
    from pipeline.planning.codec_report import plan_codec

    operation = "decode" if values.decode is not None else "encode"
    outline = build.codec_outline(
        _config(values),
        decodes=operation == "decode",
        size=_size(f"--{operation}", values.decode or values.encode or ""),
        chunk=values.chunk,
    )
    result = plan_codec(outline, description, utilisation=values.utilisation, quick=values.quick)
    print("\n".join(lines(result)), file=cli_flags.report_stream(values.json))
    cli_flags.write_json(result, values.json)
    return 0


def _config(values: flags.FlagValues) -> Mapping[str, Any]:
    """Return the complete recipe, or the config of the codec, whose weights are checked."""
    if values.codec is not None:
        from pipeline.pretrained.load import Codec

        return Codec.from_pretrained(values.codec, dtype=values.dtype).config
    from pipeline import build

    return build.complete(cli_flags.config_of(values))


def _size(flag: str, text: str) -> tuple[int, int, int]:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{flag} {text!r} is not FRAMESxHEIGHTxWIDTH, such as 17x256x256, or HEIGHTxWIDTH"
        )
    return int(match["frames"] or 1), int(match["height"]), int(match["width"])


def lines(result: Mapping[str, Any]) -> list[str]:
    """Return the lines that describe the plan of a codec to people."""
    clip = f"{result['height']}x{result['width']}"
    clip = f"{result['frames']}x{clip}" if result["is_video"] else clip
    chunk = "" if result["chunk"] is None else f", chunks of {result['chunk']} frames"
    host = " of this host: no accelerator's memory, FLOPs or time"
    devices = f"{result['devices']} devices{host if result['platform'] == 'cpu' else ''}"
    return [
        f"{result['model']}, {result['parameters']:,} parameters, {result['operation']} {clip}"
        f"{chunk}, {result['dtype']}, on one of {result['topology']} ({devices})",
        f"compiled in {result['compile_s']:.0f} s"
        f"{', with less optimisation (--quick)' if result['quick'] else ''}",
        *_contract(result),
        *_pieces(result),
        "",
        f"per device   weights      {size(result['weight_bytes'])}, float32",
        f"             cache        {size(result['cache_bytes_per_device'])}",
        f"             arguments    {size(result['argument_bytes_per_device'])}, and the input",
        f"             temporary    {size(result['temp_bytes_per_device'])}",
        f"             peak         {size(result['total_bytes_per_device'])}{verdict(result)}",
        *(f"               {change}" for change in result["advice"]),
        f"             FLOPs        {number(result['flops_per_device'])} per clip"
        f"{', with the body of each loop counted once' if result['has_loops'] else ''}",
        f"             accessed     {size(result['accessed_bytes_per_device'])} per clip",
        *_estimate(result),
    ]


def _contract(result: Mapping[str, Any]) -> list[str]:
    if result["chunk"] is None or result["exact_in_chunks"]:
        return []
    return [
        f"streaming contract {result['streaming']}: to {result['operation']} in chunks gives other "
        "results than the whole clip"
    ]


def _pieces(result: Mapping[str, Any]) -> list[str]:
    """Return one line per program; nothing for a single one."""
    if len(result["pieces"]) == 1:
        return []
    shown = [""]
    for index, piece in enumerate(result["pieces"]):
        shape = "x".join(map(str, piece["input_shape"][1:]))
        shown.append(
            f"piece {index}    {piece['count']} of {shape}, "
            f"{size(piece['total_bytes_per_device'])} with a cache of "
            f"{size(piece['cache_bytes_per_device'])}"
        )
    return [*shown, f"memory below: piece {result['worst_piece']}, which needs the most"]


def _estimate(result: Mapping[str, Any]) -> list[str]:
    given = result["estimate"]
    if given is None:
        return []
    return [
        "",
        "estimates from published peaks, not measured:",
        f"  clip  {given['formula']}",
        f"        = {given['seconds']:.4g} s on one chip (compute {given['compute_seconds']:.4g}, "
        f"memory {given['memory_seconds']:.4g}), at a utilisation of {given['utilisation']:g}",
        f"  {result['devices']} chips, a clip each: {given['frames_per_second']:.4g} frames per "
        "second",
    ]
