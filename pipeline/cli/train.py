"""Trains a model. The same command again resumes from the newest checkpoint.

strata train --config F[:arg] --workdir D [--config.a.b=v ...] [--force_config]
"""

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.errors import ConfigError


def run(argv: list[str]) -> int:
    """See the module's docstring."""
    values = cli_flags.new()
    cli_flags.define_config(values, argv)
    flags.DEFINE_string("workdir", None, "Folder of the run; made if it is not there.", flag_values=values)
    flags.DEFINE_bool(
        "force_config", False, "Go on though the config or the dataset is not that of the run.", flag_values=values
    )
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    if rest:
        raise ConfigError(f"there is no argument {rest[0]!r}: see strata train --help")
    config = cli_flags.config_of(values)
    workdir = cli_flags.required(values, "workdir")

    from pipeline.training.loop import train

    train(config, workdir, force_config=values.force_config)
    return 0
