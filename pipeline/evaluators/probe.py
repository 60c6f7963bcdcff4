"""A probe of latents: how well a small generative model learns them in a fixed budget.

A transformer learns the velocity of flow matching on a codec's latents, normalized by channel. Its
held-out loss is divided by the best loss of a Gaussian with the mean and covariance of the same
latents, so that latents of different scales and shapes compare: below 1 it has learned structure
beyond those moments.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array

from pipeline.backend.jit import jit
from pipeline.core import parameters, pixels, progress
from pipeline.core.construct import construct
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.types import Batch, pixels_of
from pipeline.diffusion import gaussian, grids, predictions, samplers, times
from pipeline.diffusion.loss import weighted_error
from pipeline.diffusion.paths.straight import Straight
from pipeline.evaluators.feature_distance import FeatureDistance
from pipeline.evaluators.latents import check
from pipeline.metrics import catalogue
from pipeline.metrics.functions.embedding import Embedding

_PATH, _BINS = Straight(), 10
_MOST_DIMENSIONS = 4096  # Of a covariance; longer latents are compared channel by channel.


@dataclasses.dataclass(frozen=True)
class Settings:
    """The budget of a probe.

    Attributes:
      denoiser: the network, a recipe of pipeline.denoisers.
      steps, batch_size: of training.
      marks: steps after which the held-out loss is measured; the last one is `steps`.
      num_examples: training and held-out latents, at most as many as there are.
      learning_rate, warmup_steps: of Adam; constant after the warmup.
      ema: decay of the average of the weights that is measured, lower in the first steps.
      num_samples: decoded samples and reconstructions whose features are compared; 0 for none.
      sampler_steps: steps of Heun's method.
      minutes: end training after so many minutes; 0 for no limit.
      seed: of weights, batches, times and noise.
    """

    denoiser: Mapping[str, Any]
    steps: int = 3_000
    marks: Sequence[int] = ()
    batch_size: int = 128
    num_examples: int = 10_000
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    ema: float = 0.999
    num_samples: int = 2_000
    sampler_steps: int = 25
    minutes: float = 0.0
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch_size", "num_examples", "sampler_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--probe: {name}={getattr(self, name)} must be 1 or more")


def evaluate(
    model: Any,
    train: Iterable[Batch],
    held_out: Iterable[Batch],
    settings: Settings,
    *,
    features: tuple[Embedding, Any],
) -> dict[str, Any]:
    """Return how well a model learns the latents of a codec.

    Args:
      model: a model with one layer of latents on a grid.
      train, held_out: host batches of images or clips, with their masks; as many as are needed are
        taken of the first, which may be endless.
      features: a network and its weights, whose Frechet distance is reported.

    Returns:
      loss_ratio after the last step; loss_at, the ratio after each of the marks; loss_of_times, the
      held-out loss and the Gaussian's in each of 10 intervals of the time; generated_distance;
      parameters, steps, seconds, num_examples and protocol.

    Raises:
      ConfigError: the model has no such latents, or the network cannot be built.
      DataError: there are too few examples.
    """
    check(model)
    graph, state = nnx.split(model)
    own = _latents(graph, state, train, settings.num_examples)
    other = _latents(graph, state, held_out, settings.num_examples)
    if len(own) < settings.batch_size:
        raise DataError(
            f"--probe: {len(own)} training examples are fewer than its batch_size="
            f"{settings.batch_size}"
        )
    axes = tuple(range(own.ndim - 1))
    mean, std = own.mean(axis=axes), np.maximum(own.std(axis=axes), 1e-6)
    own, other = ((z - mean) / std for z in (own, other))
    best = _gaussian_losses(own, other)
    began = time.monotonic()
    network, trained = _train(own, other, settings)
    losses = trained["losses"]
    last = losses[-1][1]
    result: dict[str, Any] = dict(
        loss_ratio=float(last.mean() / best.mean()),
        loss_at={str(step): float(loss.mean() / best.mean()) for step, loss in losses},
        loss_of_times=dict(probe=last.tolist(), gaussian=best.tolist()),
        generated_distance=None,
        parameters=trained["parameters"],
        steps=losses[-1][0],
        seconds=round(time.monotonic() - began, 1),
        num_examples=len(other),
    )
    count = min(settings.num_samples, len(other))
    if count > 1:
        drawn = _samples(network, own.shape[1:], count, settings) * std + mean
        result["generated_distance"] = _distance(
            graph, state, drawn, other[:count] * std + mean, features
        )
    names = [f"probe.{key}" for key in ("loss_ratio", "generated_distance") if result[key]]
    about = f"probe of {dataclasses.asdict(settings)}; {catalogue.protocol(names)}"
    return result | dict(protocol=about)


def _latents(graph: Any, state: Any, batches: Iterable[Batch], most: int) -> np.ndarray:
    found, count = [], 0
    for batch in batches:
        z = np.asarray(_encoded(graph, state, pixels_of(batch)))
        found.append(z[np.asarray(batch.get("mask", np.ones(len(z)))) > 0])
        count += len(found[-1])
        if count >= most:
            break
    if not count:
        raise DataError("--probe: there is no example to encode")
    return np.concatenate(found)[:most].astype(np.float64)


@functools.partial(jit, static_argnums=(0,), what="the encoder")
def _encoded(graph: nnx.GraphDef, state: Any, images: Array) -> Array:
    return nnx.merge(graph, state).encode(images)[0].z


@functools.partial(jit, static_argnums=(0,), what="the decoder")
def _decoded(graph: nnx.GraphDef, state: Any, z: Array) -> Array:
    return pixels.to_uint8(nnx.merge(graph, state).decode([z]).mean())


def _gaussian_losses(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the best loss of a Gaussian in each interval of the time.

    The covariance is of all elements where there are enough examples, and else of the channels at
    one position. It is fitted to both sets, so that it is not too good for the examples it has.
    """
    z = np.concatenate([own, other])
    rows = z.reshape(len(z), -1)
    if rows.shape[1] > min(_MOST_DIMENSIONS, len(rows) // 4):
        rows = z.reshape(-1, z.shape[-1])
    values = np.linalg.eigvalsh(np.atleast_2d(np.cov(rows, rowvar=False)))
    fine = (np.arange(_BINS * 10) + 0.5) / (_BINS * 10)
    losses = np.array([gaussian.best_loss(values, t) for t in fine])
    return losses.reshape(_BINS, 10).mean(axis=1)


def _train(
    own: np.ndarray, other: np.ndarray, settings: Settings
) -> tuple[Callable[[Array, Array], Array], dict[str, Any]]:
    """Return the trained velocity, and the held-out losses by step."""
    channels = own.shape[-1]
    network = construct(
        "pipeline.denoisers",
        settings.denoiser,
        where="--probe denoiser",
        in_channels=channels,
        out_channels=channels,
        rngs=nnx.Rngs(settings.seed),
    )
    definition, params, others = parameters.split(network)
    warmup = max(1, settings.warmup_steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(optax.linear_schedule(0.0, settings.learning_rate, warmup)),
    )
    data = jnp.asarray(own, jnp.float32)

    def loss_of(params: Any, x: Array, key: Array) -> Array:
        of_time, of_noise, of_dropout = jax.random.split(key, 3)
        drawn = times.draw("uniform", _PATH, of_time, len(x))
        model = definition.merge(params, others)
        return weighted_error(
            lambda x_t, t: model(x_t, t, key=of_dropout),
            x,
            jax.random.normal(of_noise, x.shape),
            drawn,
            path=_PATH,
            prediction="velocity",
        ).mean()

    @functools.partial(jax.jit, donate_argnums=(0,))
    def update(carry: Any, data: Array, number: Array) -> Any:
        params, ema, opt_state = carry
        key = jax.random.fold_in(jax.random.key(settings.seed), number)
        rows = jax.random.randint(jax.random.fold_in(key, 1), (settings.batch_size,), 0, len(data))
        gradients = jax.grad(loss_of)(params, data[rows], key)
        changes, opt_state = optimizer.update(gradients, opt_state, params)
        params = optax.apply_updates(params, changes)
        decay = jnp.minimum(settings.ema, (1 + number) / (10 + number))
        ema = jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, ema, params)
        return params, ema, opt_state

    of_batch = _batch_loss(definition, others)
    carry = params, jax.tree.map(jnp.copy, params), optimizer.init(params)
    marks, losses, began = {*settings.marks, settings.steps}, [], time.monotonic()
    steps = progress.track(
        range(1, settings.steps + 1), "training the probe", settings.steps, "steps"
    )
    for step in steps:
        carry = update(carry, data, jnp.int32(step))
        late = settings.minutes and time.monotonic() - began > 60 * settings.minutes
        if step in marks or late:
            losses.append((step, _held_out(of_batch, carry[1], other, settings)))
        if late:
            break
    ema = carry[1]
    size = sum(np.size(array) for array in params.values())
    return definition.merge(ema, others), dict(losses=losses, parameters=size)


