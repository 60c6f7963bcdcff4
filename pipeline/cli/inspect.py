"""Show parameters and latents of a recipe, run or codec, and the step and state digest of a run.

strata inspect --config F[:arg] [--config.a.b=v ...] [--json F]
strata inspect --config F[:arg] --mesh [replica=1,fsdp=8,context=1] [--json F]
strata inspect --workdir D [--step N] [--json F]
strata inspect --codec D [--json F]

--mesh lists each array of the training state, how it is sharded and its bytes per device, on that
mesh or, without a value, on the recipe's. No weight of the model is allocated and no device is
needed. state_sha256 covers every bit of every array of the training state.

Example:
  strata inspect --config configs/vdvae/cifar10.py
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.core.errors import CheckpointError, ConfigError

_SUBJECTS = ("config", "workdir", "codec")


def run(argv: list[str]) -> int:
    """Run the command of the module's docstring."""
    values = cli_flags.new()
    cli_flags.define_config(values, argv)
    cli_flags.define_path(values, "workdir", "Folder of a run.")
    flags.DEFINE_integer(
        "step", None, "Checkpoint of the run; the newest by default.", flag_values=values
    )
    cli_flags.define_codec(values)
    flags.DEFINE_string(
        "mesh",
        None,
        "List the arrays on this mesh; without a value, on the recipe's.",
        flag_values=values,
    )
    cli_flags.define_json(values)
    rest = cli_flags.parse(values, cli_flags.with_optional_value(argv, "mesh"), __doc__)
    if rest is None:
        return 0
    if rest:
        raise ConfigError(f"there is no argument {rest[0]!r}: see strata inspect --help")
    if sum(values[name].value is not None for name in _SUBJECTS) != 1:
        raise ConfigError("give one of --config F, --workdir D and --codec D")
    if values.step is not None and values.workdir is None:
        raise ConfigError("--step needs --workdir")
    if values.mesh is not None:
        if values.config is None:
            raise ConfigError("--mesh needs --config")
        return _on_mesh(values)
    if values.workdir is not None:
        result = of_workdir(values.workdir, values.step)
    elif values.codec is not None:
        result = of_codec(values.codec)
    else:
        from pipeline import build

        result = of_config(build.complete(cli_flags.config_of(values)))
    _print(result, values.json)
    cli_flags.write_json(result, values.json)
    return 0


def _on_mesh(values: flags.FlagValues) -> int:
    from pipeline import build
    from pipeline.cli import inspect_mesh

    result = inspect_mesh.of_mesh(build.complete(cli_flags.config_of(values)), values.mesh)
    inspect_mesh.show(result, values.json)
    cli_flags.write_json(result, values.json)
    return 0


def of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description of the model that config["model"] names, without allocating its weights.

    `parts` counts the parameters of each module of the model. `latent_shapes` are the shapes for
    one example, from the top of a hierarchy down.
    """
    from flax import nnx

    from pipeline import models
    from pipeline.core import parameters

    created = {}

    def create() -> nnx.Module:
        created["model"] = models.create(config["model"], rngs=nnx.Rngs(0))
        return created["model"]

    _, params, _ = parameters.abstract(create)
    parts: dict[str, int] = {}
    for name, array in params.items():
        part = name.partition(".")[0]
        parts[part] = parts.get(part, 0) + math.prod(array.shape)
    model = created["model"]
    return {
        "model": config["model"]["name"],
        "parameters": sum(parts.values()),
        "parts": parts,
        **_example(model),
        "stochastic_layers": model.num_layers,
        "latent_shapes": [list(shape) for shape in model.latent_shapes],
        "latent_size": sum(math.prod(shape) for shape in model.latent_shapes),
    }


def _example(model: Any) -> dict[str, Any]:
    """Return the modality of a model's examples, and their shape; of a clip that of its frames."""
    from pipeline.core import modalities

    modality, shape = modalities.of_model(model), modalities.example_shape(model)
    key, shown = ("image_shape", shape[-3:]) if modality.has_pixels else ("example_shape", shape)
    return {"modality": modality.name, key: list(shown)}


def of_workdir(workdir: str, step: int | None = None) -> dict[str, Any]:
    """Return a description of a run's model, and the step and digest of its checkpoint.

    Step and digest are None before the first checkpoint.

    Raises:
      ConfigError: the folder holds no run.
      CheckpointError: there is no such step, or it does not load.
    """
    from pipeline.training import workdir as workdirs
    from pipeline.training.checkpoints.store import Checkpoints
    from pipeline.training.state.digest import state_digest

    config = workdirs.load(workdir)
    result = of_config(config)
    checkpoints = Checkpoints(workdirs.checkpoint_folder(workdir, config["checkpoint"]["folder"]))
    steps = checkpoints.steps()
    if step is None and steps:
        step = steps[-1]
    digest = None if step is None else state_digest(checkpoints.arrays(step))
    return result | {"workdir": str(workdir), "steps": steps, "step": step, "state_sha256": digest}


def of_codec(folder: str) -> dict[str, Any]:
    """Return a description of the model of a codec folder, of Strata or of diffusers.

    Raises:
      ConfigError: there is no such folder.
      CheckpointError: it is not a codec, or damaged.
    """
    from pipeline.codec import places

    found = places.find(folder, with_weights=False)
    config: Any = found.config
    if found.is_diffusers:  # its network shows in the names of the weights
        from pipeline.pretrained import imported

        _, _, config, _ = imported.from_diffusers(places.find(folder))
    if not isinstance(config.get("model"), dict):
        raise CheckpointError(f"{found.shown} is not a codec: {places.CONFIG} has no 'model'")
    return of_config(config) | {"codec": str(folder)}


def _print(result: Mapping[str, Any], json_path: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(overflow="fold")  # never truncate a digest
    for key in ("workdir", "codec", "model"):
        if key in result:
            table.add_row(key, str(result[key]))
    table.add_row("parameters", f"{result['parameters']:,}")
    for part, count in result["parts"].items():
        table.add_row(f"  {part}", f"{count:,}")
    shape = result.get("image_shape", result.get("example_shape"))
    table.add_row(result["modality"], _size(shape))
    table.add_row("stochastic layers", str(result["stochastic_layers"]))
    table.add_row("latents, top first", f"{result['latent_size']:,} numbers per example")
    for shape, same in itertools.groupby(result["latent_shapes"]):
        table.add_row(f"  {_size(shape)}", str(len(list(same))))
    if "steps" in result:
        table.add_row("checkpoints", ", ".join(map(str, result["steps"])) or "none yet")
    if result.get("step") is not None:
        table.add_row("step", str(result["step"]))
        table.add_row("state sha256", result["state_sha256"])
    stream = cli_flags.report_stream(json_path)
    width = None if stream.isatty() else 160  # keeps a digest on one line in a file or a pipe
    Console(file=stream, highlight=False, width=width).print(table)


def _size(shape: list[int]) -> str:
    return "x".join(map(str, shape))
