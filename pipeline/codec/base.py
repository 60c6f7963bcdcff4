"""Base class of codecs of a fixed size and of any size."""

from collections.abc import Mapping
from typing import Any

from pipeline.codec import folder
from pipeline.core.parameters import ModelDef


class BaseCodec:
    """A model's definition and weights, and the content of config.json.

    Attributes:
      modeldef, weights: the model taken apart (pipeline.core.parameters).
      config: the content of a codec folder's config.json.
      fingerprint: hash of the weights; two codecs with the same one code alike.
      image_shape: (height, width, channels) of the model's images; the channels alone hold for a
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
        self.image_shape: tuple[int, int, int] = (
            model.image_size,
            model.image_size,
            model.image_channels,
        )
        # (parameters, other variables), as compiled functions take them.
        self._state = (
            {name: weights[name] for name in modeldef.param_names},
            {name: weights[name] for name in modeldef.other_names},
        )

    def save_pretrained(self, path: Any) -> None:
        """Write config.json, model.safetensors and a model card into a folder, which is created if
        need be.

        Raises:
          ConfigError: the folder cannot be written.
        """
        folder.write(path, self.config, self.weights)
