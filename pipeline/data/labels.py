"""Labels of a source's examples: reading them, and hiding all but a few."""

import numpy as np
from jaxtyping import Bool, Int, Int32

from pipeline.core.errors import ConfigError
from pipeline.core.labels import UNKNOWN
from pipeline.data import randomness
from pipeline.data.shuffle import shuffled
from pipeline.data.source import ImageSource, Pixels, Record
from pipeline.data.unreadable import Unreadable, file_of

_BLOCK = 1024


class FewLabels:
    """A source of which all labels are hidden but those of `num_labelled` examples.

    Attributes:
      known: [n], whether an example keeps its label. labels: [n], with -1 in place of the others.

    The examples are a function of the seed and the source, and have equal numbers of each class,
    or of some classes one more. Labels are read once, at the start, and with them the examples of
    a source of files.

    Raises:
      ConfigError: there are too few labels of a class.
    """

    def __init__(self, source: ImageSource, num_labelled: int, seed: int):
        self.source, self.classes = source, source.classes
        labels = labels_of(source)
        self.known = _balanced(labels, num_labelled, seed)
        self.labels = np.where(self.known, labels, UNKNOWN)
        self.fingerprint = f"{source.fingerprint}:{num_labelled} labels by seed {seed}"

    @property
    def shape(self) -> tuple[int, int, int] | None:
        return self.source.shape

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        record = self.source[index]
        return record if self.known[index] else record._replace(label=UNKNOWN)

    def gather(self, indices: Int[np.ndarray, " n"]) -> Pixels | None:
        found = self.source.gather(indices)
        if found is None:
            return None
        pixels, labels = found
        return pixels, np.where(self.known[indices], labels, UNKNOWN).astype(np.int32)

    def name(self, index: int) -> str:
        return self.source.name(index)

    def file(self, index: int) -> str:
        """Return the file of one example, which others may share."""
        return file_of(self.source, index)


def labels_of(source: ImageSource, count: int | None = None) -> Int32[np.ndarray, " n"]:
    """Return the labels of the first `count` examples, or of all; -1 where one cannot be read."""
    number = len(source) if count is None else min(count, len(source))
    found = np.full(number, UNKNOWN, np.int32)
    for start in range(0, number, _BLOCK):
        indices = np.arange(start, min(start + _BLOCK, number))
        found[indices] = _labels_at(source, indices)
    return found


def _labels_at(source: ImageSource, indices: np.ndarray) -> Int32[np.ndarray, " n"]:
    try:
        gathered = None if source.shape is None else source.gather(indices)
        if gathered is not None:
            return gathered[1]
    except Unreadable:
        pass  # one of them is: the others are read alone
    return np.array([_label_at(source, int(index)) for index in indices], np.int32)


def _label_at(source: ImageSource, index: int) -> int:
    try:
        return source[index].label
    except Unreadable:
        return UNKNOWN


def _balanced(
    labels: Int32[np.ndarray, " n"], num_labelled: int, seed: int
) -> Bool[np.ndarray, " n"]:
    """Return which examples keep their labels."""
    classes, counts = np.unique(labels[labels >= 0], return_counts=True)
    if not len(classes):
        raise ConfigError(f"data.num_labelled={num_labelled}: the data has no labels to hide")
    least, more = divmod(num_labelled, len(classes))
    left = {int(label): least + (place < more) for place, label in enumerate(classes)}
    for label, count in zip(classes.tolist(), counts.tolist()):
        if left[label] > count:
            raise ConfigError(
                f"data.num_labelled={num_labelled} takes {left[label]} examples of class {label}, "
                f"which has {count}"
            )
    known = np.zeros(len(labels), bool)
    key = randomness.key_of(seed, randomness.LABELLED)
    for position in range(len(labels)):
        index = shuffled(key, position, len(labels))
        if left.get(int(labels[index]), 0):
            left[int(labels[index])] -= 1
            known[index] = True
    return known
