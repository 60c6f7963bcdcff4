"""A complete recipe -> the mesh, and the training state on it: its shapes or its first values."""

from collections.abc import Mapping
from typing import Any

from jax.sharding import AbstractMesh, Mesh

from pipeline.build import data, init
from pipeline.build.discriminator import discriminator_factory
from pipeline.build.latent_adversarial import latent_adversarial_config
from pipeline.build.model import model_factory, regularizers_of
from pipeline.build.optimizer import discriminator_update, trainable, update
from pipeline.core import progress
from pipeline.core.parameters import ModelDef
from pipeline.data.videos.buckets import shapes_of
from pipeline.losses import objective
from pipeline.training.state import mesh as meshes
from pipeline.training.state import train_state as states
from pipeline.training.state.train_state import Extras, TrainState
from pipeline.training.state.trainable import OBJECTIVE
from pipeline.training.steps.adversarial import LECAM


def mesh(config: Mapping[str, Any]) -> Mesh:
    """Return the mesh of config.mesh over this machine's devices.

    Raises:
      ConfigError: it cannot split the devices, the batches or the images.
    """
    made = meshes.create(**config["mesh"])
    meshes.check_batch(made, config["batch_size"], grad_accum_steps=config["grad_accum_steps"])
    meshes.check_batch(made, config["eval"]["batch_size"], key="eval.batch_size")
    meshes.check_height(made, data.height(config["data"]))
    for height, _ in shapes_of(config["data"].get("buckets", ())):
        meshes.check_height(made, height, key="data.buckets")
    return made


def extras(config: Mapping[str, Any]) -> Extras:
    """Return what the state holds besides the model: a discriminator, parameters of the loss."""
    channels = config["model"].get("latent_channels", 0)
    params = objective.trained_params(config["objective"], channels)
    params |= regularizers_of(config).params
    of_latents = latent_adversarial_config(config).is_on
    if (config["step"] == "elbo" and not of_latents) or not config["discriminator"]:
        has_norms = objective.spectral_weight(config["objective"]) is not None
        return Extras(params, spectral=has_norms, trainable=trainable(config))
    optimizer, values = discriminator_update(config).optimizer, {} if of_latents else LECAM
    made = discriminator_factory(config)
    return Extras(params, made, optimizer, values, trainable=trainable(config))


def abstract_state(
    config: Mapping[str, Any], mesh: Mesh | AbstractMesh
) -> tuple[ModelDef, TrainState]:
    """Return the model's definition, and the state as shapes with shardings over `mesh`."""
    optimizer = update(config).optimizer
    with progress.task("building the model"):
        return states.abstract(
            model_factory(config), optimizer, mesh, config["sharding"], extras(config)
        )


def initial_state(config: Mapping[str, Any], shapes: TrainState) -> TrainState:
    """Return the state before the first step, with the shardings of `shapes`.

    Raises:
      ConfigError: the codec of config.init does not fit the model.
    """
    given = init.arrays(config, _of_model(shapes.params), _of_model(shapes.model_state))
    return states.initialize(
        model_factory(config),
        update(config).optimizer,
        shapes,
        config["seed"],
        extras(config),
        given=given,
    )


def _of_model(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays without those of the objective."""
    return {name: array for name, array in arrays.items() if not name.startswith(OBJECTIVE)}
