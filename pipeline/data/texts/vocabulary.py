"""Vocabularies: text to tokens and back."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Int32

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.modalities import END, PADDING, SPECIAL, UNKNOWN
from pipeline.storage import small_files
from pipeline.storage.paths import Path

FILE = "vocabulary.json"  # of a run
KINDS = ("words", "bytes")
_BYTES = 256
_SHOWN_UNKNOWN = "<unk>"


class Vocabulary:
    """The tokens of a run: the most frequent words between spaces, or the 256 bytes of UTF-8.

    Token 0 is padding, 1 the end of a line, and 2 an unknown word; those after them are `words`, or
    bytes.
    """

    def __init__(self, kind: str, words: Sequence[str] = ()):
        if kind not in KINDS:
            raise ConfigError(f"data.vocabulary={kind!r} must be {' or '.join(map(repr, KINDS))}")
        self.kind, self.words = kind, tuple(words)
        self._tokens = {word: token for token, word in enumerate(self.words, SPECIAL)}

    @staticmethod
    def of_lines(kind: str, size: int, lines: Iterable[str]) -> "Vocabulary":
        """Return a vocabulary of at most `size` tokens; of words as frequent, the first in the
        alphabet counts.

        Raises:
          ConfigError: an unknown kind, or a size that cannot work.
        """
        least = SPECIAL + (_BYTES if kind == "bytes" else 1)
        if size < least or (kind == "bytes" and size != least):
            wanted = f"{least}" if kind == "bytes" else f"at least {least}"
            raise ConfigError(f"data.vocabulary_size={size} must be {wanted} for {kind!r}")
        if kind != "words":
            return Vocabulary(kind)
        counts = Counter(word for line in lines for word in line.split())
        ordered = sorted(counts, key=lambda word: (-counts[word], word))
        return Vocabulary(kind, ordered[: size - SPECIAL])

    @property
    def size(self) -> int:
        """Number of tokens."""
        return SPECIAL + (_BYTES if self.kind == "bytes" else len(self.words))

    def encode(self, line: str, num_tokens: int) -> Int32[np.ndarray, " n"]:
        """Return the tokens of a line, its end and padding; a long line is cut without an end."""
        return self.padded(self.tokens_of(line), num_tokens)

    def tokens_of(self, line: str) -> list[int]:
        """Return the tokens of a whole line, with its end."""
        if self.kind == "bytes":
            return [*(byte + SPECIAL for byte in line.encode()), END]
        return [*(self._tokens.get(word, UNKNOWN) for word in line.split()), END]

    @staticmethod
    def padded(tokens: Sequence[int], num_tokens: int) -> Int32[np.ndarray, " n"]:
        """Return tokens cut or padded to their number."""
        found = np.full(num_tokens, PADDING, np.int32)
        found[: len(tokens)] = tokens[:num_tokens]
        return found

    def decode(self, tokens: Int[np.ndarray, " n"]) -> str:
        """Return the text of tokens up to the end of the line."""
        ends = np.flatnonzero((tokens == END) | (tokens == PADDING))
        kept = [int(token) for token in tokens[: ends[0] if ends.size else None]]
        if self.kind == "bytes":
            whole = bytes(token - SPECIAL for token in kept if token >= SPECIAL)
            return whole.decode(errors="replace")
        return " ".join(map(self._word, kept))

    def _word(self, token: int) -> str:
        place = token - SPECIAL
        return self.words[place] if 0 <= place < len(self.words) else _SHOWN_UNKNOWN

    def to_json(self) -> dict[str, Any]:
        """Return the content of a run's vocabulary.json."""
        return {"kind": self.kind, "words": list(self.words)}

    @staticmethod
    def from_json(content: Any, where: str) -> "Vocabulary":
        """Return the vocabulary that `to_json` wrote. Raises DataError: `where` holds none."""
        words = content.get("words") if isinstance(content, Mapping) else None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise DataError(f"{where} holds no vocabulary")
        if content.get("kind") not in KINDS or len(set(words)) < len(words):
            raise DataError(f"{where} is damaged: of an unknown kind, or with a word twice")
        return Vocabulary(content["kind"], words)

    @staticmethod
    def read(path: Path) -> "Vocabulary":
        """Return the vocabulary that a run keeps in a file. Raises DataError: it holds none."""
        content = small_files.content_of(path, lambda content: isinstance(content, dict))
        return Vocabulary.from_json(content, str(path))
