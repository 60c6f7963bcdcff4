"""The released weights of disentangling-vae, imported, give torch's figures on MNIST."""

import pathlib

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from torch.nn import functional  # noqa: E402

from pipeline import cli  # noqa: E402
from pipeline.build.trained import load_for_inference  # noqa: E402

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data"
RECIPE = pathlib.Path(__file__).parents[2] / "configs" / "vae" / "mnist.py"
NUM_IMAGES = 10_000

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the weights and MNIST of {DATA}"),
]


def digits(count):
    """Return training images enlarged to 32x32 by torchvision's bilinear Resize, like the authors'.

    The figures hold for these images. With a black border instead, the KL is 18.88 and the
    distortion 95.5 nats.
    """
    with np.load(DATA / "images" / "mnist_train60k.npz") as file:
        images = file["images"]
    chosen = np.random.default_rng(0).choice(len(images), count, replace=False)
    large = [
        Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR)
        for image in images[chosen]
    ]
    return np.stack(large)[..., None]


def weights_of(name):
    return DATA / "weights" / f"disvae_{name}_mnist" / "model.pt"


def imported(name, folder):
    arguments = [
        "import",
        "--from",
        "disentangling-vae",
        str(weights_of(name)),
        "--config",
        str(RECIPE),
    ]
    assert cli.dispatch([*arguments, "--out", str(folder)]) == 0
    config, step, model = load_for_inference(folder)
    assert step == 0 and config["model"]["name"] == "vae.VAE"
    return model


@jax.jit
def kl_and_distortion(model, images):
    """Return the KL of each image and the binary cross-entropy at the posterior's mean, in nats."""
    (latent,) = model.encode(images)
    return latent.kl.sum(1), -model.decode([latent.mean]).log_prob(images)


# KL and distortion in nats, as measured in torch over 10,000 random training images.
@pytest.mark.parametrize("name, kl, distortion", [("VAE", 19.42, 113.37), ("btcvae", 9.35, 131.24)])
def test_figures_of_the_real_weights(name, kl, distortion, tmp_path):
    model = imported(name, tmp_path / "run")
    batches = np.split(digits(NUM_IMAGES), 10)
    found = [kl_and_distortion(model, jnp.asarray(batch)) for batch in batches]
    means = np.mean([[np.mean(value) for value in batch] for batch in found], axis=0)
    print(f"{name}: KL {means[0]:.3f}, distortion {means[1]:.3f} nats over {NUM_IMAGES} images")
    np.testing.assert_allclose(means, [kl, distortion], rtol=0.01)


def torch_network(tensors, images):
    """Return mean, log-variance and the decoder's logits of Burgess et al.'s network at 32x32."""

    def layer(function, name, x, **kw):
        return function(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], **kw)

    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    for name in ("conv1", "conv2", "conv3"):
        x = layer(functional.conv2d, f"encoder.{name}", x, stride=2, padding=1).relu()
    x = x.flatten(1)
    for name in ("lin1", "lin2"):
        x = layer(functional.linear, f"encoder.{name}", x).relu()
    mean, logvar = (
        layer(functional.linear, "encoder.mu_logvar_gen", x).unflatten(-1, (10, 2)).unbind(-1)
    )
    x = mean
    for name in ("lin1", "lin2", "lin3"):
        x = layer(functional.linear, f"decoder.{name}", x).relu()
    x = x.unflatten(-1, (32, 4, 4))
    for name in ("convT1", "convT2"):
        x = layer(functional.conv_transpose2d, f"decoder.{name}", x, stride=2, padding=1).relu()
    return (
        mean,
        logvar,
        layer(functional.conv_transpose2d, "decoder.convT3", x, stride=2, padding=1),
    )


def test_image_by_image_as_torch(tmp_path):
    model = imported("VAE", tmp_path / "run")
    images = digits(64)
    with torch.no_grad():
        tensors = torch.load(weights_of("VAE"), map_location="cpu", weights_only=True)
        mean, logvar, logits = torch_network(tensors, images)
        target = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        distortion = functional.binary_cross_entropy_with_logits(
            logits, target, reduction="none"
        ).sum((1, 2, 3))
    (latent,) = model.encode(jnp.asarray(images))
    np.testing.assert_allclose(latent.mean, mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(latent.logvar, logvar, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        kl_and_distortion(model, jnp.asarray(images))[1], distortion, rtol=1e-4
    )
