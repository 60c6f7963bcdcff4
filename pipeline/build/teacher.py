"""config.teacher -> the frozen codec that a student learns from, and its arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.build import init
from pipeline.core.construct import check_arguments
from pipeline.core.errors import ConfigError
from pipeline.core.parameters import ModelDef
from pipeline.losses.taps import tapped
from pipeline.losses.teacher import PREFIX, Teacher


def settings(
    *,
    codec: str = "",
    images: bool = True,
    layers: Sequence[str] = (),
    student_layers: Sequence[str] = (),
    decode_latents: bool = True,
) -> dict[str, Any]:
    """Return the keys of config.teacher.

    codec: a codec's folder; "" for no teacher. images: whether it decodes. layers: of the teacher,
    for objective.teacher_features. student_layers: of the student, compared with them in order; by
    default those of the same names. decode_latents: whether the student's decoder learns from the
    teacher's latents; else from its own encoder's.
    """
    return {
        "codec": codec,
        "images": images,
        "layers": tuple(layers),
        "student_layers": tuple(student_layers) or tuple(layers),
        "decode_latents": decode_latents,
    }


def of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete settings of config.teacher.

    Raises:
      ConfigError: a key or a type is wrong, or the two lists of layers differ in length.
    """
    given = config.get("teacher", {})
    check_arguments(settings, given, where="config.teacher")
    found = settings(**given)
    if len(found["layers"]) != len(found["student_layers"]):
        raise ConfigError(
            "config.teacher: layers and student_layers are compared one by one: give as many of "
            f"one as of the other, not {len(found['layers'])} and {len(found['student_layers'])}"
        )
    if found["codec"] and config["step"] != "adversarial":
        raise ConfigError("config.teacher needs config.step='adversarial', also without a GAN")
    return found


def create(
    config: Mapping[str, Any], modeldef: ModelDef
) -> tuple[Teacher | None, dict[str, np.ndarray]]:
    """Return the teacher and its arrays by name, or (None, {}) in a run without one.

    Args:
      modeldef: the student.

    Raises:
      ConfigError: the codec, or a layer of either model, does not exist, or the two do not fit.
    """
    own = of(config)
    codec = own.pop("codec")
    if not codec:
        return None, {}
    found = init.read(codec)
    teacher, student = found.modeldef.skeleton(), modeldef.skeleton()
    for key in ("is_video", "spatial_factor", "temporal_factor", "latent_channels"):
        if not hasattr(teacher, key) or getattr(teacher, key) != getattr(student, key, None):
            raise ConfigError(
                f"config.teacher.codec={codec!r} has {key} {getattr(teacher, key, None)}, and the "
                f"student {getattr(student, key, None)}: make them equal"
            )
    with tapped(teacher, own["layers"]), tapped(student, own["student_layers"]):
        pass  # raises for a layer that does not exist
    if own["student_layers"] and getattr(student, "remat", False):
        raise ConfigError("config.teacher.layers: outputs of layers need config.model.remat=False")
    arrays = {f"{PREFIX}{name}": np.asarray(array) for name, array in found.weights.items()}
    return Teacher(found.modeldef, **own), arrays


def origin(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a run's checkpoints record of its teacher; None without one."""
    codec = of(config)["codec"]
    return init.origin({"init": {"codec": codec}}) if codec else None
