"""Walks through latents, with the closed forms of a line and an arc."""

import numpy as np
import pytest
import tiny_codec as codecs

from pipeline.codec import latent_walks
from pipeline.core.errors import DataError


def test_a_line_and_an_arc_begin_and_end_at_the_examples():
    a, b = np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 2.0, 0.0]])
    line = latent_walks.between(a, b, 3, "linear")
    arc = latent_walks.between(a, b, 3, "slerp")
    np.testing.assert_allclose(line, [[1, 0, 0], [0.5, 1, 0], [0, 2, 0]])
    half = np.sqrt(0.5)  # sin(45 degrees) / sin(90 degrees)
    np.testing.assert_allclose(arc, [[1, 0, 0], [half, 2 * half, 0], [0, 2, 0]], atol=1e-7)
    same_norm = latent_walks.between(a, b / 2, 5, "slerp")
    np.testing.assert_allclose(np.linalg.norm(same_norm, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("end", [[2.0, 0.0], [-2.0, 0.0], [0.0, 0.0]])
def test_directions_without_a_single_arc_are_connected_by_a_line(end):
    points = latent_walks.between(np.array([[1.0, 0.0]]), np.array([end]), 3, "slerp")
    np.testing.assert_allclose(points[1], [(1 + end[0]) / 2, 0], atol=1e-7)


def test_a_walk_changes_one_dimension_by_the_priors_deviations():
    codec = codecs.tiny_codec("flat")
    images = np.asarray(codecs.images(codec))
    axes = latent_walks.axes_of(codec, images, images[:1])
    kl = np.asarray(codec.encode(images).latents()[0].kl)
    np.testing.assert_allclose(axes.kl, kl.mean(axis=0), rtol=1e-5)
    assert axes.largest(0) == np.argsort(-axes.kl).tolist() and len(axes.largest(2)) == 2
    walked = axes.walk(1, np.array([-3.0, 0.0, 3.0]))
    np.testing.assert_allclose(walked[:, 1], [-3, 0, 3])
    mode = np.asarray(codec.encode(images[:1]).mode())
    np.testing.assert_allclose(walked[:, [0, 2]], mode[:, [0, 2]].repeat(3, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(latent_walks.axes_of(codec, images).center, np.zeros((1, 3)))


def test_codes_have_no_deviations():
    class Codes:
        num_codes = 4

    with pytest.raises(DataError, match="are codes"):
        latent_walks.axes_of(Codes(), np.zeros((1, 8, 8, 1)))
