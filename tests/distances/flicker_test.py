import jax
import jax.numpy as jnp
import numpy as np

from pipeline.distances.flicker import flicker


def test_a_constant_error_does_not_flicker():
    still = np.random.default_rng(0).integers(40, 200, (2, 1, 8, 8, 3)).astype(np.uint8)
    still = still.repeat(6, 1)
    assert not np.asarray(flicker(jnp.asarray(still), jnp.asarray(still + 20))).any()
    # One clip flickers by 5 in every second frame, the other moves and is followed exactly.
    jittered = still.copy()
    jittered[0, 1::2] += 5
    moving = np.stack([np.roll(still[1, i], i, axis=1) for i in range(6)])
    one, other = still.copy(), jittered
    one[1], other[1] = moving, moving
    np.testing.assert_allclose(
        flicker(jnp.asarray(one), jnp.asarray(other)), [5 / 255, 0], rtol=1e-5
    )


def test_independent_noise_flickers_by_its_deviation():
    # Independent noise of variance v in each frame: E |difference| = 2 sqrt(v / pi).
    noise = 0.1 * jax.random.normal(jax.random.key(0), (1, 9, 32, 32, 3))
    np.testing.assert_allclose(
        flicker(noise, jnp.zeros_like(noise)), 0.05 * 2 / np.pi**0.5, rtol=0.02
    )
