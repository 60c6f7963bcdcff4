"""A VAE of text: closed forms of its likelihood, padding, word dropout, and what it writes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.core.modalities import END, PADDING, UNKNOWN

RECIPE = dict(
    name="text_vae.TextVAE", num_tokens=6, vocabulary_size=11, embedding=3, width=5, latent_dim=2
)
TOKENS = np.array([[4, 5, 6, END, 0, 0], [7, UNKNOWN, END, 0, 0, 0]], np.int32)


def weights_of(params, key):
    keys = jax.random.split(key, len(params))
    return {
        name: jax.random.normal(each, array.shape)
        for each, (name, array) in zip(keys, params.items())
    }


@pytest.fixture(scope="module")
def results():
    """Everything that one program computes of a model with random weights."""
    modeldef, params, _ = parameters.abstract(lambda: models.create(RECIPE, rngs=nnx.Rngs(0)))

    @jax.jit
    def run(tokens, key):
        weights = weights_of(params, key)
        model = modeldef.merge(weights, {})
        uniform = modeldef.merge(
            weights
            | {n: jnp.zeros_like(w) for n, w in weights.items() if n.startswith("decoder.logits")},
            {},
        )
        z = model.encode(tokens)[0].z
        likelihood = model.decode([z])
        longer = jnp.pad(tokens, ((0, 0), (0, 4)))
        hidden = model.decode([z], hidden=jnp.ones(tokens.shape, bool))
        other = tokens.at[:, 0].set(8)
        return dict(
            uniform=uniform.decode([z]).log_prob(tokens),
            log_probs=likelihood.log_probs(tokens),
            padded=likelihood.log_prob(longer),
            padded_z=model.encode(longer)[0].z - z,
            scored=likelihood.num_scored(tokens),
            ignoring=hidden.log_probs(tokens)[:, 1:] - hidden.log_probs(other)[:, 1:],
            seeing=likelihood.log_probs(tokens)[:, 1:] - likelihood.log_probs(other)[:, 1:],
            drawn=likelihood.sample(key),
            greedy=likelihood.mean(),
            greedy_probs=likelihood.log_probs(likelihood.mean()),
        )

    return jax.tree.map(np.asarray, run(jnp.asarray(TOKENS), jax.random.key(0)))


def test_the_perplexity_of_a_uniform_model_is_the_size_of_the_vocabulary(results):
    np.testing.assert_array_equal(results["scored"], [4, 3])
    np.testing.assert_allclose(np.exp(-results["uniform"].sum() / 7), 11, rtol=1e-5)


def test_padding_counts_nothing_and_changes_nothing(results):
    assert (results["log_probs"][TOKENS == PADDING] == 0).all()
    np.testing.assert_allclose(results["padded"], results["log_probs"].sum(1), rtol=1e-5)
    np.testing.assert_allclose(results["padded_z"], 0, atol=1e-5)


def test_with_all_words_hidden_the_decoder_ignores_history(results):
    np.testing.assert_array_equal(results["ignoring"], 0)
    assert np.abs(results["seeing"]).max() > 1e-3


def test_what_is_written_ends_once_and_greedy_choices_are_the_most_probable(results):
    for tokens in (results["drawn"], results["greedy"]):
        assert tokens.shape == TOKENS.shape and tokens.dtype == np.int32
        for row in tokens:
            ends = np.flatnonzero(row == END)
            assert (row[: ends[0] if ends.size else None] != PADDING).all()
            assert not ends.size or (row[ends[0] + 1 :] == PADDING).all()
    used = results["greedy"] != PADDING
    assert (results["greedy_probs"][used] > -np.log(11)).all()
