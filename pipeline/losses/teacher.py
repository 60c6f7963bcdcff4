"""A frozen codec that teaches a student: its latents, images and features as targets of a batch.

    targets = teacher(batch, frozen)      # in the step, without gradients

The terms in pipeline.losses.terms.distillation read them from the batch, and the student's decoder
decodes `teacher_latent` in place of its own encoder's latents.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from jaxtyping import Array

from pipeline.core.errors import ConfigError
from pipeline.core.parameters import ModelDef
from pipeline.core.types import Batch, pixels_of
from pipeline.losses.taps import tapped

PREFIX = "teacher."
LATENT, IMAGE, FEATURES = "teacher_latent", "teacher_image", "teacher_features"


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A frozen codec of images or clips.

    Attributes:
      modeldef: the codec; its arrays are passed in under the names "teacher.NAME".
      images: whether it decodes its latents too.
      layers: names of layers of the teacher whose outputs are targets, such as "decoder.stages.1",
        which needs `images` for layers of the decoder.
      student_layers: names of the student's layers that are compared with them, in this order.
      decode_latents: whether the student's decoder gets the teacher's latents in training, and not
        its own encoder's.
    """

    modeldef: ModelDef
    images: bool = True
    layers: tuple[str, ...] = ()
    student_layers: tuple[str, ...] = ()
    decode_latents: bool = True

    def __call__(self, batch: Batch, frozen: Mapping[str, Array]) -> dict[str, Any]:
        """Return the targets of a batch by name: "teacher_latent", the posterior's mode, and as
        far as they are asked for "teacher_image" in about [-1, 1], and "teacher_features", one
        array a layer.
        """
        arrays = {
            name.removeprefix(PREFIX): array
            for name, array in frozen.items()
            if name.startswith(PREFIX)
        }
        model = self.modeldef.merge(arrays, arrays)
        targets: dict[str, Any] = {}
        with tapped(model, self.layers) as features:
            (latent,) = model.encode(pixels_of(batch))
            targets[LATENT] = latent.z
            if self.images:
                targets[IMAGE] = model.decode((latent.z,)).mean()
        if self.layers:
            missing = [name for name in self.layers if name not in features]
            if missing:
                raise ConfigError(
                    f"config.teacher.layers: the teacher does not run {missing[0]!r}; layers of "
                    "its decoder need config.teacher.images=True"
                )
            targets[FEATURES] = tuple(features[name] for name in self.layers)
        return jax.lax.stop_gradient(targets)


def target(batch: Batch, name: str, where: str) -> Any:
    """Return a target of a batch.

    Raises:
      ConfigError: the run has no teacher that gives it.
    """
    if name not in batch:
        keys = {LATENT: "codec", IMAGE: "images=True", FEATURES: "layers"}
        raise ConfigError(f"{where} needs a teacher: set config.teacher.codec and {keys[name]}")
    return batch[name]
