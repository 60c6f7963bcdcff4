"""Sizes of a recipe's stages, and of coding a clip, to plan them on devices that need not exist."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from pipeline.build import data, schema, stages
from pipeline.core.modalities import MODALITIES


@dataclasses.dataclass(frozen=True)
class StageOutline:
    """The sizes of a stage.

    Attributes:
      end: the run's step with which the stage ends.
      height: of images and clips, in pixels; None for examples without pixels.
      batch: shape and dtype of each array of a batch, by name.
      remat: whether activations are recomputed; None if the model has no such setting.
      config: the stage's recipe, for `abstract_state` and `step`.
    """

    number: int
    num_steps: int
    end: int
    batch_size: int
    grad_accum_steps: int
    height: int | None
    batch: Mapping[str, tuple[tuple[int, ...], Any]]
    remat: bool | None
    config: Mapping[str, Any]

    def with_whole_batches(self) -> "StageOutline":
        """Return the stage with a single microbatch."""
        config = {**self.config, "grad_accum_steps": 1}
        return dataclasses.replace(self, grad_accum_steps=1, config=config)


@dataclasses.dataclass(frozen=True)
class RunOutline:
    """The sizes of a run; `checkpoint_every` is 0 if it saves only at its end."""

    model: str
    dtype: str
    mesh: Mapping[str, int]
    num_steps: int
    checkpoint_every: int
    stages: Sequence[StageOutline]


def run_outline(config: Mapping[str, Any]) -> RunOutline:
    """Return the sizes of a complete recipe; reads no data."""
    return RunOutline(
        model=config["model"]["name"],
        dtype=config["dtype"],
        mesh=config["mesh"],
        num_steps=config["num_steps"],
        checkpoint_every=config["checkpoint"]["every"],
        stages=[_stage_outline(stage) for stage in stages.split(config)],
    )


def _stage_outline(stage: stages.Stage) -> StageOutline:
    config = stage.config
    arguments = schema.defaults(ConfigDict(config), "model") | config["model"]
    return StageOutline(
        number=stage.number,
        num_steps=stage.end - stage.begin,
        end=stage.end,
        batch_size=config["batch_size"],
        grad_accum_steps=config["grad_accum_steps"],
        height=data.height(config["data"]),
        batch=batch_of(config),
        remat=arguments.get("remat"),
        config=config,
    )


def batch_of(config: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return shape and dtype of each array of a recipe's batch, by name; reads no data."""
    settings, rows = config["data"], config["batch_size"]
    kind = data.dataset_class(settings["source"])
    example = kind.example_shape(settings)
    return {
        kind.modality: ((rows, *example), MODALITIES[kind.modality].dtype),
        "label": ((rows,), np.int32),
        "index": ((rows,), np.int32),
        "mask": ((rows,), np.float32),
    }


@dataclasses.dataclass(frozen=True)
class CodecOutline:
    """What is coded, and by which codec.

    Attributes:
      model, dtype: name of the model, and dtype of its computation.
      decodes: whether latents become frames; otherwise frames become latents.
      size: frames, height and width in pixels; frames are 1 for an image.
      chunk: frames at a time after the first; None for the whole clip.
      config: a complete recipe, or the config.json of a codec, for `abstract_codec`.
    """

    model: str
    dtype: str
    decodes: bool
    size: tuple[int, int, int]
    chunk: int | None
    config: Mapping[str, Any]


def codec_outline(
    config: Mapping[str, Any], *, decodes: bool, size: tuple[int, int, int], chunk: int | None
) -> CodecOutline:
    """Return the outline of coding a clip of `size` by a complete recipe's or a codec's model."""
    model = config["model"]["name"]
    return CodecOutline(model, config["dtype"], decodes, size, chunk, config)
