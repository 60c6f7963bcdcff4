"""The public class `Codec`: reads a folder and picks the class that its model is for."""

from collections.abc import Mapping
from typing import Any

from pipeline.codec import folder, places
from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.fixed_size import FixedSizeCodec
from pipeline.codec.texts import TextCodec
from pipeline.codec.vectors import VectorCodec
from pipeline.core.errors import ConfigError
from pipeline.core.parameters import ModelDef
from pipeline.pretrained import imported
from pipeline.storage.hub import Token

# A model's `codec_kind` -> its codec.
KINDS = {
    "fixed_size": FixedSizeCodec,
    "any_size": AnySizeCodec,
    "vector": VectorCodec,
    "text": TextCodec,
}


class Codec:
    """A trained model as others use it: images or clips to latents and back.

    codec = Codec.from_pretrained("codec/")         # or "owner/name" on a hub
    z = codec.encode(images).mode()
    images = codec.decode(z)

    It is a FixedSizeCodec, whose images have the model's size, an AnySizeCodec, of convolutional
    models, or the codec of another modality, such as a VectorCodec.
    """

    @staticmethod
    def from_pretrained(
        path: Any,
        *,
        revision: str | None = None,
        subfolder: str = "",
        dtype: str | None = None,
        token: Token = None,
        memory: int | str | None = None,
    ) -> Any:
        """Read a folder of Strata or of diffusers; return its codec.

        A folder of Strata is what `save_pretrained`, `push_to_hub` or `strata export` wrote. One of
        diffusers is imported in memory (pipeline.importers.diffusers).

        Args:
          path: the folder, local, in a bucket (gs://, s3://) or on a hub, as "owner/name" or
            "owner/name@revision/folder". Of the last two, config.json and the weights are copied to
            a cache, and nothing else.
          revision: branch, tag or commit of a repository on a hub.
          subfolder: folder in it that holds the codec, such as "vae" of a whole pipeline.
          dtype: "float32" or "bfloat16", the dtype of computation; by default the recipe's, which
            is in config.json, and float32 for diffusers. Weights and latents are float32 either
            way.
          token: for private repositories; by default that of `hf auth login` or HF_TOKEN.
          memory: what coding may take on the device where tile or chunk is "auto", such as "8GiB";
            see `AnySizeCodec.memory`.

        Raises:
          ConfigError: there is no such folder or dtype, the hub is not reached or refuses, or the
            codec takes no `memory`; the message has the remedy. CheckpointError: it is damaged or
            incomplete. DataError: weights of diffusers are damaged.
        """
        folder.check_dtype(dtype)
        found = places.find(path, revision=revision, subfolder=subfolder, token=token)
        read = imported.from_diffusers if found.is_diffusers else folder.load
        codec = Codec.of(*read(found, dtype))
        if memory is not None:
            if not isinstance(codec, AnySizeCodec):
                raise ConfigError(f"memory={memory!r} is for codecs that take any size")
            codec.memory = memory
        return codec

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
