"""Codebooks of moving averages are part of the state: they resume, and devices share them."""

import jax
import numpy as np
from tiny_step import run, run_with_a_break

RECIPE = "vq_vae/cifar10_ema.py"
STATISTICS = [f"bottleneck.codebook.{name}" for name in ("codes", "counts", "sums", "weight")]


def test_a_restored_run_goes_on_bit_for_bit(tmp_path):
    whole, metrics = run(RECIPE, 1, 3)
    assert sorted(whole.model_state) == STATISTICS and int(whole.skipped) == 0
    assert metrics["codebook_bits"].shape == (1,) and 0 < metrics["codebook_used"] <= 1
    jax.tree.map(np.testing.assert_array_equal, run_with_a_break(RECIPE, tmp_path), whole)


def test_one_and_eight_devices_have_the_same_codes():
    """After one step: later vectors differ by what Adam makes of rounding, and some of them lie
    between two codes.
    """
    (one, metrics), (eight, more) = run(RECIPE, 1, 1), run(RECIPE, 8, 1)
    for name in ("loss", "commitment", "codebook_perplexity", "gradient_norm"):
        np.testing.assert_allclose(metrics[name], more[name], rtol=1e-5, err_msg=name)
    for name in STATISTICS:
        np.testing.assert_allclose(
            one.model_state[name], eight.model_state[name], rtol=1e-5, atol=1e-6, err_msg=name
        )
