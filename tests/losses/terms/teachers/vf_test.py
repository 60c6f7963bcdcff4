"""VF in numbers: equal and opposite features, margins, maps of channels, clips, a real teacher."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_encoders

from pipeline.cli.export import _without_paths
from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent, Outputs
from pipeline.losses import alignment
from pipeline.losses.terms.teachers.vf import distance, trained, vf
from pipeline.training.workdir import network_paths

F = jax.random.normal(jax.random.key(0), (2, 4, 4, 8))


def test_equal_features_cost_nothing_and_opposite_ones_the_cosine():
    np.testing.assert_allclose(distance(F, F), 0, atol=1e-6)
    np.testing.assert_allclose(distance(3 * F, F), 0, atol=1e-6)
    np.testing.assert_allclose(distance(-F, F), 2, atol=1e-5)
    np.testing.assert_allclose(distance(-F, F, cosine_margin=0.5), 1.5, atol=1e-5)


def test_an_orthogonal_map_of_the_channels_leaves_the_similarities():
    rotation = jnp.linalg.qr(jax.random.normal(jax.random.key(1), (8, 8)))[0]
    # Without the part of cosines, whose margin of 2 is above all of them.
    np.testing.assert_allclose(distance(F @ rotation, F, cosine_margin=2.0), 0, atol=1e-6)
    assert distance(F @ rotation, F).min() > 0.5


def test_the_similarities_are_those_written_out():
    other = jax.random.normal(jax.random.key(2), F.shape)
    rows = [np.asarray(x).reshape(2, 16, 8) for x in (other, F)]
    a, f = (x / np.linalg.norm(x, axis=2, keepdims=True) for x in rows)
    apart = np.abs(a @ a.swapaxes(1, 2) - f @ f.swapaxes(1, 2))
    wanted = np.maximum(apart - 0.25, 0).mean(axis=(1, 2))
    found = distance(other, F, cosine_margin=2.0, distance_margin=0.25)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_frames_of_a_clip_are_compared_on_the_latents_grid():
    frames = jnp.arange(9.0).reshape(1, 9, 1, 1, 1) * jnp.ones((1, 9, 4, 4, 3))
    found = alignment.on_grid_of(frames, jnp.zeros((1, 3, 2, 2, 5)))
    assert found.shape == (1, 3, 2, 2, 3)
    np.testing.assert_allclose(found[0, :, 0, 0, 0], [0, 2.5, 6.5], rtol=1e-6)
    with pytest.raises(ConfigError, match="9 frames of a teacher's features do not fit 4"):
        alignment.on_grid_of(frames, jnp.zeros((1, 4, 2, 2, 5)))


def test_a_frozen_encoder_teaches_latents_and_gets_no_gradient(tmp_path):
    weights = tiny_encoders.dinov2(tmp_path)
    arguments = dict(teacher=dict(name="dinov2", weights=weights), teacher_channels=16)
    term = vf(**arguments)
    own = trained(dict(channels=0, teacher_channels=16), 3)
    images = jax.random.randint(jax.random.key(0), (2, 16, 16, 3), 0, 256).astype(jnp.uint8)

    @jax.jit
    def gradients(z, frozen):
        def loss(z, frozen):
            outputs = Outputs(None, (Latent(z, z),))
            return term.value(outputs, {"image": images}, 0, frozen).sum()

        return jax.grad(loss, argnums=(0, 1))(z, frozen)

    z = jax.random.normal(jax.random.key(3), (2, 4, 4, 3))
    of_z, of_arrays = gradients(z, {**term.frozen, **own})
    assert np.abs(of_z).max() > 0
    for name, gradient in of_arrays.items():
        assert np.abs(gradient).max() > 0 if name in own else not gradient.any(), name
    with pytest.raises(ConfigError, match="channels=3, but the codec's layer has 5"):
        gradients(jnp.zeros((2, 4, 4, 5)), {**term.frozen, **own})


def test_latents_without_a_grid_are_named():
    tokens = jnp.zeros((2, 9, 3))
    with pytest.raises(ConfigError, match=r"the latents of shape \[9, 3\], without the batch"):
        alignment.codec_features(Outputs(None, (Latent(tokens, tokens),)), "")


def test_a_teacher_must_be_named():
    with pytest.raises(ConfigError, match=r"objective\.vf\.teacher is missing: name a frozen"):
        vf()


def test_where_a_teachers_file_is_may_change_and_is_told_to_nobody():
    given = {"vf": {"teacher": {"name": "dinov2", "weights": "/here", "size": 224}}}
    assert _without_paths(given) == {"vf": {"teacher": {"name": "dinov2", "size": 224}}}
    assert {"objective.vf.teacher.weights", "objective.repa.teacher.weights"} < {*network_paths()}
