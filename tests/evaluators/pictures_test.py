import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.evaluators import pictures, reconstruction

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def flat():
    return models.create(
        dict(name="vae.VAE", image_size=8, channels=(4,), hidden=(), latent_dim=4), rngs=nnx.Rngs(0)
    )


@pytest.fixture(scope="module")
def hierarchy():
    recipe = dict(
        enc_blocks="8x1,8d2,4x1,4d4,1x1",
        dec_blocks="1x1,4m1,4x1,8m4",
        width=8,
        zdim=2,
        image_size=8,
    )
    recipe |= dict(
        input_shift=-112.0,
        input_scale=1 / 70,
        likelihood=dict(name="logistic_mixture", num_mixtures=2),
    )
    model = models.create(recipe | dict(name="vdvae.VDVAE"), rngs=nnx.Rngs(0))
    # At initialization all priors are equal and pictures hardly differ: perturb all weights.
    graph, state = nnx.split(model)
    rng = np.random.default_rng(0)
    perturbed = jax.tree.map(
        lambda x: jnp.asarray(np.asarray(x) + rng.normal(0, 0.3, x.shape).astype(np.float32)), state
    )
    return nnx.merge(graph, perturbed)


def images(model):
    shape = (3, 8, 8, model.image_channels)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_kept_layers_end_each_resolution_but_the_last():
    assert pictures.kept_layers(((1, 1, 16), (4, 4, 16), (4, 4, 16), (8, 8, 16))) == [1, 3]
    assert pictures.kept_layers(((10,),)) == []


def test_samples_repeat_and_follow_the_temperature(flat):
    first = pictures.samples(flat, 5, key=KEY)
    assert first.shape == (5, 8, 8, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, pictures.samples(flat, 5, key=KEY))
    cold = pictures.samples(flat, 5, key=KEY, temperature=0.0, mean=True)
    np.testing.assert_array_equal(cold[0], cold[1])
    warm = pictures.samples(flat, 5, key=KEY, temperature=(1.0,), mean=True)
    assert (warm[0] != warm[1]).any()


def test_rows_of_a_flat_model_are_originals_and_reconstructions(flat):
    rows, labels = pictures.reconstructions(flat, images(flat), key=KEY)
    assert labels == ["original", "reconstruction"]
    np.testing.assert_array_equal(rows[:3], images(flat))
    np.testing.assert_array_equal(
        rows[3:], nnx.jit(reconstruction.reconstruct)(flat, {"image": jnp.asarray(images(flat))})
    )


def test_a_hierarchy_has_one_row_per_resolution(hierarchy):
    rows, labels = pictures.reconstructions(hierarchy, images(hierarchy), key=KEY)
    layers = hierarchy.num_layers
    kept = pictures.kept_layers(hierarchy.latent_shapes)
    assert labels == [
        "original",
        *[f"{n} of {layers} (to {s}x{s})" for n, s in zip(kept, (1, 4))],
        "all latents",
    ]
    assert rows.shape[0] == 3 * len(labels)
    other, _ = pictures.reconstructions(hierarchy, images(hierarchy), key=jax.random.key(1))
    # Layers drawn from the prior change with the key; kept layers do not.
    assert (rows[3:6] != other[3:6]).any()
    np.testing.assert_array_equal(rows[-3:], other[-3:])
