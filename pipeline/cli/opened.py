"""A codec that a command opens: that of a run's checkpoint, or a codec's folder."""

from collections.abc import Mapping
from typing import Any

from absl import flags

from pipeline.storage.paths import as_path


def codec_of(values: flags.FlagValues) -> tuple[Any, dict[str, Any] | None, int | None]:
    """Return the codec of --codec or --workdir, and of a run its recipe and step.

    Raises:
      ConfigError, CheckpointError, DataError: it cannot be read.
    """
    from pipeline.pretrained.load import Codec

    if values.codec:
        return Codec.from_pretrained(values.codec), None, None
    from pipeline.build.trained import load_for_inference
    from pipeline.core import parameters

    config, step, model = load_for_inference(values.workdir, values.step)
    modeldef, params, model_state = parameters.split(model)
    about = {"model": config["model"], "input": input_of(config, values.workdir)}
    return Codec.of(modeldef, params | model_state, about), config, step


def input_of(config: Mapping[str, Any], workdir: Any) -> dict[str, Any]:
    """Return what a codec's config.json says of the examples of a run.

    Raises:
      DataError: the run has lost its vocabulary.
    """
    from pipeline.build import data as build_data
    from pipeline.core.modalities import MODALITIES
    from pipeline.data.texts import vocabulary

    model, data = config["model"], config["data"]
    kind = build_data.dataset_class(data["source"])
    if not MODALITIES[kind.modality].has_pixels:
        examples = {"modality": kind.modality, "example_shape": list(kind.example_shape(data))}
        if kind.modality == "text":
            words = vocabulary.Vocabulary.read(as_path(workdir) / vocabulary.FILE)
            examples["vocabulary"] = words.to_json()
        return examples
    size, channels = model["image_size"], model.get("image_channels", 3)
    return {"image_shape": [size, size, channels], "bits": data.get("bits", 8)}
