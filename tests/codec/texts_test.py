"""A codec of text: it takes and gives strings, and keeps its vocabulary in the folder."""

import json
import warnings

import jax
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import CheckpointError, DataError
from pipeline.pretrained.load import Codec

RECIPE = dict(
    name="text_vae.TextVAE", num_tokens=5, vocabulary_size=8, embedding=3, width=6, latent_dim=2
)
WORDS = {"kind": "words", "words": ["the", "cat", "sat", "."]}


@pytest.fixture(scope="module")
def parts():
    modeldef, params, state = parameters.split(models.create(RECIPE, rngs=nnx.Rngs(0)))
    keys = jax.random.split(jax.random.key(1), len(params))
    params = {
        name: params[name] + jax.random.normal(key, params[name].shape)
        for name, key in zip(params, keys)
    }
    examples = {"modality": "text", "example_shape": [5], "vocabulary": WORDS}
    config = {"model": RECIPE, "dtype": "float32", "input": examples, "latent_shapes": [[2]]}
    return modeldef, params | state, config


@pytest.fixture(scope="module")
def codec(parts):
    return Codec.of(*parts)


def test_a_folder_gives_the_same_sentences(codec, tmp_path):
    codec.save_pretrained(tmp_path)
    again = Codec.from_pretrained(tmp_path)
    z = codec.encode(["the cat sat .", "sat ."]).mode()
    assert z.shape == (2, 2)
    np.testing.assert_array_equal(again.encode(["the cat sat .", "sat ."]).mode(), z)
    lines = again.decode(z)
    assert len(lines) == 2 and all(isinstance(line, str) for line in lines)
    assert set(" ".join(lines).split()) <= {*WORDS["words"], "<unk>"}
    assert lines == codec.decode(z) == codec.reconstruct(["the cat sat .", "sat ."])
    card = (tmp_path / "README.md").read_text()
    assert "sentences of 5 tokens" in card and "knows 4 words" in card and "image" not in card


def test_sentences_are_drawn_walked_and_sampled(codec):
    z = codec.encode(["the cat sat ."]).mode()
    drawn = {codec.decode(z, key=jax.random.key(seed))[0] for seed in range(8)}
    assert len(drawn) > 1 and codec.decode(z) == codec.decode(z)
    walk = codec.interpolate("the cat sat .", "sat .", num=4)
    assert [walk[0], walk[-1]] == codec.reconstruct(["the cat sat .", "sat ."]) and len(walk) == 4
    assert len(codec.interpolate("the cat", "sat .", num=3, path="slerp")) == 3
    assert len(codec.sample(3, jax.random.key(0))) == 3
    greedy = codec.sample(2, jax.random.key(0), 0.0, mean=True)  # both of the prior's mean
    assert greedy[0] == greedy[1] == codec.decode(np.zeros((1, 2), np.float32))[0]


def test_what_does_not_fit_is_said(codec):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codec.encode(["the cat"])
    with pytest.warns(UserWarning, match="2 of 4 words are not in the vocabulary"):
        codec.encode(["the dog sat", "dog"])
    with pytest.warns(UserWarning, match="sentence 1 has 6 tokens with its end, and is cut to 5"):
        codec.encode(["the cat", "the cat sat . ."])


@pytest.mark.parametrize(
    "given, message",
    [
        ("the cat", r"a list of strings: give \[sentence\]"),
        ([], "no sentences"),
        (["the cat", " "], "sentence 1 is empty"),
        (["the cat", 3], "sentence 1 is no string, but of type int"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"strings, not ndarray uint8 \[2, 8, 8, 3\]"),
        (None, "strings, not NoneType"),
    ],
)
def test_other_inputs_are_refused(codec, given, message):
    with pytest.raises(DataError, match=message) as error:
        codec.encode(given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "vocabulary, message",
    [
        (None, "holds no vocabulary; strata export writes it"),
        ({"kind": "words", "words": ["the", "the"]}, "a word twice"),
        ({"kind": "letters", "words": []}, "unknown kind"),
        ({"kind": "words", "words": list("abcdef")}, "has 9 tokens, and the model 8"),
        ({"kind": "bytes", "words": []}, "has 259 tokens, and the model 8"),
    ],
)
def test_another_vocabulary_is_refused(codec, tmp_path, vocabulary, message):
    codec.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["input"]["vocabulary"] = vocabulary
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message) as error:
        Codec.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)


def test_tokens_are_coded_as_the_sentences_are(codec):
    tokens = np.stack([codec.vocabulary.encode("the cat sat .", 5)])
    z = codec.encode(["the cat sat ."]).mode()
    np.testing.assert_array_equal(codec.tokens.encode(tokens).mode(), z)
    assert codec.vocabulary.decode(np.asarray(codec.tokens.decode(z))[0]) == codec.decode(z)[0]
    with pytest.raises(DataError, match="tokens are float32, but must be integers"):
        codec.tokens.encode(tokens.astype(np.float32))
