"""Walks through a codec's latents: from one example to another, or along one dimension.

Latents have the form of an encoding's `mode`: an array [b ... d], or for a hierarchy a tuple with
one array per layer, top first.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from pipeline.codec.any_size import AnySizeCodec
from pipeline.core.errors import DataError
from pipeline.distributions.continuous import gaussian_kl

Vector = Float[np.ndarray, " d"]
Points = Float[np.ndarray, "num d"]


def linear(start: Vector, end: Vector, parts: Float[np.ndarray, "num 1"]) -> Points:
    """Return the points of a straight line at parts of its length."""
    return start + parts * (end - start)


def slerp(start: Vector, end: Vector, parts: Float[np.ndarray, "num 1"]) -> Points:
    """Return the points of an arc around the origin at parts of its angle (arXiv 1609.04468).

    Samples of a Gaussian prior in many dimensions have nearly the same norm, which the points of
    the arc keep and those of a line do not. Vectors of one or of opposite directions have no single
    arc; they are connected by a line.
    """
    norms = np.linalg.norm(start) * np.linalg.norm(end)
    angle = np.arccos(np.clip(start @ end / norms, -1, 1)) if norms else 0.0
    if np.sin(angle) < 1e-6:
        return linear(start, end, parts)
    return (np.sin((1 - parts) * angle) * start + np.sin(parts * angle) * end) / np.sin(angle)


PATHS: dict[str, Callable[[Vector, Vector, Float[np.ndarray, "num 1"]], Points]] = {
    "linear": linear,
    "slerp": slerp,
}


def between(start: Any, end: Any, num: int, path: str = "linear") -> Any:
    """Return `num` latents from those of one example to those of another, both included.

    Args:
      start, end: latents with a batch of 1.
      path: a key of PATHS; each layer of a hierarchy follows it as one vector.
    """
    if isinstance(start, tuple):
        return tuple(between(a, b, num, path) for a, b in zip(start, end, strict=True))
    parts = np.linspace(0, 1, num)[:, None]
    a, b = (np.asarray(z, np.float64).ravel() for z in (start, end))
    points = PATHS[path](a, b, parts)
    return points.reshape(num, *np.shape(start)[1:]).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Axes:
    """The dimensions of a codec's first layer of latents, for walks along each of them.

    Attributes:
      center: [1 ... d], the latent whose other dimensions a walk keeps.
      base, deviation: [1 ... d]; a walk sets a dimension to base + steps * deviation.
      kl: [d], nats of each dimension in an example, averaged over the examples.
    """

    center: Float[np.ndarray, "1 ... d"]
    base: Float[np.ndarray, "1 ... d"]
    deviation: Float[np.ndarray, "1 ... d"]
    kl: Float[np.ndarray, " d"]

    def largest(self, count: int) -> list[int]:
        """Return the `count` dimensions of the largest KL, largest first; 0 for all of them."""
        order = np.argsort(-self.kl, kind="stable").tolist()
        return order[: count or None]

    def walk(
        self, dimension: int, steps: Float[np.ndarray, " num"]
    ) -> Float[np.ndarray, "num ... d"]:
        """Return latents that differ in one dimension alone, by `steps` deviations."""
        z = np.repeat(self.center, len(steps), axis=0)
        shape = (-1, *[1] * (z.ndim - 2))
        offsets = steps.reshape(shape) * self.deviation[..., dimension]
        z[..., dimension] = self.base[..., dimension] + offsets
        return z.astype(np.float32)


def axes_of(
    codec: Any,
    examples: Shaped[np.ndarray, "b ..."],
    start: Shaped[np.ndarray, "1 ..."] | None = None,
    **condition: Any,
) -> Axes:
    """Return the dimensions of a codec's latents, measured on examples.

    A codec of a fixed size has a prior, whose mean and deviations a walk takes, in all positions of
    a map alike; of a hierarchy, the top layer is walked and the others follow by their priors'
    means. A codec of any size has none that its latents follow: a walk shifts a channel by its
    deviation over the examples.

    Args:
      examples: images or clips that the KL is averaged over.
      start: the example to walk from; without it, a codec of a fixed size starts from the prior's
        mean, and one of any size from the first example.
      **condition: arguments of `encode`, such as a label.

    Raises:
      DataError: the codec's latents, or the top ones of a hierarchy, are codes.
    """
    if codec.num_codes:
        raise _codes()
    if isinstance(codec, AnySizeCodec):
        return _of_maps(codec, examples, examples[:1] if start is None else start)
    latent = codec.encode(examples, **condition).latents()[0]
    if latent.mean is None:
        raise _codes()
    shape = (1, *latent.z.shape[1:])
    mean = np.asarray(latent.prior_mean).mean(axis=0).reshape(shape)
    logvar = np.asarray(latent.prior_logvar).mean(axis=0).reshape(shape)
    center = mean if start is None else np.asarray(codec.encode(start, **condition).latents()[0].z)
    return Axes(center, mean, np.exp(logvar / 2), _by_dimension(latent.kl))


def _of_maps(codec: AnySizeCodec, examples: np.ndarray, start: np.ndarray) -> Axes:
    encodings: list[Any] = [codec.encode(example[None]) for example in examples]
    means = np.concatenate([np.asarray(each.mean) for each in encodings])
    kl = [_by_dimension(gaussian_kl(each.mean, each.logvar)) for each in encodings]
    center = np.asarray(codec.encode(start).mode())
    deviation = means.std(axis=tuple(range(means.ndim - 1)))
    return Axes(center, center, np.broadcast_to(deviation, center.shape), np.mean(kl, axis=0))


def _codes() -> DataError:
    return DataError("the latents of this codec are codes, which have no deviations to walk by")


def _by_dimension(kl: Any) -> Float[np.ndarray, " d"]:
    """Return the KL of each dimension of an example, averaged over a batch."""
    kl = np.asarray(kl)
    return kl.reshape(len(kl), -1, kl.shape[-1]).sum(axis=1).mean(axis=0)
