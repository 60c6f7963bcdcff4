"""The trained dSprites networks of disentangling-vae have their published losses on our images.

The mutual information gaps are those of an independent evaluation of 3000 images.
"""

import pathlib

import jax
import numpy as np
import pytest

from pipeline import cli
from pipeline.build.trained import load_for_inference
from pipeline.data.sources.dsprites import DSprites
from pipeline.metrics.functions.factors.mig import mig

WEIGHTS = pathlib.Path(__file__).parents[3] / "shared" / "data" / "weights"
RECIPE = pathlib.Path(__file__).parents[2] / "configs" / "beta_tcvae" / "dsprites.py"

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"needs the weights of {WEIGHTS}"),
]


def imported(name, folder):
    arguments = ["import", "--from", "disentangling-vae", "--config", str(RECIPE)]
    weights = WEIGHTS / f"disvae_{name}_dsprites" / "model.pt"
    assert cli.dispatch([*arguments, str(weights), "--out", str(folder)]) == 0
    return load_for_inference(folder)[2]


@jax.jit
def loss_and_kl(model, images):
    """Return the negative log-likelihood at the posterior's mean and the KL, in nats."""
    (latent,) = model.encode(images)
    return -model.decode([latent.mean]).log_prob(images), latent.kl.sum(1)


@jax.jit
def means(model, images):
    return model.encode(images)[0].mean


# The published losses are those of the first images (the authors' `return` is inside their loop),
# divided by the number of batches.
@pytest.mark.parametrize(
    "name, count, loss, kl, gap",
    [
        ("VAE", 1000, 4.05194, 22.78676, 0.103),
        ("factor", 500, 20.28826, 20.17552, 0.181),
        ("btcvae", 1000, 25.19985, 11.37960, 0.132),
    ],
)
def test_the_real_weights_have_their_published_losses(name, count, loss, kl, gap, tmp_path):
    model, source = imported(name, tmp_path / "run"), DSprites()
    images, _ = source.gather(np.arange(count))
    found = [np.mean(value) for value in loss_and_kl(model, images)]
    np.testing.assert_allclose(found, [loss, kl], atol=3e-4)
    rows = np.random.default_rng(0).integers(0, len(source), 3000)
    images, _ = source.gather(rows)
    codes = np.concatenate([means(model, part) for part in np.split(images, 6)])
    assert mig(codes.astype(np.float64), source.factors(rows)) == pytest.approx(gap, abs=0.03)
    if name == "VAE":  # over all images 17.5 nats at a sample, as in the authors' log, and 25.2
        found = [np.mean(value) for value in loss_and_kl(model, images[:500])]
        assert 13 < found[0] < 20 and 24 < found[1] < 26.5
