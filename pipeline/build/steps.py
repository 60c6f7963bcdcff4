"""config.step and config.objective -> the training step."""

from collections.abc import Mapping
from typing import Any

from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pipeline.build import init
from pipeline.build import teacher as teachers
from pipeline.build.discriminator import gan_config, judges_latents
from pipeline.build.importance import check_objective, importance_config
from pipeline.build.latent_adversarial import latent_adversarial_config
from pipeline.build.model import regularizers_of
from pipeline.build.optimizer import discriminator_update, trainable, update
from pipeline.build.state import extras
from pipeline.core import parameters
from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError
from pipeline.core.parameters import ModelDef
from pipeline.losses import objective
from pipeline.losses.objective import Objective
from pipeline.training.steps.adversarial import AdversarialStep
from pipeline.training.steps.elbo import ElboStep
from pipeline.training.steps.importance_weighted import ImportanceWeightedStep
from pipeline.training.steps.latent_adversarial import LatentAdversarialStep
from pipeline.training.steps.vae_gan import VaeGanStep


def step(
    config: Mapping[str, Any], modeldef: ModelDef, mesh: Mesh | None = None
) -> ElboStep | AdversarialStep:
    """Return the training step that config.step names, for a state that is sharded over `mesh`.

    Raises:
      ConfigError, DataError: settings contradict each other, or files of weights are missing.
    """
    gather = (
        None if mesh is None or mesh.shape["fsdp"] == 1 else NamedSharding(mesh, PartitionSpec())
    )
    common: Any = dict(
        update=update(config),
        seed=config["seed"],
        grad_accum_steps=config["grad_accum_steps"],
        gather=gather,
    )
    channels = config["model"].get("latent_channels", 0)
    loss, frozen = objective.create(
        config["objective"], load_codec=_load_codec, latent_channels=channels
    )
    common["frozen"] = frozen
    _check_balances(config, loss, modeldef)
    importance = importance_config(config)
    if importance.num_samples:
        check_objective(loss)
        return ImportanceWeightedStep(modeldef, loss, importance=importance, **common)
    adversary = latent_adversarial_config(config)
    if adversary.is_on:
        if loss.spectral is not None:
            raise ConfigError("objective.spectral and latent_adversarial exclude one another")
        create = extras(config).discriminator
        assert create is not None
        return LatentAdversarialStep(
            modeldef,
            loss,
            discriminator=parameters.abstract(lambda: create(nnx.Rngs(0)))[0],
            discriminator_update=discriminator_update(config),
            adversary=adversary,
            **common,
        )
    if config["step"] == "elbo":
        return ElboStep(modeldef, loss, **common)
    if loss.spectral is not None:
        raise ConfigError("objective.spectral needs config.step='elbo'; set its weight to 0")
    return _adversarial_step(config, modeldef, loss, common)


def _adversarial_step(
    config: Mapping[str, Any], modeldef: ModelDef, loss: Objective, common: Mapping[str, Any]
) -> AdversarialStep:
    gan, layer, discriminator = gan_config(config), "", None
    create = extras(config).discriminator
    if create is not None and judges_latents(config):
        raise ConfigError(
            "config.discriminator judges latents, and objective.adversarial needs one of images"
        )
    if create is not None:
        discriminator, _, _ = parameters.abstract(lambda: create(nnx.Rngs(0)))
    elif gan.weight > 0:
        raise ConfigError(
            "config.discriminator is missing: objective.adversarial.weight is above 0, and needs "
            "a discriminator, such as dict(name='patchgan.PatchGAN2D')"
        )
    name = config["model"]["name"]
    if gan.weight > 0 and gan.adaptive:
        layer = getattr(modeldef.skeleton(), "last_layer", "")
        if layer not in modeldef.param_names:
            raise ConfigError(
                f"objective.adversarial.adaptive: {name} does not say which is its last layer "
                "(last_layer); set adaptive=False"
            )
        if not common["update"].trainable.trains(layer):
            raise ConfigError(
                f"objective.adversarial.adaptive balances gradients at {layer}, which "
                "config.trainable freezes; set adaptive=False"
            )
    teacher, arrays = teachers.create(config, modeldef)
    common = {**common, "frozen": {**common["frozen"], **arrays}}
    step = VaeGanStep if config["step"] == "vae_gan" else AdversarialStep
    return step(
        modeldef,
        loss,
        teacher=teacher,
        regularizers=regularizers_of(config),
        discriminator=discriminator,
        discriminator_update=discriminator_update(config) if discriminator is not None else None,
        gan=gan,
        layer=layer,
        **common,
    )


def _check_balances(config: Mapping[str, Any], loss: Objective, modeldef: ModelDef) -> None:
    """Raise ConfigError for a term that reads layers or gradients that the step does not give."""
    for name in dict.fromkeys([*loss.balances, *(n for n, term in loss.terms if term.layers)]):
        if config["step"] == "elbo" or latent_adversarial_config(config).is_on:
            raise ConfigError(
                f"objective.{name} needs config.step='adversarial', also without a GAN"
            )
    for name, layer in loss.balances.items():
        if config["grad_accum_steps"] > 1:
            raise ConfigError(
                f"objective.{name} balances gradients of a whole batch: set its adaptive=False, or "
                "grad_accum_steps=1"
            )
        if layer not in modeldef.param_names:
            raise ConfigError(
                f"objective.{name} balances gradients at {layer!r}, which is no parameter of the "
                f"model: {nearest(layer, modeldef.param_names)[:300]}"
            )
        if not trainable(config).trains(layer):
            raise ConfigError(
                f"objective.{name} balances gradients at {layer}, which config.trainable freezes; "
                "set its adaptive=False"
            )


def _load_codec(path: str) -> tuple[ModelDef, Any]:
    """Return the definition and the weights of the codec in a folder."""
    codec = init.read(path)
    return codec.modeldef, codec.weights
