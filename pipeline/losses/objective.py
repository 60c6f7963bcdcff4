"""The objective of a training step: the weighted sum of the loss terms that a recipe names.

    objective, frozen = objective.create(config.objective)         # once; ConfigError on a mistake
    losses = objective(outputs, batch, step, params, frozen)       # in the step, under jit

`config.objective` has one key for each term, the name of its file in `pipeline.losses.terms` or in
a folder there, which holds the arguments of the term. Terms are added in the order of the recipe,
and a term whose weight is the number 0 is left out, so that its files are not read. The sum follows
latent diffusion's autoencoder (arXiv 2112.10752) and WF-VAE (2411.17459). With E the sum of the
terms that measure the reconstruction, and n the number of values of an example, it is

    E / exp(logvar) + n * logvar + the sum of all other terms
"""

import dataclasses
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core import schedules
from pipeline.core.construct import (
    check_arguments,
    default_arguments,
    load,
    modules_of,
    nearest,
)
from pipeline.core.errors import ConfigError
from pipeline.core.reduce import layer_rates
from pipeline.core.schedules import Number, Step
from pipeline.core.types import Batch, Outputs
from pipeline.distributions.continuous import clip_logvar
from pipeline.losses.term import Frozen, Term, Weight, num_frames, num_values, weight_at

TERMS = "pipeline.losses.terms"
PREFIX = "objective."
LOGVAR = f"{PREFIX}logvar"  # Name of the learned log-variance among the parameters.
UNITS = ("dimension", "image")
# Arguments of terms that the caller of `create` supplies, and keys that are no terms.
SUPPLIED = ("where", "load_codec")
_RESERVED = ("adversarial", "importance", "latent_adversarial", "spectral")

# The objective of a recipe that names no terms, by training step.
DEFAULTS: dict[str, dict[str, Any]] = {
    "elbo": {"distortion": {"weight": 1.0}, "rate": {"weight": 1.0}},
    "adversarial": {"l1": {"weight": 1.0}, "rate": {"weight": 1e-6}},
    "vae_gan": {"discriminator_features": {"weight": 1.0}, "rate": {"weight": 1.0}},
}


@flax.struct.dataclass
class Losses:
    """An objective's values for a batch, in nats as far as the terms are likelihoods.

    Attributes:
      likelihood: sum of the terms that measure the reconstruction [b].
      others: every other term [b], weighted, in the order of the recipe.
      balanced: terms [b] that are not in `others`, because the step balances their gradients,
        unweighted, by the parameter at which it does so and the name of the term.
      values: every term's unweighted value [b], by name.
      logged: what to log, by name: [b] or [b l] in nats per value of the example, or scalars.
    """

    likelihood: Float[Array, " b"]
    others: tuple[Float[Array, " b"], ...]
    values: dict[str, Float[Array, " b"]]
    logged: dict[str, Array]
    balanced: dict[tuple[str, str], Float[Array, " b"]] = flax.struct.field(default_factory=dict)

    @property
    def total(self) -> Float[Array, " b"]:
        """The loss of each example, without the terms that are balanced."""
        return sum(self.others, self.likelihood)

    @property
    def regularizer(self) -> Float[Array, " b"]:
        """Sum of all terms that do not measure the reconstruction."""
        first, *rest = self.others or (jnp.zeros_like(self.likelihood),)
        return sum(rest, first)