def _batch_loss(definition: Any, others: Any) -> Callable[..., Array]:
    """Return the compiled loss of a batch at times of one interval."""

    @jax.jit
    def of_batch(params: Any, x: Array, number: Array, key: Array) -> Array:
        of_time, of_noise = jax.random.split(jax.random.fold_in(key, number))
        t = (number % _BINS + jax.random.uniform(of_time, (len(x),))) / _BINS
        return weighted_error(
            definition.merge(params, others),
            x,
            jax.random.normal(of_noise, x.shape),
            times.Times(t, jnp.ones_like(t)),
            path=_PATH,
            prediction="velocity",
        ).mean()

    return of_batch


def _held_out(
    of_batch: Callable[..., Array], params: Any, other: np.ndarray, settings: Settings
) -> np.ndarray:
    """Return the held-out loss in each interval of the time, with the same noise at every mark."""
    size = min(settings.batch_size, len(other))
    key = jax.random.key(settings.seed + 1)
    rounds = max(1, len(other) // size)
    sums = np.zeros(_BINS)
    for number in range(rounds * _BINS):
        start = number // _BINS * size
        x = jnp.asarray(other[start : start + size], jnp.float32)
        sums[number % _BINS] += float(of_batch(params, x, jnp.int32(number), key))
    return sums / rounds


def _samples(network: Any, shape: tuple[int, ...], count: int, settings: Settings) -> np.ndarray:
    """Return `count` latents drawn from the trained flow."""
    split = predictions.splitter("velocity", _PATH, network)
    grid = grids.times(_PATH, settings.sampler_steps)

    @jax.jit
    def draw(key: Array) -> Array:
        noise = jax.random.normal(key, (settings.batch_size, *shape))
        return samplers.sample("heun", _PATH, split, noise, grid)

    keys = jax.random.split(jax.random.key(settings.seed + 2), -(-count // settings.batch_size))
    return np.concatenate([np.asarray(draw(key)) for key in keys])[:count]


def _distance(
    graph: Any, state: Any, drawn: np.ndarray, real: np.ndarray, features: tuple[Embedding, Any]
) -> float | None:
    """Return the Frechet distance of decoded samples and reconstructions of as many examples."""
    embedding, weights = features
    found = FeatureDistance(embedding)
    embed = jax.jit(lambda weights, x: embedding(weights, x))
    for start in range(0, len(drawn), 64):
        originals, samples = (
            np.asarray(embed(weights, _decoded(graph, state, jnp.asarray(part, jnp.float32))))
            for part in (real[start : start + 64], drawn[start : start + 64])
        )
        found.add(originals, samples, np.ones(len(drawn[start : start + 64])))
    return found.report()[embedding.metric]
