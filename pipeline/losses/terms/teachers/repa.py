"""Representation alignment (REPA, arXiv 2410.06940, eq. 8) of a codec's layer with a teacher.

SoftVQ (2412.10958) and MAETok align their latents in this way.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.losses import alignment
from pipeline.losses.alignment import normalized
from pipeline.losses.term import Term, Weight, num_frames

PATHS = ("teacher.weights",)  # Arguments that say where files are on this machine.


def repa(
    *,
    weight: Weight = 0.1,
    teacher: Mapping[str, Any] = {},
    layer: str = "",
    channels: int = 0,
    teacher_channels: int = 1024,
    hidden: int = 2048,
    where: str = "objective.repa",
) -> Term:
    """Return 1 minus the cosine of projected and teacher's features, a mean over positions.

    It counts once for each value of a frame, so that its weight is relative to a mean error of
    pixels. The projection has three layers with SiLU between.

    teacher: the frozen encoder (pipeline.frozen). layer: of the codec, whose output is aligned; ""
    for the latents. channels: of that output, 0 for the latents'. teacher_channels: of the
    teacher's features. hidden: width of the projection.
    """
    del hidden  # the sizes of the trained arrays say it
    encoder, arrays = alignment.create_teacher(teacher, where)

    def value(outputs, batch, step, frozen):
        own = alignment.codec_features(outputs, layer)
        found = alignment.teacher_features(encoder, frozen, batch)
        wanted = alignment.on_grid_of(found, own)
        layers = {
            name.removeprefix("projection."): array
            for name, array in frozen.items()
            if name.startswith("projection.")
        }
        projected = alignment.project(own, layers, where, wanted)
        cosine = (normalized(projected) * normalized(wanted)).sum(axis=-1)
        return (1 - cosine).reshape(len(own), -1).mean(axis=1) * num_frames(batch)

    return Term(
        value,
        weight,
        log_name="repa",
        per_value=True,
        layers=(layer,) if layer else (),
        frozen=arrays,
    )


def trained(arguments: Mapping[str, Any], latent_channels: int) -> dict[str, Any]:
    """Return the first values of the projection."""
    first, hidden = arguments["channels"] or latent_channels, arguments["hidden"]
    values = alignment.projection((first, hidden, hidden, arguments["teacher_channels"]))
    return {f"projection.{name}": array for name, array in values.items()}
