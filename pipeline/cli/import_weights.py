"""Turn released weights into a codec, or into a run at step 0 for eval, export and train.

strata import --from diffusers DIR --out CODEC
strata import --from openai-vdvae FILE --config configs/vdvae/cifar10.py --out WORKDIR

Without --config the weights become a codec, if their files describe the network. With it they
become a run of that recipe: names and shapes of all weights must fit it, and so must the settings
on which these do not depend, such as wf-vae's model.decoder.time_interpolation=linear. A FILE is a
torch state dict, which is read without torch.

Example:
  strata import --from diffusers sdxl-vae/ --out codec
"""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.core import progress
from pipeline.core.construct import blaming, load
from pipeline.core.errors import ConfigError, DataError
from pipeline.storage import ownership, transfer
from pipeline.storage.paths import Path, as_path

PACKAGE = "pipeline.importers"


def run(argv: list[str]) -> int:
    """Run the command; the module's docstring describes it."""
    values = _flags(argv)
    paths = cli_flags.parse(values, argv, __doc__, more_help=cli_flags.listing(PACKAGE, "from"))
    if paths is None:
        return 0
    kind, out = cli_flags.required(values, "from"), as_path(cli_flags.required(values, "out"))
    _check_files(kind, paths)
    cli_flags.check_inputs(paths, "WEIGHTS")
    _check_unused(out)
    with contextlib.ExitStack() as stack:
        stack.enter_context(ownership.owned(out))
        _check_unused(out)  # nobody else writes there from now on
        files = [transfer.local_copy(path, name="WEIGHTS") for path in paths]
        for file, path in zip(files, paths):
            stack.enter_context(transfer.named(file, path))
        count, what = _import(kind, [os.fspath(file) for file in files], out, values)
    print(f"{count:,} parameters of {' and '.join(paths)} as {what}: {out}")
    return 0


def _check_unused(out: Path) -> None:
    if not ownership.is_unused(out):
        raise ConfigError(f"--out {out} exists and is not empty: give a new folder")


def _import(
    kind: str, files: Sequence[str], out: Path, values: flags.FlagValues
) -> tuple[int, str]:
    """Return the number of parameters, and what they have become."""
    if values.config is None:
        return import_codec(kind, files, out, license=values.license), "a codec"
    from pipeline import build

    config = build.complete(cli_flags.config_of(values))
    return import_run(kind, files, config, out), "step 0"


def import_run(kind: str, paths: Sequence[str], config: dict[str, Any], out: Path) -> int:
    """Make a run at step 0 of a recipe, and return the number of parameters of its model.

    Raises:
      CheckpointError: the weights do not fit the recipe's model.
      DataError: a file cannot be read.
      ConfigError: the weights were trained with other settings; the message has the overrides.
    """
    from pipeline import build
    from pipeline.training import workdir
    from pipeline.training.checkpoints.store import Checkpoints
    from pipeline.training.state import mesh, train_state

    imported = _read(kind, paths, config["model"])
    optimizer = build.update(config).optimizer
    # A checkpoint fits any mesh: the recipe's may have more devices than this machine.
    extras = build.extras(config)
    _, shapes = train_state.abstract(
        build.model_factory(config), optimizer, mesh.create(), None, extras
    )
    params, statistics = _divided(imported.arrays, shapes.model_state)
    start = train_state.from_weights(params, statistics, optimizer, shapes, config["seed"], extras)
    workdir.claim(out, config)
    # The data that these weights were trained on is not known: the first run may bring any.
    about = {
        "config": json.loads(json.dumps(config)),
        "dataset": {},
        "imported_from": imported.provenance,
    }
    checkpoints = Checkpoints(out / "checkpoints")
    checkpoints.save(0, start, about)
    checkpoints.close()
    if checkpoints.failure is not None:
        raise checkpoints.failure
    return _count(params)


def import_codec(kind: str, paths: Sequence[str], out: Path, *, license: str) -> int:
    """Make a codec of the network that the files describe, and return its number of parameters.

    Raises:
      CheckpointError: it is a network that we do not have.
      DataError: a file cannot be read.
      ConfigError: the files do not describe their network.
    """
    from pipeline.exporters import strata
    from pipeline.pretrained.imported import parts_of
    from pipeline.pretrained.load import Codec

    imported = _read(kind, paths, None)
    codec = Codec.of(*parts_of(imported, license=license))
    with progress.task(f"writing {out}"):
        strata.write(codec, out)
    return codec.config["num_parameters"]


def _flags(argv: list[str]) -> flags.FlagValues:
    values = cli_flags.new()
    cli_flags.define_config(values, argv)
    flags.DEFINE_enum(
        "from", None, cli_flags.names(PACKAGE), "Family of the weights.", flag_values=values
    )
    cli_flags.define_path(values, "out", "New folder for the run or codec.", written="folder")
    flags.DEFINE_string(
        "license",
        "unknown",
        "License of the weights, for a codec's model card: mit, apache-2.0, ...",
        flag_values=values,
    )
    return values


def _importer(kind: str) -> Any:
    return load(PACKAGE, kind.replace("-", "_"), where="--from")


def _read(kind: str, paths: Sequence[str], model: Mapping[str, Any] | None) -> Any:
    """Read released weights; whatever is wrong with the files is a DataError, in one line."""
    what = f"{' and '.join(paths)} cannot be read as {kind}"
    with blaming(lambda: what, DataError), progress.task(f"reading {' and '.join(paths)}"):
        return _importer(kind).read(paths, model)


def _check_files(kind: str, paths: Sequence[str]) -> None:
    wanted = _importer(kind).FILES
    if len(paths) != len(wanted):
        raise ConfigError(
            f"import --from {kind} takes {' and '.join(wanted)}, but {len(paths)} were given"
        )


def _divided(
    arrays: Mapping[str, Any], others: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters, and the arrays of the model's other variables."""
    params = {name: array for name, array in arrays.items() if name not in others}
    return params, {name: array for name, array in arrays.items() if name in others}


def _count(arrays: Mapping[str, Any]) -> int:
    return sum(array.size for array in arrays.values())
