"""Scores of single examples, and the areas under their ROC curves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.types import Latent, Outputs
from pipeline.distributions.continuous import Bernoulli
from pipeline.evaluators import anomaly, rate

KEY = jax.random.key(0)


class Known(nnx.Module):
    """A model whose KL is the brightness of an image, and whose pixels are black or white evenly.

    Its posterior is its prior, so that the importance-weighted bound is log p(x | z).
    """

    def encode(self, image, *, key=None):
        zeros = jnp.zeros((len(image), 1))
        bright = image.astype(jnp.float32).mean(axis=(1, 2, 3))[:, None]
        return (Latent(zeros, bright, zeros, zeros, zeros, zeros),)

    def decode(self, latents):
        return Bernoulli(jnp.zeros((len(latents[0]), 2, 2, 1)))

    def __call__(self, batch, *, key, train):
        latents = self.encode(batch["image"], key=key)
        return Outputs(self.decode([latent.z for latent in latents]), latents)


# Labels 0 are darker than all others but one; the last row is padding.
LEVELS, LABELS = [0, 10, 200, 100, 250, 7], [0, 0, 0, 1, 2, 0]


def batches():
    image = np.array(LEVELS, np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    mask = np.array([1, 1, 1, 1, 1, 0], np.float32)
    index = np.arange(6, dtype=np.int32)
    yield {"image": image, "label": np.array(LABELS, np.int32), "index": index, "mask": mask}


def test_scores_and_areas_are_those_of_each_example():
    report = anomaly.evaluate(
        Known(), batches(), key=KEY, num_importance_samples=2, normal_labels=(0,)
    )
    examples = report["examples"]
    assert report["num_examples"] == 5 and report["num_normal"] == 3
    assert examples["index"] == [0, 1, 2, 3, 4] and examples["label"] == LABELS[:5]
    np.testing.assert_allclose(examples["rate"], LEVELS[:5])
    np.testing.assert_allclose(examples["iwae_nats"], 4 * np.log(2), rtol=1e-6)
    nats = np.array(LEVELS[:5]) + 4 * np.log(2)
    np.testing.assert_allclose(examples["nats"], nats, rtol=1e-6)
    grey = np.square(np.array(LEVELS[:5]) / 255 - 0.5)
    np.testing.assert_allclose(examples["mse"], grey, rtol=1e-5)
    # Of the six pairs of a normal and another example, one is in the wrong order: 200 > 100.
    assert report["auroc_rate"] == report["auroc_elbo"] == pytest.approx(5 / 6)
    assert report["auroc_iwae"] == 0.5, "equal scores separate nothing"
    assert "ROC curve" in report["protocol"]


class OfLabels(Known):
    """The model, if it is given the label of each image; without one it fails."""

    num_classes, num_layers = 3, 1

    def encode(self, image, *, key=None, label):
        assert label.shape == image.shape[:1]
        return super().encode(image, key=key)

    def decode(self, latents, *, label):
        assert len(label) == len(latents[0])
        return super().decode(latents)

    def __call__(self, batch, *, key, train):
        return Known()(batch, key=key, train=train)


def test_a_conditional_model_is_given_the_labels():
    for evaluate in (anomaly.evaluate, rate.evaluate):
        assert evaluate(OfLabels(), batches(), key=KEY)["num_examples"] == 5


def test_labels_must_divide_the_examples():
    with pytest.raises(ConfigError, match="--normal_labels=0,1,2: 5 of the 5 examples have such"):
        anomaly.evaluate(Known(), batches(), key=KEY, normal_labels=(0, 1, 2))
    with pytest.raises(DataError, match="no example"):
        anomaly.evaluate(Known(), iter(()), key=KEY)
