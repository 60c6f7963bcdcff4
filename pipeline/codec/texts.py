"""A codec of text: sentences to latents and back, by a codec of tokens."""

import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int32, PRNGKeyArray

from pipeline.backend.jit import jit
from pipeline.codec import latent_walks
from pipeline.codec.base import BaseCodec
from pipeline.codec.fixed_size import FixedSizeEncoding
from pipeline.codec.vectors import VectorCodec
from pipeline.core.errors import CheckpointError, DataError, StrataError
from pipeline.core.modalities import UNKNOWN
from pipeline.core.parameters import ModelDef
from pipeline.core.types import Temperature
from pipeline.data.texts.vocabulary import Vocabulary


class TokenCodec(VectorCodec):
    """A model of text as a VectorCodec of tokens int32 [b n]; `decode` writes them greedily."""

    def __init__(self, modeldef: ModelDef, *arguments: Any):
        super().__init__(modeldef, *arguments)
        self.vocabulary_size: int = modeldef.skeleton().vocabulary_size
        self._writing = jit(functools.partial(_drawn, modeldef), what="the writer")

    def draw(self, z: Any, key: PRNGKeyArray) -> Int[Array, "b n"]:
        """Return sentences of latents, drawn token by token.

        Raises:
          DataError: the latents do not have the model's shape, or are not finite floats.
        """
        return self._writing(*self.state, self._checked_latents(z), key)

    def _checked(self, images: Any) -> Any:
        dtype = getattr(images, "dtype", None)
        if dtype is not None and jnp.dtype(dtype).kind not in "iu":
            raise DataError(f"tokens are {dtype}, but must be integers")
        return super()._checked(images)


class TextCodec(BaseCodec):
    """A model of text: `encode` takes a list of strings, `decode` returns one.

    Words are what stands between spaces, in the spelling of the training data; the vocabulary is
    in config.json, as input.vocabulary. Sentences that do not fit are cut, and words that the
    vocabulary does not have are coded as unknown, both with a warning.

    Attributes:
      vocabulary: tokens of text, and text of tokens.
      tokens: the same model as a codec of tokens int32 [b n].
      latent_shapes: the shape of a sentence's z, alone in a tuple.

    Raises:
      CheckpointError: config.json has no vocabulary, or another than the model's.
    """

    def __init__(
        self,
        modeldef: ModelDef,
        weights: Mapping[str, Any],
        config: Mapping[str, Any],
        fingerprint: str = "",
    ):
        super().__init__(modeldef, weights, config, fingerprint)
        self.tokens = TokenCodec(modeldef, weights, config, fingerprint)
        self.latent_shapes = self.tokens.latent_shapes
        self.vocabulary = _vocabulary(config, self.tokens.vocabulary_size)

    def encode(self, sentences: Any) -> FixedSizeEncoding:
        """Return the posterior of sentences, from which `mode` and `sample` take latents [b d].

        Args:
          sentences: a list of strings.

        Raises:
          DataError: something else than strings, or an empty one.
        """
        return self.tokens.encode(self._tokens(sentences))

    def decode(self, z: Array | np.ndarray, *, key: PRNGKeyArray | None = None) -> list[str]:
        """Return the sentences of latents: each time the most probable token, or with a `key` a
        drawn one.

        Raises:
          DataError: the latents do not have the model's shape, or are not finite floats.
        """
        return self._text(self.tokens.decode(z) if key is None else self.tokens.draw(z, key))

    def reconstruct(self, sentences: Any) -> list[str]:
        """Return `decode` of the `mode` of `encode`."""
        return self.decode(self.encode(sentences).mode())

    def sample(
        self,
        num: int,
        key: PRNGKeyArray,
        temperature: Temperature = 1.0,
        *,
        mean: bool = False,
    ) -> list[str]:
        """Return sentences of latents from the prior, drawn token by token; `mean` writes greedily.

        `temperature` multiplies the prior's deviations.
        """
        return self._text(self.tokens.sample(num, key, temperature, mean=mean))

    def interpolate(self, first: str, last: str, num: int = 9, path: str = "linear") -> list[str]:
        """Return `num` sentences on the way from the latents of one to those of another.

        Args:
          path: a key of pipeline.codec.latent_walks.PATHS.

        Raises:
          DataError: as `encode`; fewer than 2 sentences, or no such path.
        """
        if num < 2 or path not in latent_walks.PATHS:
            paths = " or ".join(map(repr, latent_walks.PATHS))
            raise DataError(f"interpolate: num={num} must be at least 2, and path={path!r} {paths}")
        ends = self.encode([first, last]).mode()
        return self.decode(latent_walks.between(ends[:1], ends[1:], num, path))

    def _tokens(self, sentences: Any) -> Int32[np.ndarray, "b n"]:
        if isinstance(sentences, str):
            raise DataError("encode takes a list of strings: give [sentence] for a single one")
        if not isinstance(sentences, Sequence):
            shape = getattr(sentences, "shape", None)
            found = "" if shape is None else f" {sentences.dtype} {list(shape)}"
            raise DataError(
                f"a codec of text takes a list of strings, not {type(sentences).__name__}{found}"
            )
        if not sentences:
            raise DataError("encode got no sentences")
        for number, sentence in enumerate(sentences):
            if not isinstance(sentence, str):
                raise DataError(
                    f"sentence {number} is no string, but of type {type(sentence).__name__}"
                )
            if not sentence.strip():
                raise DataError(f"sentence {number} is empty")
        (width,) = self.example_shape
        rows = [self.vocabulary.tokens_of(sentence) for sentence in sentences]
        _warn(rows, width)
        return np.stack([self.vocabulary.padded(row, width) for row in rows])

    def _text(self, tokens: Array) -> list[str]:
        return [self.vocabulary.decode(row) for row in np.asarray(jax.device_get(tokens))]


def _drawn(
    modeldef: ModelDef, params: Any, model_state: Any, latents: tuple[Array, ...], key: Any
) -> Int[Array, "b n"]:
    return modeldef.merge(params, model_state).decode(latents).sample(key)


def _vocabulary(config: Mapping[str, Any], size: int) -> Vocabulary:
    """Return the vocabulary in config.json. Raises CheckpointError if it cannot be the model's."""
    where = "config.json of the codec: input.vocabulary"
    try:
        found = Vocabulary.from_json(config.get("input", {}).get("vocabulary"), where)
    except StrataError as error:
        raise CheckpointError(f"{error}; strata export writes it") from None
    if found.size > size or (found.kind == "bytes" and found.size != size):
        raise CheckpointError(
            f"{where} has {found.size:,} tokens, and the model {size:,}: it is another model's"
        )
    return found


def _warn(rows: list[list[int]], width: int) -> None:
    """Say which sentences are cut, and how many words are unknown."""
    long = [number for number, row in enumerate(rows) if len(row) > width]
    if long:
        warnings.warn(
            f"sentence {long[0]} has {len(rows[long[0]])} tokens with its end, and is cut to "
            f"{width}" + (f"; so are {len(long) - 1} others" if len(long) > 1 else ""),
            stacklevel=4,
        )
    unknown = sum(row.count(UNKNOWN) for row in rows)
    if unknown:
        words = sum(len(row) - 1 for row in rows)
        warnings.warn(f"{unknown} of {words} words are not in the vocabulary", stacklevel=4)
