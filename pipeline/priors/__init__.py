"""Priors p(z), found by name: `dict(name="vamp.VampPrior", num_pseudo_inputs=500)`.

A prior is an nnx.Module over latents of one shape; tests/priors/contract_test.py checks each one.

    Prior(*, shape, ..., key)
    prior.log_prob(z) -> [b *shape]                     log p(z), in nats, not reduced
    prior.sample(key, num, temperature) -> [num *shape]
    prior.kl(mean, logvar) -> [b *shape]                only where it has a closed form
    prior.cross_entropy(z, key) -> [b *shape]           only where log_prob is too slow to train

`log_prob` has the shape of z and sums to log p(z) over an example. Where p(z) is not a product over
elements, an element has log p(z_i | the elements before it), or the share that a flow gives it, so
that a `Latent.kl` made of it is not reduced either.

`sample` multiplies deviations by `temperature`; without a key it returns the prior's mean, or what
a flow makes of the mean of its base. `kl` is the expectation of log q(z) - log p(z) under the
diagonal Gaussian q, which is estimated from one sample without it. `cross_entropy` is an unbiased
estimate of an upper bound on -log p(z); importance-weighted bounds need `log_prob` all the same.

The constructor takes of these arguments those that it needs: `shape` of a latent, `key`, and
`encoder`, `image_shape` and `input_range` of a model that has a posterior: encoder(x) returns the
mean and the log-variance [b *shape] of images x [b *image_shape] with values in `input_range`.

`hierarchy` has no prior: it is the contract of models with several layers of latents.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.construct import construct, find
from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent, Outputs
from pipeline.distributions.continuous import gaussian_log_prob
from pipeline.priors.standard_normal import StandardNormal

PACKAGE = "pipeline.priors"
# Tells the draw of a prior from that of the latent, which has the same key.
PRIOR_KEY = 0x5052


def create(recipe: Mapping[str, Any] | None, *, where: str = "model.prior", **given: Any) -> Any:
    """Build the prior that a recipe names; None is N(0, 1).

    Args:
      given: `shape`, `key` and the others that constructors may take, see above.

    Raises:
      ConfigError: an unknown name or key, a wrong value, or a model without what the prior needs.
    """
    if recipe is None:
        return StandardNormal(shape=given["shape"])
    name = recipe.get("name")
    if isinstance(name, str):
        known = inspect.signature(_constructor(find(PACKAGE, name, where=where))).parameters
        if "encoder" in known and "encoder" not in given:
            raise ConfigError(
                f"{where}.name={name!r} is made of posteriors of images alone, which this model "
                "does not have; take another prior, or leave out its labels"
            )
        given = {key: value for key, value in given.items() if key in known}
    return construct(PACKAGE, recipe, where=where, **given)


def latent(
    prior: Any,
    z: Float[Array, "b ..."],
    mean: Float[Array, "b ..."],
    logvar: Float[Array, "b ..."],
    log_q: Float[Array, "b ..."] | None = None,
    key: PRNGKeyArray | None = None,
) -> Latent:
    """Return the Latent of a sample z of N(mean, exp(logvar)) and its KL to a prior.

    Args:
      log_q: log-density of each element of z, if z is not the Gaussian's sample but what a flow
        made of it.
      key: of a prior's `cross_entropy`; without one its draw is always the same.
    """
    if hasattr(prior, "cross_entropy"):
        own_key = jax.random.key(0) if key is None else jax.random.fold_in(key, PRIOR_KEY)
        log_p = -prior.cross_entropy(z, own_key)
    else:
        log_p = prior.log_prob(z)
    if log_q is None and hasattr(prior, "kl"):
        kl = prior.kl(mean, logvar)
    else:
        kl = (gaussian_log_prob(z, mean, logvar) if log_q is None else log_q) - log_p
    if isinstance(prior, StandardNormal):
        zeros = jnp.zeros_like(mean)
        return Latent(z, kl, mean, logvar, prior_mean=zeros, prior_logvar=zeros, log_q=log_q)
    return Latent(z, kl, mean, logvar, log_q=log_q, log_p=log_p)


def with_log_prob(model: Any, outputs: Outputs) -> Outputs:
    """Return outputs whose latents have the prior's log-density where they have a bound on it.

    The mean over samples of exp of an estimate is not bounded by what it estimates, so that
    importance-weighted bounds need the density.
    """
    if not hasattr(getattr(model, "prior", None), "cross_entropy"):
        return outputs
    return dataclasses.replace(outputs, latents=evaluated(model.prior, outputs.latents))


def evaluated(prior: Any, latents: tuple[Latent, ...]) -> tuple[Latent, ...]:
    """Return latents whose log_p, where there is one, is the prior's log-density of z."""
    return tuple(
        latent
        if latent.log_p is None
        else dataclasses.replace(latent, log_p=prior.log_prob(latent.z))
        for latent in latents
    )


def _constructor(kind: Any) -> Any:
    # nnx's metaclass hides the signature of a class behind (*args, **kwargs).
    return kind.__init__ if isinstance(kind, type) else kind
