"""Time training, data loading or checkpoints on this machine.

strata bench train       --config F [--config.a.b=v ...] [--steps 20] --json F
strata bench data        [--path DIR] [--source records] [--image_size 32] [--batch_size 128]
                         --json F
strata bench checkpoint  [--megabytes 300] [--workdir D] --json F

`--json -` prints the result to standard output. `strata bench train --help` lists the flags of one
benchmark.

Example:
  strata bench train --config configs/vae/digits.py --steps 5 --json -
"""

from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.cli import help_text
from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError

SUBCOMMANDS = ("train", "data", "checkpoint")


def run(argv: list[str]) -> int:
    """Run the benchmark that `argv[0]` names with the flags that follow."""
    benches = dict(zip(SUBCOMMANDS, (_train, _data, _checkpoint)))
    if not argv or argv[0] in ("-h", "--help", "--helpfull", "help"):
        print(help_text.reflowed(__doc__ or "", help_text.columns()))
        return 0 if argv else ConfigError.exit_code
    if argv[0] not in benches:
        raise ConfigError(f"bench {argv[0]} is not a benchmark: {nearest(argv[0], benches)}")
    values = cli_flags.new()
    cli_flags.define_json(values)
    result = benches[argv[0]](values, argv[1:])
    if result is None:
        return 0
    for key, value in result.items():
        print(f"{key:<24} {value}", file=cli_flags.report_stream(values.json))
    cli_flags.write_json(result, values.json)
    return 0


def _train(values: flags.FlagValues, argv: list[str]) -> dict[str, Any] | None:
    cli_flags.define_config(values, argv)
    flags.DEFINE_integer(
        "steps", 20, "Steps to time, after two to warm up.", flag_values=values, lower_bound=1
    )
    if not _parse(values, argv, "train"):
        return None
    config = cli_flags.config_of(values)
    from pipeline.cli import bench_train

    return bench_train.measure(config, steps=values.steps)


def _data(values: flags.FlagValues, argv: list[str]) -> dict[str, Any] | None:
    text = "Dataset; by default, packed crops of two photographs."
    cli_flags.define_path(values, "path", text, default="")
    flags.DEFINE_string(
        "source", "records", "Kind of the dataset, as data.source in a recipe.", flag_values=values
    )
    for name, default, least, purpose in (
        ("image_size", 32, 1, "Height and width in pixels."),
        ("batch_size", 128, 1, "Images per batch."),
        ("num_workers", 0, 0, "Worker processes; 0 loads in this process."),
        ("num_batches", 500, 1, "Batches of each of three measurements."),
    ):
        flags.DEFINE_integer(name, default, purpose, flag_values=values, lower_bound=least)
    if not _parse(values, argv, "data"):
        return None
    from pipeline.cli import bench_data

    settings: dict[str, Any] = {
        key: values[key].value for key in ("image_size", "batch_size", "num_workers", "num_batches")
    }
    return bench_data.measure(values.path, values.source, **settings)


def _checkpoint(values: flags.FlagValues, argv: list[str]) -> dict[str, Any] | None:
    flags.DEFINE_integer(
        "megabytes", 300, "Size of the state in 10^6 bytes.", flag_values=values, lower_bound=1
    )
    flags.DEFINE_integer(
        "rounds", 5, "Saves and restores to time.", flag_values=values, lower_bound=1
    )
    text = "Folder to write to, local or in a bucket; a temporary one by default."
    cli_flags.define_path(values, "workdir", text, written="folder")
    if not _parse(values, argv, "checkpoint"):
        return None
    from pipeline.cli import bench_checkpoint

    return bench_checkpoint.measure(
        megabytes=values.megabytes, pairs=values.rounds, workdir=values.workdir
    )


def _parse(values: flags.FlagValues, argv: list[str], name: str) -> bool:
    """Parse the flags; return False after showing help."""
    rest = cli_flags.parse(values, argv, __doc__)
    if rest:
        raise ConfigError(f"bench {name} takes no argument {rest[0]!r}")
    return rest is not None
