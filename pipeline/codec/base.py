"""Base class of codecs of a fixed size and of any size."""

import functools
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import jax

from pipeline.codec import folder
from pipeline.core import modalities
from pipeline.core.parameters import ModelDef
from pipeline.storage import hub


class BaseCodec:
    """A model's definition and weights, and the content of config.json.

    Attributes:
      modeldef, weights: the model taken apart (pipeline.core.parameters).
      config: the content of a codec folder's config.json.
      fingerprint: hash of the weights; two codecs with the same one code alike.
      example_shape: the shape of one of the model's examples.
      image_shape: (height, width, channels) of images and clips; the channels alone hold for a
        codec of any size.
    """

    def __init__(
        self,
        modeldef: ModelDef,
        weights: Mapping[str, Any],
        config: Mapping[str, Any],
        fingerprint: str = "",
    ):
        model = modeldef.skeleton()
        self.config, self.fingerprint = dict(config), fingerprint
        self.modeldef, self.weights = modeldef, dict(weights)
        self.example_shape: tuple[int, ...] = modalities.example_shape(model)

    @functools.cached_property
    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(parameters, other variables) on the device, as compiled functions take them.

        They go there once, when the codec is first used, and not in every call. Of a codec without
        weights, they are shapes.
        """
        # A first use may be inside of a caller's jit, whose constants they then are.
        with jax.ensure_compile_time_eval():
            placed = {name: _placed(array) for name, array in self.weights.items()}
        return (
            {name: placed[name] for name in self.modeldef.param_names},
            {name: placed[name] for name in self.modeldef.other_names},
        )

    @property
    def image_shape(self) -> tuple[int, ...]:
        return self.example_shape[-3:]

    def save_pretrained(self, path: Any) -> None:
        """Write config.json, model.safetensors and a model card into a folder, which is created if
        need be.

        Raises:
          ConfigError: the folder cannot be written.
        """
        folder.write(path, self.config, self.weights)

    def push_to_hub(
        self, repo: str, *, private: bool = False, token: hub.Token = None, message: str = ""
    ) -> str:
        """Upload config.json, model.safetensors and a model card, and return their address.

        Args:
          repo: "owner/name" of the repository, which is made if it does not exist.
          private: whether a new repository is private.
          token: one that may write; by default that of `hf auth login` or HF_TOKEN.
          message: title of the commit.

        Raises:
          ConfigError: there is no token or no permission, or the hub is not reached.
        """
        with tempfile.TemporaryDirectory(prefix="strata-") as name:
            # The picture of an export is not part of a codec in memory.
            folder.write(name, self.config | {"preview": False}, self.weights)
            settings = {"message": message} if message else {}
            return hub.upload(pathlib.Path(name), repo, private=private, token=token, **settings)


def _placed(array: Any) -> Any:
    return array if isinstance(array, jax.ShapeDtypeStruct) else jax.device_put(array)
