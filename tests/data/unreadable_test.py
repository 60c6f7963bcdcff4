"""The budget of unreadable examples counts files, each once, and names each once."""

from typing import Any

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.data.loading.batches import TrainingBatches
from pipeline.data.loading.mix import Mix
from pipeline.data.loading.splits import Subset
from pipeline.data.unreadable import Budget, Unreadable, file_of


class Clips:
    """Two clips each of four files; those of file 3 fail for a reason that depends on the draw."""

    key, shape = "image", (2, 2, 3)

    def __len__(self):
        return 8

    def gather(self, indices):
        return None

    def read(self, index, draws):
        if index // 2 == 3:
            raise Unreadable(f"damaged at {draws.start % 997} s")
        return np.full(self.shape, index, np.uint8), 0

    def finish(self, pixels, mirrored, noise):
        return pixels

    def places(self, indices):
        return indices

    def name(self, index):
        return f"file {index // 2} from {index}"

    def file(self, index):
        return f"file {index // 2}"


def batches(budget: int) -> TrainingBatches:
    settings: Any = dict(batch_size=8, rows=np.arange(8), seed=0, start_step=0)
    clips: Any = Clips()
    return TrainingBatches(Mix([clips]), **settings, max_unreadable=budget, what="videos")


def test_a_file_counts_once_however_often_it_is_drawn():
    budget = Budget(1, "videos")
    for number in range(20):
        loaded = batches(1)[number]
        assert (loaded.batch["index"] < 6).all()
        assert [file for file, _ in loaded.skipped] == ["file 3"]
        for file, message in loaded.skipped:
            budget.add(file, message)
    assert len(budget.found) == 1
    with pytest.raises(DataError, match=r"^1 unreadable videos, more than .*=0: file 3 from"):
        batches(0)[0]


def test_the_error_names_each_file_once():
    budget = Budget(3, "images")
    for number in range(9):
        budget.add(f"{number % 3}.png", f"{number % 3}.png: reason {number}")
    with pytest.raises(DataError) as caught:
        budget.add("3.png", "3.png: reason")
    assert str(caught.value) == (
        "4 unreadable images, more than data.max_unreadable=3: 0.png: reason 0; "
        "1.png: reason 1; 2.png: reason 2; and 1 more"
    )


def test_sources_without_files_are_known_by_name():
    class Named:
        def name(self, index):
            return f"array[{index}]"

    assert file_of(Named(), 3) == "array[3]" and file_of(Clips(), 7) == "file 3"


def test_a_part_of_a_source_knows_the_files_of_its_examples():
    class Videos(Clips):
        fingerprint, classes = "", ()

        def __getitem__(self, index):
            raise Unreadable("never read")

    part = Subset(Videos(), 0, 8)
    files = [file_of(part, index) for index in range(8)]
    assert files == [f"file {part.index_of(index) // 2}" for index in range(8)]
    assert len(set(files)) == 4
