"""The vision foundation model loss of VA-VAE (arXiv 2501.01423, eq. 3 to 6).

The latents, through a learned projection, should point where a teacher's features do at each
position, and should have the same similarities between positions. Each part is ignored up to a
margin.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.losses import alignment
from pipeline.losses.alignment import Map, normalized
from pipeline.losses.term import Term, Weight

PATHS = ("teacher.weights",)  # Arguments that say where files are on this machine.


def vf(
    *,
    weight: Weight = 0.1,
    teacher: Mapping[str, Any] = {},
    layer: str = "",
    channels: int = 0,
    teacher_channels: int = 1024,
    cosine_margin: float = 0.5,
    distance_margin: float = 0.25,
    adaptive: bool = True,
    kernel: str = "encoder.conv_out.kernel",
    where: str = "objective.vf",
) -> Term:
    """Return the loss, a mean over positions and over pairs of positions of a frame.

    teacher: the frozen encoder (pipeline.frozen). layer: of the codec, whose output is compared;
    "" for the sampled latents. channels: of that output, 0 for the latents'. teacher_channels: of
    the teacher's features. cosine_margin: m_1, `distance_margin`: m_2, what is ignored.
    adaptive: multiply the weight by the ratio of the likelihood's gradient to this one's at
    `kernel`.
    """
    encoder, arrays = alignment.create_teacher(teacher, where)

    def value(outputs, batch, step, frozen):
        own = alignment.codec_features(outputs, layer)
        found = alignment.teacher_features(encoder, frozen, batch)
        wanted = alignment.on_grid_of(found, own)
        return distance(
            alignment.project(own, _projection_of(frozen), where, wanted),
            wanted,
            cosine_margin=cosine_margin,
            distance_margin=distance_margin,
        )

    def log(value, batch, step):
        return {"vf": value}

    return Term(
        value,
        weight,
        log_name="vf",
        balance=kernel if adaptive else "",
        layers=(layer,) if layer else (),
        frozen=arrays,
        log=log,
    )


def trained(arguments: Mapping[str, Any], latent_channels: int) -> dict[str, Any]:
    """Return the first values of the projection, a linear layer without bias."""
    widths = arguments["channels"] or latent_channels, arguments["teacher_channels"]
    values = alignment.projection(widths, use_bias=False)
    return {f"projection.{name}": array for name, array in values.items()}


def _projection_of(arrays: Mapping[str, Array]) -> dict[str, Array]:
    start = "projection."
    return {n.removeprefix(start): a for n, a in arrays.items() if n.startswith(start)}


def distance(
    own: Map, teacher: Map, *, cosine_margin: float = 0.0, distance_margin: float = 0.0
) -> Float[Array, " b"]:
    """Return the loss of features of the same shape, of each example.

    The second part depends on angles between positions alone, so that no orthogonal map of the
    channels changes it.
    """
    b, (h, w, c) = len(own), own.shape[-3:]
    a, f = (normalized(x.reshape(b, -1, h * w, c).astype(jnp.float32)) for x in (own, teacher))
    cosine = jax.nn.relu(1 - cosine_margin - (a * f).sum(axis=-1))
    apart = jnp.abs(_similarities(a) - _similarities(f))
    pairs = jax.nn.relu(apart - distance_margin)
    return cosine.reshape(b, -1).mean(axis=1) + pairs.reshape(b, -1).mean(axis=1)


def _similarities(x: Float[Array, "b t n c"]) -> Float[Array, "b t n n"]:
    return jnp.einsum("btnc,btmc->btnm", x, x)
