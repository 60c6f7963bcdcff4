"""Turns other people's weights into a run at step 0, which eval, export and train go on with.

strata import --from openai-vdvae FILE --config configs/vdvae/cifar10.py --out WORKDIR
strata import --from disentangling-vae FILE --config configs/vae/mnist.py --out WORKDIR

FILE is a torch state dict; reading one needs torch (strata[parity]). Names and shapes must all fit the recipe.
"""

import json
import pathlib
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.errors import CheckpointError, ConfigError

# --from -> the module of pipeline.codec that converts.
KINDS = {"openai-vdvae": "convert_openai_vdvae", "disentangling-vae": "convert_disentangling_vae"}


def run(argv: list[str]) -> int:
    """See the module's docstring."""
    values = cli_flags.new()
    cli_flags.define_config(values, argv)
    flags.DEFINE_enum("from", None, sorted(KINDS), "Whose weights they are.", flag_values=values)
    flags.DEFINE_string("out", None, "Folder of the run to make.", flag_values=values)
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    kind, out = cli_flags.required(values, "from"), pathlib.Path(cli_flags.required(values, "out"))
    if len(rest) != 1:
        raise ConfigError(f"import takes one FILE of weights, not {len(rest)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} is there already: give a new folder")
    recipe = cli_flags.config_of(values)

    from pipeline import build

    count = import_weights(kind, rest[0], build.complete(recipe), out)
    print(f"{count:,} parameters of {rest[0]} as step 0: {out}")
    return 0


def import_weights(kind: str, file: str, config: dict[str, Any], out: pathlib.Path) -> int:
    """Makes the run; returns the number of parameters.

    Raises:
      CheckpointError: the weights are not those of the recipe's model. DataError: the file cannot be read.
    """
    import importlib

    from pipeline import build
    from pipeline.codec import torch_weights
    from pipeline.training import mesh, state, workdir
    from pipeline.training.checkpoint import Checkpoints

    tensors = torch_weights.load(file)
    optimizer = build.update(config).optimizer
    # A checkpoint fits any mesh: that of the recipe may be of more devices than this machine has.
    _, shapes = state.abstract(build.model_maker(config), optimizer, mesh.create())
    if shapes.other:
        raise CheckpointError(f"{config['model']['name']} has variables besides parameters, which --from {kind} lacks")
    converter = importlib.import_module(f"pipeline.codec.{KINDS[kind]}")
    weights = converter.convert(tensors, shapes.params, path=file)
    start = state.from_weights(weights, {}, optimizer, shapes)
    workdir.claim(out, config)
    # Which data these weights saw is not known: the first run on them may bring any.
    about = {
        "config": json.loads(json.dumps(config)),
        "dataset": {},
        "imported_from": f"{kind}: {pathlib.Path(file).name}",
    }
    checkpoints = Checkpoints(out / "checkpoints")
    checkpoints.save(0, start, about)
    checkpoints.close()
    if checkpoints.failure is not None:
        raise checkpoints.failure
    return sum(array.size for array in weights.values())
