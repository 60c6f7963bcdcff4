"""The weights of the KL that the recipes of text give their steps."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny_step

from pipeline.core import schedules
from pipeline.core.types import Latent, Outputs
from pipeline.losses.terms.free_bits import free_bits


def weights(recipe, steps, arg=""):
    objective = tiny_step.settings(f"text_vae/{recipe}.py", arg)["objective"]
    schedule = schedules.create(objective["rate"]["weight"], where="objective.rate.weight")
    return [float(schedule(jnp.int32(step))) for step in steps]


def test_linear_annealing_ends_after_a_third():
    np.testing.assert_allclose(weights("lines", [0, 250, 1_000, 2_999]), [0, 0.25, 1, 1], atol=1e-6)


def test_cycles_rise_in_their_first_half_and_fill_the_run():
    steps = [0, 150, 375, 749, 750, 900, 2_250, 2_999, 3_000]
    np.testing.assert_allclose(
        weights("lines_cyclical", steps), [0, 0.4, 1, 1, 0, 0.4, 0, 1, 1], atol=1e-6
    )
    np.testing.assert_allclose(
        weights("lines_cyclical", range(5), "tiny"), [0, 0.5, 1, 1, 1], atol=1e-6
    )


def test_free_bits_charge_each_latent_from_half_a_nat_on():
    objective = tiny_step.settings("text_vae/lines_free_bits.py", "")["objective"]
    assert "rate" not in objective
    term = free_bits(**objective["free_bits"])

    def charge(kl):
        latent = Latent(z=kl, kl=kl)
        return term.value(Outputs(None, (latent,)), {}, 0, None).mean()

    kl = jnp.array([[0.1, 2.0], [0.3, 0.4]])  # the means of the latents: 0.2 and 1.2
    np.testing.assert_allclose(charge(kl), 0.5 + 1.2, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(charge)(kl), [[0, 0.5], [0, 0.5]])
