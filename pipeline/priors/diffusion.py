"""A diffusion model as the prior of a VAE (arXiv 2106.05931, LSGM; 2106.15671)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.construct import construct
from pipeline.core.errors import ConfigError
from pipeline.diffusion import grids, paths, predictions, samplers, times, weightings
from pipeline.diffusion.cross_entropy import cross_entropy
from pipeline.diffusion.likelihood import log_prob
from pipeline.diffusion.loss import weighted_error
from pipeline.diffusion.mixed_score import mixed_noise
from pipeline.diffusion.predictions import Predict

# Up to so many elements the divergence of the flow is exact, and beyond it is estimated.
MOST_EXACT = 64


class DiffusionPrior(nnx.Module):
    """p(z) of a probability flow whose score is N(0, 1)'s, corrected by a network.

    Training bounds log p(z) from below by one time an example (`cross_entropy`), so that a rate is
    an upper bound and the whole stays one ELBO. `log_prob` is the flow's, by solving its equation:
    slow, and meant for evaluation.

    With `weighting="likelihood"` encoder and prior minimise the same bound. Any other name weighs
    the errors from which the prior itself learns, as LSGM does for better samples; the encoder and
    the reported rate keep the bound.

    Args:
      denoiser: a network of pipeline.denoisers that predicts the noise, such as
        dict(name="mlp.SkipMLP", depth=3, width=512).
      path: a path of pipeline.diffusion.paths.
      mixing: the logit, at first, of the network's share of each channel's score; LSGM's -6 is for
        MNIST, and -3 its default.
      weighting: a name of pipeline.diffusion.weightings.
      times: a name of pipeline.diffusion.times; `log_variance` is for `likelihood`, and `signal`
        for `noise`.
      earliest: the first time, or None for the path's; LSGM's is 0.01.
      sampler, steps, spacing: of samples, see pipeline.diffusion.samplers and grids; not `ddpm`.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        denoiser: Mapping[str, Any],
        path: Mapping[str, Any] | None = None,
        mixing: float | int = -6.0,
        weighting: str = "likelihood",
        times: str = "log_variance",
        earliest: float | None = None,
        sampler: str = "dpm_solver",
        steps: int = 50,
        spacing: str = "log_snr",
        key: PRNGKeyArray,
    ):
        self.shape = shape
        self.path = paths.create(
            path or dict(name="variance_preserving.VariancePreserving"), where="model.prior.path"
        )
        self.denoiser = construct(
            "pipeline.denoisers",
            denoiser,
            where="model.prior.denoiser",
            in_channels=shape[-1],
            out_channels=shape[-1],
            rngs=nnx.Rngs(key),
        )
        self.mixing = nnx.Param(jnp.full(shape[-1:], mixing, jnp.float32))
        self.weighting, self.times = weighting, times
        self.earliest = self.path.earliest if earliest is None else float(earliest)
        self.sampler, self.steps, self.spacing = sampler, steps, spacing
        _check(self)

    def cross_entropy(self, z: Float[Array, "b ..."], key: PRNGKeyArray) -> Float[Array, "b ..."]:
        """Return an unbiased estimate of an upper bound on -log p(z), for each element of z."""
        of_times, of_noise = jax.random.split(key)
        drawn = times.draw(self.times, self.path, of_times, len(z), earliest=self.earliest)
        noise = jax.random.normal(of_noise, z.shape)
        settings: Any = dict(path=self.path)
        if self.weighting == "likelihood":
            return cross_entropy(
                self._predict(), z, noise, drawn, earliest=self.earliest, **settings
            )
        stop = jax.lax.stop_gradient
        bound = cross_entropy(
            self._predict(stop), z, noise, drawn, earliest=self.earliest, **settings
        )
        own = weighted_error(
            self._predict(),
            stop(z),
            noise,
            drawn,
            prediction="noise",
            weighting=self.weighting,
            **settings,
        )
        # Adds the gradient of `own`, and nothing to the value.
        own = own.reshape(-1, *[1] * (z.ndim - 1))
        return bound + (own - stop(own))

    def log_prob(self, z: Float[Array, "b ..."]) -> Float[Array, "b ..."]:
        """Return equal shares of log p(z) for all elements of an example."""
        key = None if z[0].size <= MOST_EXACT else jax.random.key(0)
        total = log_prob(self.path, self._split(), z, key=key, earliest=self.earliest)
        return jnp.broadcast_to(total.reshape(-1, *[1] * (z.ndim - 1)) / z[0].size, z.shape)

    def sample(
        self, key: PRNGKeyArray | None, num: int, temperature: Float[Array, ""] | float | int = 1.0
    ) -> Float[Array, "num ..."]:
        noise = jnp.zeros((num, *self.shape), jnp.float32)
        if key is not None:
            noise = temperature * jax.random.normal(key, noise.shape)
        grid = grids.times(self.path, self.steps, spacing=self.spacing, earliest=self.earliest)
        return samplers.sample(self.sampler, self.path, self._split(), noise, grid)

    def _predict(self, of_parameters: Any = lambda value: value) -> Predict:
        """Return the noise prediction, of parameters to which a function is applied."""
        graph, state = nnx.split((self.denoiser, self.mixing))
        denoiser, mixing = nnx.merge(graph, jax.tree.map(of_parameters, state))
        return mixed_noise(self.path, lambda x_t, t: denoiser(x_t, t), mixing[...])

    def _split(self) -> predictions.Split:
        return predictions.splitter("noise", self.path, self._predict())


def _check(prior: DiffusionPrior) -> None:
    """Try what only a draw would find wrong."""
    if getattr(samplers.find(prior.sampler, where="model.prior.sampler"), "HAS_NOISE", False):
        raise ConfigError(
            f"model.prior.sampler={prior.sampler!r} draws noise in every step, and the sample of a "
            "prior is a function of its first noise; take dpm_solver, heun, ddim or euler"
        )
    grids.times(prior.path, prior.steps, spacing=prior.spacing, earliest=prior.earliest)
    times.draw(prior.times, prior.path, jax.random.key(0), 1, earliest=prior.earliest)
    weightings.check(prior.weighting)
