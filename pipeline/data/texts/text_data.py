"""The text of a run: config.data -> batches of int32 tokens [b n]."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt64

from pipeline.core.errors import ConfigError
from pipeline.data.loading.batches import Draws
from pipeline.data.loading.dataset import Dataset, digest
from pipeline.data.loading.mix import Mix
from pipeline.data.loading.splits import open_splits
from pipeline.data.source import TextSource
from pipeline.data.texts.vocabulary import FILE, Vocabulary


@dataclasses.dataclass(eq=False)
class TextData(Dataset):
    """Lines of text as batches of tokens [b n]; the arguments are the keys of config.data.

    A line ends with the token 1, and 0 fills it up to n. The vocabulary is made of the training
    lines alone, and the run keeps it in vocabulary.json.

    Args:
      source: name of a module of pipeline.data.sources whose modality is text.
      path: the file; empty for a source that reads none.
      num_tokens: n, the tokens of an example with the end of the line; longer lines are cut.
      vocabulary: "words", the most frequent ones between spaces, or "bytes".
      vocabulary_size: number of tokens; 259 for bytes.
      num_workers: number of processes that read ahead; 0 reads ahead in threads of this process.
      max_unreadable: maximal number of unreadable lines before the run stops.
      eval_path: a second file, for evaluation.
      eval_fraction: share of the lines held out for evaluation if there is no eval_path.

    Attributes:
      tokens: the Vocabulary.

    Raises:
      ConfigError: a setting that cannot work.
      DataError: a file that cannot be used.
    """

    source: str
    path: str = ""
    _: dataclasses.KW_ONLY
    num_tokens: int
    vocabulary: str = "words"
    vocabulary_size: int = 2_000
    num_workers: int = 0
    max_unreadable: int = 10
    eval_path: str = ""
    eval_fraction: float | int = 0.05

    modality = "text"

    def __post_init__(self):
        self._check_limits()
        if self.num_tokens < 2:
            raise ConfigError(f"data.num_tokens={self.num_tokens} must be at least 2")
        train, held_out = open_splits(
            self.source,
            self.path,
            modality=self.modality,
            eval_path=self.eval_path,
            eval_fraction=self.eval_fraction,
        )
        self.classes = train.classes
        lines = (train[index].text for index in range(len(train)))
        self.tokens = Vocabulary.of_lines(self.vocabulary, self.vocabulary_size, lines)
        settings = (self.num_tokens, self.vocabulary, self.vocabulary_size)
        self.fingerprint = digest(train.fingerprint, *settings)
        self._training = Mix([self._examples(train)])
        self._held_out = [] if held_out is None else [self._examples(held_out)]

    def _examples(self, source: TextSource) -> "TextExamples":
        return TextExamples(source, self.tokens, self.num_tokens)

    @classmethod
    def example_shape(cls, settings: Mapping[str, Any]) -> tuple[int, ...]:
        return (settings["num_tokens"],)

    @property
    def model_sizes(self) -> dict[str, tuple[str, int]]:
        return {
            "num_tokens": ("data.num_tokens", self.num_tokens),
            "vocabulary_size": ("data.vocabulary_size", self.vocabulary_size),
        }

    @property
    def run_files(self) -> dict[str, Mapping[str, Any]]:
        return {FILE: self.tokens.to_json()}


class TextExamples:
    """The lines of a source as tokens (see pipeline.data.loading.batches.Examples)."""

    key = "text"

    def __init__(self, source: TextSource, vocabulary: Vocabulary, num_tokens: int):
        self.source, self.vocabulary, self.shape = source, vocabulary, (num_tokens,)

    def __len__(self) -> int:
        return len(self.source)

    def gather(self, indices: Int[np.ndarray, " n"]) -> None:
        """Return None: lines are read one by one."""
        del indices

    def read(self, index: int, draws: Draws) -> tuple[np.ndarray, int]:
        del draws  # lines are not cropped
        line = self.source[index]
        return self.vocabulary.encode(line.text, self.shape[0]), line.label

    def finish(
        self,
        pixels: Int32[np.ndarray, "b n"],
        mirrored: Bool[np.ndarray, " b"],
        noise: UInt64[np.ndarray, " b"],
    ) -> Int32[np.ndarray, "b n"]:
        """Return the tokens as they are."""
        del mirrored, noise
        return pixels

    def places(self, indices: Int32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        return indices

    def name(self, index: int) -> str:
        return self.source.name(index)
