"""The loss of a network that predicts a path's noise, data, score or velocity."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.diffusion import predictions, weightings
from pipeline.diffusion.paths import Path
from pipeline.diffusion.predictions import Predict
from pipeline.diffusion.times import Times


def weighted_error(
    predict: Predict,
    x: Float[Array, "b ..."],
    noise: Float[Array, "b ..."],
    times: Times,
    *,
    path: Path,
    prediction: str,
    weighting: str = "own",
) -> Float[Array, " b"]:
    """Return the squared error of a prediction of each example, as a mean over its elements.

    Its mean over examples, times and noise estimates the integral over t of the weighted error.

    Args:
      predict: (x_t, t) -> the prediction.
      prediction: a name of pipeline.diffusion.predictions.
      weighting: a name of pipeline.diffusion.weightings.

    Raises:
      ConfigError: an unknown weighting.
    """
    t = times.t
    predicted = predict(path.at(x, noise, t), t).astype(jnp.float32)
    error = jnp.square(predicted - predictions.target(prediction, path, x, noise, t))
    weight = times.weight * weightings.in_prediction(weighting, prediction, path, t)
    return weight * error.reshape(len(x), -1).mean(axis=1)
