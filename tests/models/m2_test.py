"""M2: its number of parameters, the bound of each class, and its classification error."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.evaluators import classification

RECIPE = dict(name="m2.M2", image_size=4, num_classes=3, latent_dim=2, hidden=(5,))


def test_the_papers_sizes():
    recipe = dict(name="m2.M2", image_size=28)
    _, params, _ = parameters.abstract(lambda: models.create(recipe, rngs=nnx.Rngs(0)))
    networks = [(784, 10), (794, 100), (60, 784)]  # inputs and outputs; hidden layers have 500
    expected = sum((i + 1) * 500 + 501 * o for i, o in networks)
    assert sum(math.prod(a.shape) for a in params.values()) == expected


def test_the_bound_of_a_class_is_the_elbo_of_its_label_plus_its_prior():
    graph, state = nnx.split(models.create(RECIPE, rngs=nnx.Rngs(0)))
    image = jax.random.randint(jax.random.key(0), (4, 4, 4, 1), 0, 2).astype(jnp.uint8) * 255

    @jax.jit
    def outputs(state, image):
        model = nnx.merge(graph, state)
        found = []
        for label in range(3):
            labels = jnp.full(4, label)
            batch = {"image": image, "label": labels}
            out = model(batch, key=None, train=True)  # at the means, without noise
            kl = sum(latent.kl.sum(axis=-1) for latent in out.latents)
            found.append(kl - out.recon.log_prob(image))
        free = model({"image": image}, key=jax.random.key(1), train=False)
        one = model.decode((), num=4, label=jnp.array([0, 1, 2, -1]), key=jax.random.key(2))
        return jnp.stack(found, axis=1), out.aux, free.latents, one.mean()

    bounds, aux, (y, _), _ = outputs(state, image)
    np.testing.assert_allclose(aux["class_bounds"], bounds, rtol=1e-5)
    q = np.exp(aux["class_log_q"])
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)
    expected = math.log(3) + (q * np.log(q)).sum(axis=1)
    np.testing.assert_allclose(y.kl[:, 0], expected, atol=1e-5)


def test_the_error_counts_labelled_examples_alone():
    class Fixed(nnx.Module):
        def classify(self, image):
            return jnp.log(jnp.array([[0.7, 0.3]] * len(image)))

    batch = {
        "image": np.zeros((4, 2, 2, 1), np.uint8),
        "label": np.array([0, 1, -1, 1], np.int32),
        "mask": np.array([1, 1, 1, 0], np.float32),
    }
    assert classification.evaluate(Fixed(), [batch]) == {"classification_error": 0.5}
    unlabelled = batch | {"label": np.full(4, -1, np.int32)}
    assert classification.evaluate(Fixed(), [unlabelled]) == {}
