"""Priors p(z), found by name: `dict(name="vamp.VampPrior", num_pseudo_inputs=500)`.

A prior is an nnx.Module over latents of one shape; tests/priors/contract_test.py checks each one.

    Prior(*, shape, ..., key)
    prior.log_prob(z) -> [b *shape]                     log p(z), in nats, not reduced
    prior.sample(key, num, temperature) -> [num *shape]
    prior.kl(mean, logvar) -> [b *shape]                only where it has a closed form

`log_prob` has the shape of z and sums to log p(z) over an example. Where p(z) is not a product over
elements, an element has log p(z_i | the elements before it), or the share that a flow gives it, so
that a `Latent.kl` made of it is not reduced either.

`sample` multiplies deviations by `temperature`; without a key it returns the prior's mean, or what
a flow makes of the mean of its base. `kl` is the expectation of log q(z) - log p(z) under the
diagonal Gaussian q, which is estimated from one sample without it.

The constructor takes of these arguments those that it needs: `shape` of a latent, `key`, and
`encoder`, `image_shape` and `input_range` of a model that has a posterior: encoder(x) returns the
mean and the log-variance [b *shape] of images x [b *image_shape] with values in `input_range`.

`hierarchy` has no prior: it is the contract of models with several layers of latents.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.construct import construct, find
from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent
from pipeline.distributions.continuous import gaussian_log_prob
from pipeline.priors.standard_normal import StandardNormal

PACKAGE = "pipeline.priors"


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
) -> Latent:
    """Return the Latent of a sample z of N(mean, exp(logvar)) and its KL to a prior.

    Args:
      log_q: log-density of each element of z, if z is not the Gaussian's sample but what a flow
        made of it.
    """
    log_p = prior.log_prob(z)
    if log_q is None and hasattr(prior, "kl"):
        kl = prior.kl(mean, logvar)
    else:
        kl = (gaussian_log_prob(z, mean, logvar) if log_q is None else log_q) - log_p
    if isinstance(prior, StandardNormal):
        zeros = jnp.zeros_like(mean)
        return Latent(z, kl, mean, logvar, prior_mean=zeros, prior_logvar=zeros, log_q=log_q)
    return Latent(z, kl, mean, logvar, log_q=log_q, log_p=log_p)


def _constructor(kind: Any) -> Any:
    # nnx's metaclass hides the signature of a class behind (*args, **kwargs).
    return kind.__init__ if isinstance(kind, type) else kind
