"""Turns other people's weights into a run at step 0, which eval, export and train go on with, or into a codec.

strata import --from openai-vdvae FILE --config configs/vdvae/cifar10.py --out WORKDIR
strata import --from disentangling-vae FILE --config configs/vae/mnist.py --out WORKDIR
strata import --from wf-vae FILE --out CODEC
strata import --from diffusers DIR --out CODEC
strata import --from taesd ENCODER DECODER --out CODEC
strata import --from image-codec CODEC --config configs/cv_vae/sd21.py --out WORKDIR

DIR is a folder of diffusers' AutoencoderKL; a FILE is a torch state dict; torch is not needed to read it.
diffusers, taesd and wf-vae say what their network is: without --config they become a codec, with it a run. image-codec
inflates a codec folder's AutoencoderKL in time. Names and shapes must all fit the recipe, and so must what they do not
show, such as wf-vae's model.time_interpolation=linear and model.authors_wavelets=True.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.core.errors import CheckpointError, ConfigError

# --from -> the module of pipeline.codec that converts.
KINDS = {
    "diffusers": "convert_diffusers",
    "disentangling-vae": "convert_disentangling_vae",
    "image-codec": "convert_image_codec",
    "openai-vdvae": "convert_openai_vdvae",
    "taesd": "convert_taesd",
    "wf-vae": "convert_wf_vae",
}


def run(argv: list[str]) -> int:
    """See the module's docstring."""
    values = cli_flags.new()
    cli_flags.define_config(values, argv)
    flags.DEFINE_enum("from", None, sorted(KINDS), "Whose weights they are.", flag_values=values)
    flags.DEFINE_string(
        "out", None, "Folder of the run, or of the codec, to make.", flag_values=values
    )
    flags.DEFINE_string(
        "license",
        "unknown",
        "Of the weights, for a codec's model card: mit, apache-2.0, ...",
        flag_values=values,
    )
    paths = cli_flags.parse(values, argv, __doc__)
    if paths is None:
        return 0
    kind, out = cli_flags.required(values, "from"), pathlib.Path(cli_flags.required(values, "out"))
    converter = _converter(kind)
    wanted = getattr(converter, "FILES", ("FILE",))
    if len(paths) != len(wanted):
        count = "one" if len(wanted) == 1 else f"{len(wanted)}"
        raise ConfigError(
            f"import takes {count} {' and '.join(wanted)} of weights, not {len(paths)}"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} is there already: give a new folder")
    if values.config is None and hasattr(converter, "recipe"):
        count, what = import_codec(kind, paths, out, license=values.license), "a codec"
    else:
        from pipeline import build

        count, what = (
            import_weights(kind, paths, build.complete(cli_flags.config_of(values)), out),
            "step 0",
        )
    print(f"{count:,} parameters of {' and '.join(paths)} as {what}: {out}")
    return 0


def import_weights(
    kind: str, paths: Sequence[str], config: dict[str, Any], out: pathlib.Path
) -> int:
    """Makes the run; returns the number of parameters.

    Raises:
      CheckpointError: the weights are not those of the recipe's model. DataError: a file cannot be read.
      ConfigError: they are of its shapes, but were trained as another function; with the overrides to give.
    """
    from pipeline import build
    from pipeline.training import workdir
    from pipeline.training.checkpoints.store import Checkpoints
    from pipeline.training.state import mesh, train_state

    tensors = _load(kind, paths)
    _check_settings(_converter(kind), paths, tensors, config["model"])
    optimizer = build.update(config).optimizer
    # A checkpoint fits any mesh: that of the recipe may be of more devices than this machine has.
    extras = build.extras(config)
    _, shapes = train_state.abstract(
        build.model_factory(config), optimizer, mesh.create(), None, extras
    )
    if shapes.model_state:
        raise CheckpointError(
            f"{config['model']['name']} has variables besides parameters, which --from {kind} lacks"
        )
    of_model = {name: shape for name, shape in shapes.params.items() if name not in extras.params}
    weights = _converter(kind).convert(tensors, of_model, path=" and ".join(paths))
    start = train_state.from_weights(weights, {}, optimizer, shapes, config["seed"], extras)
    workdir.claim(out, config)
    # Which data these weights saw is not known: the first run on them may bring any.
    about = {
        "config": json.loads(json.dumps(config)),
        "dataset": {},
        "imported_from": _origin(kind, paths),
    }
    checkpoints = Checkpoints(out / "checkpoints")
    checkpoints.save(0, start, about)
    checkpoints.close()
    if checkpoints.failure is not None:
        raise checkpoints.failure
    return sum(array.size for array in weights.values())


def import_codec(kind: str, paths: Sequence[str], out: pathlib.Path, *, license: str) -> int:
    """Makes a codec folder of the network that the files themselves describe; returns the number of parameters.

    Raises:
      CheckpointError: they are of a network that we lack. DataError: a file cannot be read.
    """
    from flax import nnx

    from pipeline import __version__, models
    from pipeline.codec import folder
    from pipeline.core import parameters

    converter = _converter(kind)
    tensors = _load(kind, paths)
    recipe = converter.recipe(paths, tensors)
    modeldef, shapes, _ = parameters.abstract(lambda: models.create(recipe, rngs=nnx.Rngs(0)))
    weights = converter.convert(tensors, shapes, path=" and ".join(paths))
    model = modeldef.merge(shapes)
    count = sum(array.size for array in weights.values())
    stats = converter.latent_statistics(paths) if hasattr(converter, "latent_statistics") else {}
    config = {
        "strata_version": __version__,
        "model": recipe,
        "dtype": "float32",
        "input": {
            "image_shape": [model.image_size, model.image_size, model.image_channels],
            "bits": 8,
        },
        "imported_from": _origin(kind, paths),
        "license": license,
        "latent_shapes": [list(shape) for shape in model.latent_shapes],
        "num_parameters": count,
        **({"latents": stats} if stats else {}),
    }
    folder.write(out, config, weights)
    return count


def _converter(kind: str) -> Any:
    import importlib

    return importlib.import_module(f"pipeline.codec.{KINDS[kind]}")


def _load(kind: str, paths: Sequence[str]) -> Any:
    """Tensors by name, of a single torch file unless the kind has its own way."""
    from pipeline.formats import state_dict

    converter = _converter(kind)
    return converter.load(paths) if hasattr(converter, "load") else state_dict.load(paths[0])


def _check_settings(
    converter: Any, paths: Sequence[str], tensors: Any, model: dict[str, Any]
) -> None:
    """The recipe has what its weights were trained with where names and shapes, which come later, do not show it."""
    from pipeline.core.construct import default_arguments, find

    if not hasattr(converter, "UNSEEN"):
        return
    wanted = converter.recipe(paths, tensors)
    if model["name"] != wanted["name"]:
        return
    given = default_arguments(find("pipeline.models", model["name"], where="model")) | model
    other = {key: wanted[key] for key in converter.UNSEEN if given[key] != wanted[key]}
    if other:
        said = " and ".join(
            f"model.{key}={value!r}, not {given[key]!r}" for key, value in other.items()
        )
        overrides = " ".join(f"--config.model.{key}={value}" for key, value in other.items())
        raise ConfigError(
            f"{' and '.join(paths)} was trained with {said}: give {overrides}; docs/codecs.md (Other people's weights) "
            "tells how to train on from there in the recipe's own form"
        )


def _origin(kind: str, paths: Sequence[str]) -> str:
    return f"{kind}: {' and '.join(pathlib.Path(path).name for path in paths)}"
