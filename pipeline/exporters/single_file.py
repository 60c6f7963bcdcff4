"""One safetensors file with the authors' names, for ComfyUI and the authors' own loaders."""

import numpy as np
import safetensors.numpy
from jaxtyping import UInt8

from pipeline import published
from pipeline.codec.base import BaseCodec
from pipeline.formats import state_dict
from pipeline.published import authors
from pipeline.storage import transfer
from pipeline.storage.paths import AnyPath, Path, as_path

FILES = ("vae.safetensors",)


def write(
    codec: BaseCodec,
    out: AnyPath,
    *,
    preview: UInt8[np.ndarray, "height width 3"] | None = None,
) -> tuple[Path, ...]:
    """Write vae.safetensors, under the names in pipeline.published.authors.

    The settings and the statistics of latents are not in it, except for those that the authors keep
    there: their loaders know the network by the tensors.

    Raises:
      ConfigError: no naming is known for the codec, or the file cannot be written.
    """
    del preview
    content = safetensors.numpy.save(dict(sorted(tensors_of(codec).items())), {"format": "pt"})
    transfer.write_files(out, [(FILES[0], content)], name="folder")
    return (as_path(out) / FILES[0],)


def tensors_of(codec: BaseCodec) -> dict[str, np.ndarray]:
    """Return the tensors by the authors' names. Raises ConfigError if there is no naming."""
    model = published.complete(codec.config["model"])
    naming = authors.of_model(model)
    arrays = {name: np.asarray(array) for name, array in codec.weights.items()}
    tensors = state_dict.restore(arrays, naming.rule(model, ()))
    return tensors | naming.buffers(model, codec.config.get("latents") or {})
