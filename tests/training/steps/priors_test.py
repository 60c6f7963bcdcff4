"""A prior's parameters are part of the training state: a run resumes bit for bit, and devices share
them.
"""

import jax
import numpy as np
from tiny_step import run, run_with_a_break

RECIPE, PSEUDO_INPUTS = "vamp_prior/mnist.py", "prior.pseudo_inputs"


def test_a_restored_run_goes_on_bit_for_bit(tmp_path):
    whole, metrics = run(RECIPE, 1, 3)
    assert np.isfinite(metrics["loss"]) and int(whole.skipped) == 0
    first, _ = run(RECIPE, 1, 1)
    assert not np.array_equal(first.params[PSEUDO_INPUTS], whole.params[PSEUDO_INPUTS])
    jax.tree.map(np.testing.assert_array_equal, run_with_a_break(RECIPE, tmp_path), whole)


def test_one_and_eight_devices_give_the_same():
    (one, metrics), (eight, more) = run(RECIPE, 1, 2), run(RECIPE, 8, 2)
    for name in ("loss", "distortion", "rate", "gradient_norm"):
        np.testing.assert_allclose(metrics[name], more[name], rtol=2e-4, err_msg=name)
    np.testing.assert_allclose(
        one.params[PSEUDO_INPUTS], eight.params[PSEUDO_INPUTS], rtol=1e-3, atol=1e-5
    )
