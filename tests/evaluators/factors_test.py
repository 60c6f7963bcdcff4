"""Posterior means are matched with the factors of their examples, and padding is left out."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.types import Latent
from pipeline.evaluators import factors as evaluator
from pipeline.metrics.functions.factors import dci, fixed_factor

NAMES = ("constant", "shape", "x")
TABLE = np.column_stack([np.zeros(300), np.arange(300) % 2, np.arange(300) // 2 % 3]).astype(int)


class Reader(nnx.Module):
    """A model whose posterior means are an image's pixels."""

    def __init__(self, copies: int = 1, gaussian: bool = True):
        self.copies, self.gaussian = copies, gaussian

    def encode(self, images):
        mean = jnp.tile(images.reshape(len(images), -1).astype(jnp.float32), (1, self.copies))
        return (Latent(z=mean, kl=mean, mean=mean if self.gaussian else None),)


def batches(count=300):
    """Yield batches of 50 examples in another order, whose last rows are padding."""
    for rows in np.random.default_rng(0).permutation(count).reshape(-1, 50):
        images = 20 * TABLE[rows, 1:].reshape(-1, 1, 2, 1).astype(np.uint8)
        mask = np.arange(50) < 45
        images[~mask] = 255
        yield {"image": images, "index": rows.astype(np.int32), "mask": mask.astype(np.float32)}


def factors_of(indices):
    return NAMES, TABLE[indices]


@pytest.fixture(autouse=True)
def few_groups(monkeypatch):
    monkeypatch.setattr(fixed_factor, "NUM_TRAINING", 200)
    monkeypatch.setattr(fixed_factor, "NUM_TEST", 100)
    trained = dict(dci_disentanglement=1.0, dci_completeness=1.0, dci_informativeness=1.0)
    monkeypatch.setattr(dci, "dci", lambda codes, factors: trained)


def test_means_are_compared_with_the_factors_of_their_examples():
    result = evaluator.evaluate(Reader(), batches(), factors_of)
    assert result["num_examples"] == 270
    assert result["mig"] > 0.97 and result["factor_vae_score"] == result["beta_vae_score"] == 1
    assert list(result["mig_of_factor"]) == ["shape", "x"]
    assert result["protocol"].startswith("factors shape, x; mig: posterior means")


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ConfigError, match="at most 256 latent units, and this model has 400"):
        evaluator.evaluate(Reader(200), batches(), factors_of)
    with pytest.raises(ConfigError, match="posterior means, which this model has not"):
        evaluator.evaluate(Reader(gaussian=False), batches(), factors_of)
    with pytest.raises(DataError, match="at least 100 examples"):
        evaluator.evaluate(Reader(), batches(50), factors_of)
    with pytest.raises(DataError, match="two factors that vary"):
        evaluator.evaluate(Reader(), batches(), lambda indices: (NAMES[:2], TABLE[indices, :2]))
