"""VAE of sentences with an LSTM on either side, of Bowman et al. (arXiv 1511.06349).

The decoder is autoregressive and can ignore its latent. Against that, training hides words from it
(word dropout), so that only z can tell them, and the recipe raises the weight of the KL slowly.
"""

from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from pipeline import priors
from pipeline.core.errors import ConfigError
from pipeline.core.modalities import END, PADDING, SPECIAL, UNKNOWN
from pipeline.core.types import Batch, Latent, Outputs
from pipeline.distributions.continuous import clip_logvar, gaussian_sample
from pipeline.models.text_vae.lstm import LSTM, State
from pipeline.priors import hierarchy
from pipeline.priors.hierarchy import LayerInput, layer_key


class Encoder(nnx.Module):
    """Tokens -> mean and log-variance of z, from the LSTM's last output."""

    def __init__(
        self,
        tokens: int,
        embedding: int,
        width: int,
        latent_dim: int,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.embed = nnx.Embed(tokens, embedding, **same)
        self.lstm = LSTM(embedding, width, **same)
        self.posterior = nnx.Linear(width, 2 * latent_dim, **same)

    def __call__(
        self, tokens: Int[Array, "b n"]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        used = tokens != PADDING
        _, state = self.lstm(self.embed(tokens), self.lstm.zeros(len(tokens)), used)
        mean, logvar = jnp.split(self.posterior(state[1]).astype(jnp.float32), 2, axis=-1)
        return mean, clip_logvar(logvar)


class Decoder(nnx.Module):
    """Tokens and z -> logits of the next tokens; z is in the first state and in each input."""

    def __init__(
        self,
        tokens: int,
        embedding: int,
        width: int,
        latent_dim: int,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.embed = nnx.Embed(tokens, embedding, **same)
        self.start = nnx.Linear(latent_dim, 2 * width, **same)
        self.lstm = LSTM(embedding + latent_dim, width, **same)
        self.logits = nnx.Linear(width, tokens, **same)

    def __call__(self, inputs: Int[Array, "b n"], z: Float[Array, "b d"]) -> Float[Array, "b n k"]:
        outputs, _ = self.lstm(self._joined(inputs, z), self.first(z))
        return self.logits(outputs).astype(jnp.float32)

    def first(self, z: Float[Array, "b d"]) -> State:
        """Return the state before the first token."""
        memory, output = jnp.split(jnp.tanh(self.start(z).astype(jnp.float32)), 2, axis=-1)
        return memory, output

    def step(
        self, state: State, token: Int[Array, " b"], z: Float[Array, "b d"]
    ) -> tuple[State, Float[Array, "b k"]]:
        """Return the state after a token, and the logits of the next."""
        state = self.lstm.step(state, self._joined(token[:, None], z)[:, 0])
        return state, self.logits(state[1]).astype(jnp.float32)

    def _joined(self, tokens: Int[Array, "b n"], z: Float[Array, "b d"]) -> Float[Array, "b n i"]:
        repeated = jnp.broadcast_to(z[:, None], (*tokens.shape, z.shape[-1]))
        return jnp.concatenate([self.embed(tokens), repeated], axis=-1)


@flax.struct.dataclass
class Sentences:
    """The likelihood of sentences, one token after another, up to and with the end of a line.

    Padding behind the end is certain, and counts nothing.

    Attributes:
      z: the latents.
      weights: of the decoder.
      hidden: which tokens the decoder sees as unknown words when they are its inputs; None for
        none.
      graphdef: the decoder without its weights.
      num_tokens: n.
    """

    z: Float[Array, "b d"]
    weights: Any
    hidden: Bool[Array, "b n"] | None
    graphdef: Any = flax.struct.field(pytree_node=False)
    num_tokens: int = flax.struct.field(pytree_node=False)

    def log_probs(self, tokens: Int[Array, "b n"]) -> Float[Array, "b n"]:
        """Return the log-probability of each token given those before it; 0 for padding."""
        shown = tokens if self.hidden is None else jnp.where(self.hidden, UNKNOWN, tokens)
        inputs = jnp.pad(shown, ((0, 0), (1, 0)), constant_values=END)[:, :-1]
        log_p = jax.nn.log_softmax(self._decoder()(inputs, self.z))
        used = tokens != PADDING
        chosen = jnp.take_along_axis(log_p, jnp.where(used, tokens, END)[..., None], axis=-1)
        return jnp.where(used, chosen[..., 0], 0.0)

    def log_prob(self, tokens: Int[Array, "b n"]) -> Float[Array, " b"]:
        """Return the log-probability of each sentence, in nats."""
        return self.log_probs(tokens).sum(axis=-1)

    def num_scored(self, tokens: Int[Array, "b n"]) -> Float[Array, " b"]:
        """Return how many tokens of each sentence `log_prob` counts, for the perplexity."""
        return (tokens != PADDING).sum(axis=-1).astype(jnp.float32)

    def sample(self, key: PRNGKeyArray) -> Int[Array, "b n"]:
        """Draw sentences token by token."""
        return self._written(lambda logits, key: jax.random.categorical(key, logits), key)

    def mean(self) -> Int[Array, "b n"]:
        """Return the sentences of the most probable token each time: greedy decoding."""
        return self._written(lambda logits, _: logits.argmax(axis=-1), jax.random.key(0))

    def target(self, tokens: Int[Array, "b n"]) -> Int[Array, "b n"]:
        """Return sentences as a perfect mean() would be."""
        return tokens

    def _written(self, choose: Any, key: PRNGKeyArray) -> Int[Array, "b n"]:
        decoder, batch = self._decoder(), self.z.shape[0]

        def write(carry: Any, key: Any) -> tuple[Any, Array]:
            state, token, ended = carry
            state, logits = decoder.step(state, token, self.z)
            logits = logits.at[:, PADDING].set(-jnp.inf)  # which is no word
            token = jnp.where(ended, PADDING, choose(logits, key)).astype(jnp.int32)
            return (state, token, ended | (token == END)), token

        first = (decoder.first(self.z), jnp.full(batch, END), jnp.zeros(batch, bool))
        _, tokens = jax.lax.scan(write, first, jax.random.split(key, self.num_tokens))
        return tokens.T

    def _decoder(self) -> Decoder:
        return nnx.merge(self.graphdef, self.weights)


class TextVAE(nnx.Module):
    """VAE of sentences of tokens [b n] with one latent vector.

    Args:
      num_tokens: n, tokens of a sentence with its end.
      vocabulary_size: number of tokens.
      embedding, width: sizes of an embedding and of each LSTM.
      latent_dim: size of z.
      word_dropout: share of the decoder's inputs that are unknown words in training.
      prior: a prior of pipeline.priors; None is N(0, 1).
    """

    codec_kind, is_video, modality = "text", False, "text"

    def __init__(
        self,
        *,
        num_tokens: int,
        vocabulary_size: int,
        embedding: int = 128,
        width: int = 256,
        latent_dim: int = 32,
        word_dropout: float | int = 0.3,
        prior: Any = None,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if not 0 <= word_dropout <= 1:
            raise ConfigError(f"model.word_dropout={word_dropout} must be from 0 to 1")
        if vocabulary_size <= SPECIAL:
            raise ConfigError(f"model.vocabulary_size={vocabulary_size} must be above {SPECIAL}")
        self.example_shape, self.word_dropout = (num_tokens,), word_dropout
        self.vocabulary_size = vocabulary_size
        self.num_layers, self.latent_shapes = 1, ((latent_dim,),)
        sizes = (vocabulary_size, embedding, width, latent_dim)
        self.encoder = Encoder(*sizes, rngs=rngs, dtype=dtype)
        self.decoder = Decoder(*sizes, rngs=rngs, dtype=dtype)
        self.prior = priors.create(prior, shape=(latent_dim,), key=rngs.params())

    def encode(
        self, tokens: Int[Array, "b n"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Latent, ...]:
        """Return the posterior of sentences; z is a sample, or without a key the mean."""
        mean, logvar = self.encoder(tokens)
        key = layer_key(key, 0)
        z = mean if key is None else gaussian_sample(key, mean, logvar)
        return (priors.latent(self.prior, z, mean, logvar, key=key),)

    decode = hierarchy.decode

    def generate(
        self, layers: Sequence[LayerInput], batch: int, *, hidden: Bool[Array, "b n"] | None = None
    ) -> Sentences:
        """Return p(x | z) for a given or drawn latent; see pipeline.priors.hierarchy.decode."""
        (layer,) = layers
        graphdef, weights = nnx.split(self.decoder)
        z = layer.latent_of(self.prior, batch)
        return Sentences(z, weights, hidden, graphdef, self.example_shape[0])

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return the posterior and the likelihood of a batch; in training, of hidden words."""
        tokens, hidden = batch["text"], None
        if train and self.word_dropout and key is not None:
            # A key of its own: layers of latents have those from 0 on.
            of_words = jax.random.fold_in(key, 1_000)
            hidden = jax.random.bernoulli(of_words, self.word_dropout, tokens.shape)
        latents = self.encode(tokens, key=key)
        recon = self.decode([latent.z for latent in latents], hidden=hidden)
        return Outputs(recon, latents)
