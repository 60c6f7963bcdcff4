"""The length of the code of a model's latents, and the distortion that it buys.

Latents with a KL cost their KL, which bits-back coding reaches (arXiv 1901.04866); rounded latents
cost their code's ideal length, which is their `kl`. Codes with a uniform prior cost the entropy of
their shares in the set at each position, which an ideal coder reaches that knows those shares and
takes codes one by one; a learned prior over codes would need less.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.backend.jit import jit
from pipeline.core import labels, pixels
from pipeline.core.errors import DataError
from pipeline.core.reduce import layer_rates
from pipeline.core.types import Batch, Latent, pixels_of
from pipeline.distances.pixel_error import mse, psnr
from pipeline.metrics import catalogue
from pipeline.metrics.functions import codebook_usage
from pipeline.metrics.functions.average import Averages, masked_sum

MOST_ROWS = 6  # of the table, for models with many layers


def evaluate(
    model: Any,
    batches: Iterable[Batch],
    *,
    key: PRNGKeyArray,
    place: Callable[[Batch], Batch] = lambda batch: batch,
    replicated: jax.sharding.Sharding | None = None,
) -> dict[str, Any]:
    """Measure rate and distortion of a set; each example whose mask is not 0 counts once.

    Args:
      model: any model of pipeline.models.
      batches: host batches of images or clips, with their masks.
      key: for the latents' samples, at which a KL is measured.
      place: puts a host batch on the devices, for a model that is sharded over a mesh.
      replicated: sharding for the sums, so that every process can read them.

    Returns:
      code_bits_per_value and code_bits_per_pixel; "table", rows of layers, bits_per_value,
      bits_per_pixel, psnr (dB) and mse, where the first `layers` layers are coded and the others
      are the means of their priors, with at most MOST_ROWS rows; kinds, for each layer how its
      bits are counted; num_examples and protocol.

    Raises:
      DataError: there are no examples.
    """
    graph, state = nnx.split(model)
    rows = row_layers(model.num_layers)
    averages, codes, sizes = Averages(), [], None
    shape: tuple[int, ...] = ()
    for number, batch in enumerate(batches):
        shape = pixels_of(batch).shape[1:]
        sums, counts, sizes = _sums(
            graph, replicated, rows, state, place(batch), jax.random.fold_in(key, number)
        )
        averages.add(sums, sums["count"])
        old = codes or [0.0] * len(counts)
        codes = [np.asarray(new, np.float64) + each for new, each in zip(counts, old)]
    if sizes is None or not averages.count:
        raise DataError("evaluation: there is no example to evaluate on")
    bits = _bits_of_layers(averages.mean("rates") / math.log(2), sizes.layers, codes)
    values, pixel_count = math.prod(shape), math.prod(shape[:-1])
    table = [
        dict(
            layers=layers,
            bits_per_value=float(bits[:layers].sum() / values),
            bits_per_pixel=float(bits[:layers].sum() / pixel_count),
            **{name: float(averages.mean(f"{name}.{layers}")) for name in ("psnr", "mse")},
        )
        for layers in rows
    ]
    report: dict[str, Any] = dict(
        code_bits_per_value=table[-1]["bits_per_value"],
        code_bits_per_pixel=table[-1]["bits_per_pixel"],
    )
    about = f"rate: {catalogue.protocol(report)}; distortion at the posterior means"
    kinds = ["codes' entropy" if each else "KL" for each in sizes.layers]
    return dict(**report, table=table, kinds=kinds, num_examples=averages.count, protocol=about)


def row_layers(num_layers: int) -> tuple[int, ...]:
    """Return how many layers are coded in each row of the table, at most MOST_ROWS rows."""
    counts = np.linspace(1, num_layers, min(num_layers, MOST_ROWS))
    return tuple(sorted({round(count) for count in counts.tolist()}))


class _Sizes:
    """For each layer, the number of positions of each of its codes; none where it has a KL.

    It is a pytree without arrays, so that a compiled function can return it.
    """

    def __init__(self, layers: tuple[tuple[int, ...], ...]):
        self.layers = layers

    @classmethod
    def of(cls, latents: Sequence[Latent]) -> "_Sizes":
        return cls(tuple(map(_positions, latents)))


jax.tree_util.register_pytree_node(
    _Sizes, lambda sizes: ((), sizes.layers), lambda layers, _: _Sizes(layers)
)


def _positions(latent: Latent) -> tuple[int, ...]:
    if latent.indices is None:
        return ()
    several = latent.indices.ndim == latent.z.ndim
    positions = math.prod(latent.z.shape[1:-1])
    return (positions,) * (latent.indices.shape[-1] if several else 1)


def _bits_of_layers(
    rates: np.ndarray, layers: Sequence[tuple[int, ...]], codes: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the bits of each layer: its rate, or of codes the entropy at all positions."""
    left, bits = list(codes), []
    for rate, positions in zip(rates, layers, strict=True):
        own, left = left[: len(positions)], left[len(positions) :]
        entropies = [float(codebook_usage.bits(counts)) for counts in own]
        bits.append(sum(n * h for n, h in zip(positions, entropies)) if positions else rate)
    return np.asarray(bits, np.float64)


@functools.partial(jit, static_argnums=(0, 1, 2), what="the evaluation of the rate")
def _sums(
    graph: nnx.GraphDef,
    replicated: jax.sharding.Sharding | None,
    rows: tuple[int, ...],
    state: Any,
    batch: Batch,
    key: PRNGKeyArray,
) -> tuple[dict[str, Float[Array, "..."]], list[Float[Array, " _"]], _Sizes]:
    """Return sums over a batch's examples, the counts of codes, and the sizes of layers."""
    image, mask = pixels_of(batch), batch["mask"]
    model: Any = nnx.merge(graph, state)
    condition = labels.of_batch(model, batch)
    sampled = model.encode(image, key=key, **condition)
    latents = model.encode(image, **condition)
    sums = {"rates": masked_sum(layer_rates(sampled), mask), "count": masked_sum(mask, mask)}
    for layers in rows:
        likelihood = model.decode([latent.z for latent in latents[:layers]], **condition)
        both = (pixels.to_uint8(x) for x in (likelihood.mean(), likelihood.target(image)))
        recon, target = (x.reshape(-1, *x.shape[-3:]) for x in both)
        for name, distance in (("psnr", psnr), ("mse", mse)):
            per_example = distance(recon, target).reshape(len(image), -1).mean(axis=1)
            sums[f"{name}.{layers}"] = masked_sum(per_example, mask)
    result = sums, codebook_usage.count_layers(latents, mask), _Sizes.of(latents)
    if replicated is None:
        return result
    return jax.tree.map(lambda value: jax.lax.with_sharding_constraint(value, replicated), result)
