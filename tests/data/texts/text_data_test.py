"""Text as tokens: vocabularies of words and bytes, their round trip, and what is refused."""

import numpy as np
import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.modalities import END, UNKNOWN
from pipeline.data.texts.text_data import TextData
from pipeline.data.texts.vocabulary import Vocabulary


def test_words_are_ordered_by_frequency_and_then_by_the_alphabet():
    vocabulary = Vocabulary.of_lines("words", 5, ["b a", "b c", "a d"])
    assert vocabulary.words == ("a", "b")
    tokens = vocabulary.encode("a b c", 6)
    np.testing.assert_array_equal(tokens, [3, 4, UNKNOWN, END, 0, 0])
    assert vocabulary.decode(tokens) == "a b <unk>"
    np.testing.assert_array_equal(vocabulary.encode("a b a", 2), [3, 4])
    again = Vocabulary.from_json(vocabulary.to_json(), "file")
    assert again.decode(tokens) == "a b <unk>"


def test_bytes_give_every_text_back():
    vocabulary = Vocabulary.of_lines("bytes", 259, [])
    assert vocabulary.decode(vocabulary.encode("Zürich, 3 €", 20)) == "Zürich, 3 €"


def test_batches_are_functions_of_the_seed_and_the_number_and_held_out_lines_are_not_trained_on(
    tmp_path,
):
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(f" word{number} and \n" for number in range(40)))
    data = TextData("lines", str(path), num_tokens=4, vocabulary_size=50, eval_fraction=0.25)
    with data.train(15, 1) as batches:
        batch, second = next(batches), next(batches)
    with data.train(15, 1, start_step=1) as batches:
        np.testing.assert_array_equal(next(batches)["text"], second["text"])
    assert batch["text"].shape == (15, 4) and batch["text"].dtype == np.int32
    lines = {data.tokens.decode(row) for each in (batch, second) for row in each["text"]}
    assert len(lines) == 30  # an epoch
    with data.evaluate(10) as batches:
        held_out = {data.tokens.decode(row) for row in next(batches)["text"]}
    assert held_out == {"<unk> and"}  # the vocabulary is that of the training lines
    assert data.run_files["vocabulary.json"]["kind"] == "words"


@pytest.mark.parametrize(
    "settings, error, message",
    [
        (dict(vocabulary="letters"), ConfigError, "'words' or 'bytes'"),
        (dict(vocabulary="bytes"), ConfigError, "must be 259"),
        (dict(vocabulary_size=3), ConfigError, "at least 4"),
        (dict(num_tokens=1), ConfigError, "at least 2"),
        (dict(path="none.txt"), DataError, "does not exist"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, settings, error, message):
    path = tmp_path / "lines.txt"
    path.write_text("a b\nc\n")
    with pytest.raises(error, match=message):
        TextData(**{"source": "lines", "path": str(path), "num_tokens": 4} | settings)


@pytest.mark.parametrize("content, message", [(b"\xff\n", "not UTF-8"), (b" \n", "no lines")])
def test_files_that_are_no_text_are_refused(tmp_path, content, message):
    path = tmp_path / "lines.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        TextData("lines", str(path), num_tokens=4)