@dataclasses.dataclass(frozen=True)
class Objective:
    """Sum of loss terms.

    Attributes:
      terms: the terms by name, in the order of the recipe.
      unit: unit of the differentiated loss: nats per "dimension" or per "image". Clipping, an
        optimizer's eps and L2 regularization act on that scale.
      per_frame: divide the likelihood terms, and only those, by the number of frames of a clip, as
        WF-VAE's code does; a dimension is then one of a frame.
      logvar: fixed log-variance of the likelihood terms; None is a learned one, which starts at 0.
      spectral: weight of the spectral norms of the model's convolutions in nats of an image
        (`pipeline.losses.spectral`); None without them.
      has_penalty: whether the recipe names the term "penalty", even with the weight 0.
      trained: arrays of terms that are trained with the model, and their first values, by name.
    """

    terms: tuple[tuple[str, Term], ...]
    unit: str = "dimension"
    per_frame: bool = False
    logvar: Number | None = 0.0
    spectral: Weight | None = None
    has_penalty: bool = False
    trained: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @property
    def params(self) -> dict[str, Any]:
        """Parameters that are trained with the model's, and their first values."""
        return ({LOGVAR: 0.0} if self.logvar is None else {}) | dict(self.trained)

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers of the codec whose outputs a term reads."""
        return tuple(dict.fromkeys(layer for _, term in self.terms for layer in term.layers))

    def balance_weights(self, step: Step) -> dict[tuple[str, str], Any]:
        """Return the weight of each balanced term, which multiplies its ratio of gradients."""
        return {
            (term.balance, name): weight_at(term.weight, step)
            for name, term in self.terms
            if term.balance
        }

    @property
    def balances(self) -> dict[str, str]:
        """The parameter at which each term that is balanced is so, by the name of the term."""
        return {name: term.balance for name, term in self.terms if term.balance}

    @property
    def likelihood_names(self) -> list[str]:
        """Metrics of the terms that measure the reconstruction."""
        return [term.log_name for _, term in self.terms if term.likelihood]

    @property
    def log_names(self) -> list[str]:
        """Metrics of all terms that are logged, those that measure the reconstruction first."""
        others = [term.log_name for _, term in self.terms if not term.likelihood]
        return self.likelihood_names + [name for name in others if name]

    def divisor(self, batch: Batch) -> int:
        """Return the divisor of an example's loss, applied before differentiation."""
        if self.unit == "image":
            return 1
        return num_values(batch) // (num_frames(batch) if self.per_frame else 1)

    def __call__(
        self,
        outputs: Outputs,
        batch: Batch,
        step: Step,
        params: Mapping[str, Array] | None = None,
        frozen: Frozen | None = None,
    ) -> Losses:
        """Return the terms of each example.

        Args:
          outputs: the model's outputs for the batch.
          batch: its images or clips, and "mask" [b] where it is padded.
          step: the training step, which may be traced.
          params: holds the learned log-variance, where there is one.
          frozen: the arrays that `create` returned.

        Raises:
          ConfigError: a term does not suit the model.
        """
        self._check_penalty(outputs)
        values, n, frames = {}, num_values(batch), num_frames(batch)
        likelihood: Array | None = None
        others: list[Array] = []
        balanced: dict[tuple[str, str], Array] = {}
        logged: dict[str, Array] = {}
        for name, term in self.terms:
            own = _without_prefix(name, frozen or {}) | _without_prefix(
                f"{PREFIX}{name}", params or {}
            )
            value = term.value(outputs, batch, step, own)
            weight = weight_at(term.weight, step)
            weighted = (weight * (n // frames) if term.per_value else weight) * value
            if term.balance:
                balanced[term.balance, name] = value
            elif not term.likelihood:
                others.append(weighted)
            else:
                likelihood = weighted if likelihood is None else likelihood + weighted
            values[name] = value
            if term.log is not None:
                logged |= term.log(value, batch, step)
            elif term.log_name:
                logged[term.log_name] = value / (frames if term.per_value else n)
            if callable(term.weight):
                logged[f"{name}_weight"] = jnp.asarray(weight)
        assert likelihood is not None
        logged["kl"] = layer_rates(outputs.latents) / n
        logvar = self.logvar
        if logvar is None:
            logvar = logged["logvar"] = (params or {})[LOGVAR]
        if self.logvar != 0:
            likelihood = _scaled(likelihood, logvar, n)
        if self.per_frame:
            likelihood = likelihood / frames
        return Losses(likelihood, tuple(others), values, logged, balanced)

    def _check_penalty(self, outputs: Outputs) -> None:
        if "penalty" in outputs.aux and not self.has_penalty:
            raise ConfigError(
                "objective.penalty is missing: this model adds a penalty to the ELBO; add the "
                "term, or set objective.penalty.weight=0 to train without it"
            )


def create(
    recipe: Mapping[str, Any],
    *,
    load_codec: Callable[[str], tuple[Any, Mapping[str, Any]]] | None = None,
    latent_channels: int = 0,
    where: str = "objective",
) -> tuple[Objective, dict[str, Any]]:
    """Return the objective that a recipe asks for, and the arrays of its frozen networks by name.

    `load_codec(folder)` returns the definition of a codec and its weights, and `latent_channels`
    are the model's. The recipe's key
    "adversarial" is not read here: it configures training against a discriminator. Neither are
    "latent_adversarial", which does so for one of latents, and "importance", which configures
    training on the importance-weighted bound.

    Raises:
      ConfigError: an unknown key, a value that cannot work, terms that exclude one another, or a
        missing file. DataError: a file does not hold the expected weights.
    """
    names = [name for name in recipe if name in packages()]
    check_keys(recipe, where=where)
    options = {key: recipe[key] for key in default_arguments(settings) if key in recipe}
    check_arguments(settings, options, where=where, given=("where",))
    supplied = {"load_codec": load_codec}
    terms: dict[str, Term] = {}
    for name in names:
        term = _create_term(name, recipe[name], supplied, f"{where}.{name}")
        if term is not None:
            terms[name] = term
    _check_terms(terms, where)
    frozen = {
        f"{name}.{key}": array for name, term in terms.items() for key, array in term.frozen.items()
    }
    return (
        Objective(
            tuple(terms.items()),
            spectral=spectral_weight(recipe, where=where),
            has_penalty="penalty" in names,
            trained=_trained(recipe, latent_channels),
            **settings(**options, where=where),
        ),
        frozen,
    )


def settings(
    *,
    unit: str = "dimension",
    per_frame: bool = False,
    logvar: float | int | str = 0.0,
    where: str = "objective",
) -> dict[str, Any]:
    """Check the keys of `config.objective` that concern the whole sum, as arguments of `Objective`.

    logvar: a fixed number, or "learned".
    """
    if unit not in UNITS:
        raise ConfigError(f"{where}.unit={unit!r}: {nearest(unit, UNITS)}")
    if isinstance(logvar, str) and logvar != "learned":
        raise ConfigError(f"{where}.logvar={logvar!r} must be a number or 'learned'")
    learned = isinstance(logvar, str)
    return {"unit": unit, "per_frame": per_frame, "logvar": None if learned else logvar}


def spectral(*, weight: Weight = 0.0) -> Weight | None:
    """Return the weight of the spectral norms, from the keys of `config.objective.spectral`."""
    return None if not callable(weight) and weight == 0 else weight


def spectral_weight(recipe: Mapping[str, Any], *, where: str = "objective") -> Weight | None:
    """Return the weight of the spectral norms that a recipe asks for; None without them."""
    given = recipe.get("spectral", {})
    return spectral(**_resolved(spectral, given, f"{where}.spectral"))


def trained_params(recipe: Mapping[str, Any], latent_channels: int = 0) -> dict[str, Any]:
    """Return the parameters that a recipe's objective trains, and their first values.

    Terms are not created, so that no file is read.
    """
    own = {LOGVAR: 0.0} if recipe.get("logvar") == "learned" else {}
    return own | _trained(recipe, latent_channels)


def _trained(recipe: Mapping[str, Any], latent_channels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, package in packages().items():
        given = recipe.get(name)
        if given is None:
            continue
        trained = getattr(load(package, name, where=""), "trained", None)
        function: Any = arguments_of(name)
        arguments = default_arguments(function) | _resolved(function, given, name)
        if trained is None or (not callable(arguments["weight"]) and arguments["weight"] == 0):
            continue
        values = trained(arguments, latent_channels)
        found |= {f"{PREFIX}{name}.{key}": value for key, value in values.items()}
    return found


def packages() -> dict[str, str]:
    """Return the package of each term by name, sorted: the folder of terms or one inside it."""
    found = {}
    for name in modules_of(TERMS):
        path = f"{TERMS}.{name}"
        spec = importlib.util.find_spec(path)
        if spec is None or spec.submodule_search_locations is None:
            found[name] = TERMS
        else:
            found |= dict.fromkeys(modules_of(path), path)
    return dict(sorted(found.items()))


def arguments_of(name: str) -> Callable[..., Any] | None:
    """Return the function that takes the keys of `config.objective.NAME`; None if unknown."""
    if name == "spectral":
        return spectral
    package = packages().get(name)
    return None if package is None else getattr(load(package, name, where=""), name)


def default_keys() -> dict[str, Any]:
    """Return every key that a recipe's objective may leave out, with its defaults."""
    keys = {key: value for key, value in default_arguments(settings).items() if key != "where"}
    for name in (*packages(), "spectral"):
        function = arguments_of(name)
        assert function is not None
        found = default_arguments(function)
        keys[name] = {key: value for key, value in found.items() if key not in SUPPLIED}
    return keys


def path_arguments() -> dict[str, tuple[str, ...]]:
    """Return the arguments of each term that say where files are on this machine, by term.

    A key inside an argument is "teacher.weights"; "*" stands for any key.
    """
    modules = {name: load(package, name, where="") for name, package in packages().items()}
    return {name: module.PATHS for name, module in modules.items() if hasattr(module, "PATHS")}


def check_keys(recipe: Mapping[str, Any], *, where: str = "objective") -> None:
    """Raise ConfigError for a key that is neither a term nor a setting."""
    known = {*packages(), *default_arguments(settings), *_RESERVED} - {"where"}
    for key in recipe:
        if key not in known:
            raise ConfigError(f"{where}.{key} is not a loss term or setting: {nearest(key, known)}")


def _create_term(name: str, given: Any, supplied: Mapping[str, Any], where: str) -> Term | None:
    function: Any = arguments_of(name)
    arguments = _resolved(function, given, where)
    if not callable(arguments["weight"]) and arguments["weight"] == 0:
        return None
    taken = inspect.signature(function).parameters
    supplied = {"where": where, **supplied}
    return function(**arguments, **{key: supplied[key] for key in SUPPLIED if key in taken})


def _resolved(function: Callable[..., Any], given: Any, where: str) -> dict[str, Any]:
    """Return the arguments of a recipe, checked, with the weight as a number or a schedule."""
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}={given!r} must be a dict, such as dict(weight=1.0)")
    check_arguments(function, given, where=where, given=SUPPLIED)
    weight = given.get("weight", default_arguments(function)["weight"])
    if not isinstance(weight, int | float):
        weight = schedules.create(weight, where=f"{where}.weight")
    elif weight < 0:
        raise ConfigError(f"{where}.weight={weight} must be 0 or more")
    return {**given, "weight": weight}


def _check_terms(terms: Mapping[str, Term], where: str) -> None:
    if not any(term.likelihood for term in terms.values()):
        raise ConfigError(
            f"{where} has no term that measures the reconstruction, such as distortion or l1"
        )
    prices = [name for name, term in terms.items() if term.charges_kl]
    if len(prices) > 1:
        raise ConfigError(
            f"{where}: {', '.join(prices)} exclude one another; set the weight of all but one to 0"
        )


def _scaled(
    error: Float[Array, " b"], logvar: Float[Array, ""] | Number, n: int
) -> Float[Array, " b"]:
    """Return error / exp(logvar) + n * logvar, where the error is a sum over n values.

    This is the form in the code of latent diffusion's autoencoder (arXiv 2112.10752). The best
    learned logvar is the log of the mean error: of Laplace's scale for L1, of the variance for L2.
    """
    s = clip_logvar(jnp.asarray(logvar, jnp.float32))
    return error * jnp.exp(-s) + n * s


def _without_prefix(name: str, frozen: Frozen) -> dict[str, Array]:
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): array for key, array in frozen.items() if key.startswith(prefix)
    }
