"""Terms of high frequencies: what they do not see, and a closed form of what they do."""

import jax.numpy as jnp
import numpy as np

from pipeline.core.types import Outputs
from pipeline.distributions.continuous import Reconstruction
from pipeline.losses.terms.frequencies.fine_detail import blur, fine_detail
from pipeline.losses.terms.frequencies.haar_bands import haar_bands

ZERO = np.zeros((1, 16, 16, 3), np.float32)


def value_of(term, error):
    outputs = Outputs(Reconstruction(jnp.asarray(ZERO + error)), ())
    return float(term.value(outputs, {"image": jnp.asarray(ZERO)}, 0, {})[0])


def checkers(period):
    """Return stripes of +-0.5 along the columns, of `period` columns."""
    return 0.5 * np.where(np.arange(16) // (period // 2) % 2, -1, 1)[None, None, :, None]


def test_neither_sees_a_constant_error():
    assert value_of(haar_bands(), 0.3) < 1e-4
    assert value_of(fine_detail(), 0.3) < 1e-3


def test_stripes_are_in_one_band_of_one_level():
    # 0.5 of each of four pixels, over 2: 1 in each of the 8 x 8 places of 3 channels.
    found = value_of(haar_bands(eps=1e-6), checkers(2))
    np.testing.assert_allclose(found, 8 * 8 * 3, rtol=1e-4)
    # One level down they are twice as high at a quarter of the places.
    found = value_of(haar_bands(eps=1e-6), checkers(4))
    np.testing.assert_allclose(found, 2 * 4 * 4 * 3, rtol=1e-4)
    assert value_of(haar_bands(eps=1e-6, levels=1), checkers(4)) < 1e-3


def test_a_blur_keeps_a_constant_and_takes_stripes_away():
    np.testing.assert_allclose(blur(jnp.asarray(ZERO + 0.3), 1.0), ZERO + 0.3, rtol=1e-6)
    blurred = blur(jnp.asarray((ZERO + checkers(2)).astype(np.float32)), 1.0)
    assert float(jnp.abs(blurred[:, :, 4:-4]).max()) < 0.01
    assert value_of(fine_detail(), checkers(2)) > 0.9 * 0.5 * 16 * 16 * 3
