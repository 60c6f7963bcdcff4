"""The way to a codec: reads a folder and picks the class that its model is for."""

from collections.abc import Mapping
from typing import Any

from pipeline.codec import folder
from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.fixed_size import FixedSizeCodec
from pipeline.core.parameters import ModelDef

# A model's `codec_kind` -> its codec.
KINDS = {"fixed_size": FixedSizeCodec, "any_size": AnySizeCodec}


class Codec:
    """A trained model as others use it: images or clips to latents and back.

    codec = Codec.from_pretrained("codec/")
    z = codec.encode(images).mode()
    images = codec.decode(z)

    It is a FixedSizeCodec, whose images have the model's size, or an AnySizeCodec, of convolutional
    models.
    """

    @staticmethod
    def from_pretrained(path: Any, *, dtype: str | None = None) -> Any:
        """Read a folder that `save_pretrained` or `strata export` wrote; return its codec.

        Args:
          path: the folder, local or in a bucket (gs://, s3://), which is copied to a cache.
          dtype: "float32" or "bfloat16", the dtype of computation; by default the recipe's, which
            is in config.json. Weights and latents are float32 either way.

        Raises:
          ConfigError: there is no such folder or dtype. CheckpointError: it is damaged or
            incomplete.
        """
        return Codec.of(*folder.read(path, dtype))

    @staticmethod
    def of(
        modeldef: ModelDef,
        weights: Mapping[str, Any],
        config: Mapping[str, Any],
        fingerprint: str = "",
    ) -> Any:
        """Return the codec of a model, with the arguments of pipeline.codec.base.BaseCodec."""
        kind = KINDS[modeldef.skeleton().codec_kind]
        return kind(modeldef, weights, config, fingerprint)
