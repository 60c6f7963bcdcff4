"""Pack images or videos for training, or write examples of a recipe's data as files.

strata data pack SRC --out DIR
strata data examples --config F --out DIR

`strata data pack --help` and `strata data examples --help` list the flags.

Example:
  strata data pack photos/ --out packed
"""

import math
import os
import sys
from typing import Any

from absl.flags import (
    DEFINE_bool,
    DEFINE_enum,
    DEFINE_float,
    DEFINE_integer,
    FlagValues,
)

from pipeline.cli import flags, help_text
from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError

SUBCOMMANDS = ("pack", "examples")


def run(argv: list[str]) -> int:
    """Run a subcommand, the first of `argv`."""
    commands = dict(zip(SUBCOMMANDS, (_pack, _examples)))
    if not argv or argv[0] in ("--help", "-h", "--helpfull", "help"):
        print(help_text.reflowed(__doc__ or "", help_text.columns()))
        return 0 if argv else ConfigError.exit_code
    if argv[0] not in commands:
        raise ConfigError(f"data {argv[0]} is not a command: {nearest(argv[0], commands)}")
    return commands[argv[0]](argv[1:])


def _pack(argv: list[str]) -> int:
    """Pack images or videos into shards, which are the fastest to train on.

    strata data pack SRC --out DIR [--image_size N] [--raw] [--shard_mb 256] [--max_unreadable 10]
                     [--json FILE]
    strata data pack SRC --out DIR --kind videos [--clip_seconds 10]
                     [--raw [--fps N] [--image_size N]]

    SRC is a folder of images or videos, a .zip, an .npz, an .npy or a list of videos.

    Example:
      strata data pack photos/ --out packed --image_size 256
    """
    values = flags.new()
    _define_pack(values)
    rest = flags.parse(values, argv, _pack.__doc__)
    if rest is None:
        return 0
    if len(rest) != 1:
        raise ConfigError(
            "data pack takes one SRC (a folder, a .zip, an .npz, an .npy or a list), "
            f"not {len(rest)}"
        )
    out = flags.required(values, "out")
    for name in ("clip_seconds", "fps"):
        number: Any = values[name].value
        if not math.isfinite(number):
            raise ConfigError(f"--{name}={values[name].value} must be finite")
    flags.check_inputs(rest, "SRC")
    source = _readable(rest[0])
    common: dict[str, Any] = dict(
        image_size=values.image_size,
        shard_bytes=values.shard_mb << 20,
        raw=values.raw,
        max_unreadable=values.max_unreadable,
    )
    from pipeline.data.packing.pack import pack
    from pipeline.data.packing.pack_videos import has_videos, pack_videos

    if values.kind == "videos" or (values.kind == "auto" and has_videos(source)):
        manifest = pack_videos(
            source, out, clip_seconds=values.clip_seconds, fps=values.fps, **common
        )
    else:
        manifest = pack(source, out, **common)
    for name in manifest["unreadable"]:
        print(f"left out: {name}", file=sys.stderr)
    for remark in manifest["remarks"]:
        print(f"remark: {remark}", file=sys.stderr)
    print(_summary(manifest, out), file=flags.report_stream(values.json))
    flags.write_json(manifest, values.json)
    return 0


def _readable(source: str) -> str:
    """Return a local copy of a source that is in a bucket; lists of videos stay there."""
    from pipeline.data.sources import video_list
    from pipeline.storage import transfer

    if source.lower().endswith(video_list.SUFFIXES):
        return source
    return os.fspath(transfer.local_copy(source, name="SRC"))


def _define_pack(values: FlagValues) -> None:
    flags.define_path(values, "out", "New folder for the shards.", written="folder")
    DEFINE_enum("kind", "auto", ("auto", "images", "videos"), "Content of SRC.", flag_values=values)
    DEFINE_integer(
        "image_size",
        0,
        "Shrink larger images to this shorter side; 0 keeps their size.",
        flag_values=values,
        lower_bound=0,
    )
    DEFINE_bool(
        "raw", False, "Store pixels, not files; fastest for small images.", flag_values=values
    )
    DEFINE_float(
        "clip_seconds",
        10,
        "Minimal length of clips of videos; 0 does not cut.",
        flag_values=values,
        lower_bound=0,
    )
    DEFINE_float(
        "fps",
        0,
        "Frames per second of raw clips; 0 keeps the file's frames.",
        flag_values=values,
        lower_bound=0,
    )
    DEFINE_integer("shard_mb", 256, "Size of a shard, in MiB.", flag_values=values, lower_bound=1)
    DEFINE_integer(
        "max_unreadable",
        10,
        "Unreadable examples to leave out, at most.",
        flag_values=values,
        lower_bound=0,
    )
    flags.define_json(values)


def _summary(manifest: dict[str, Any], out: str) -> str:
    megabytes = sum(shard["bytes"] for shard in manifest["shards"]) / 1e6
    shape = manifest["schema"]["shape"]
    what = manifest["schema"]["encoding"] + (f" {'x'.join(map(str, shape))}" if shape else "")
    examples = manifest["format"].removeprefix("strata-")
    return (
        f"{manifest['num_examples']} {examples} ({what}, {len(manifest['classes'])} classes, "
        f"{len(manifest['unreadable'])} unreadable left out) in {len(manifest['shards'])} shards, "
        f"{megabytes:.1f} MB: {out}"
    )


def _examples(argv: list[str]) -> int:
    """Write examples of a recipe's data as a model sees them.

    strata data examples --config F --out DIR [--split eval] [--num 8] [--seed 0]
                         [--original]

    Images are written as .png, and clips as lossless .mp4. --original writes the
    images whole, before scaling and cropping.

    Example:
      strata data examples --config configs/vae/digits.py --out examples
    """
    values = flags.new()
    flags.define_config(values, argv)
    flags.define_path(values, "out", "Folder for the files.", written="folder")
    DEFINE_enum("split", "eval", ("train", "eval"), "Part of the data.", flag_values=values)
    DEFINE_integer("num", 8, "Number of examples.", flag_values=values, lower_bound=1)
    DEFINE_integer("seed", 0, "Seed of the training examples' order and crops.", flag_values=values)
    DEFINE_bool("original", False, "Write images before scaling and cropping.", flag_values=values)
    rest = flags.parse(values, argv, _examples.__doc__)
    if rest is None:
        return 0
    if rest:
        raise ConfigError(f"data examples takes no argument {rest[0]!r}")
    config, out = flags.config_of(values), flags.required(values, "out")
    from pipeline import build
    from pipeline.data.loading.example_files import write_examples
    from pipeline.storage import ownership, transfer

    data = build.dataset(build.plain(config))
    with ownership.owned(out), transfer.written_folder(out, name="--out") as folder:
        chosen: Any = {name: values[name].value for name in ("split", "num", "seed", "original")}
        written = write_examples(data, os.fspath(folder), **chosen)
    print(f"{len(written)} {data.what} of the {values.split} set: {out}")
    return 0
