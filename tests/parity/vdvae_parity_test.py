"""VDVAE agrees with the same equations in torch on the same weights, images and noise."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx  # noqa: E402
from restated_vdvae import Layout, Restated, distortion, random_state_dict  # noqa: E402

from pipeline import models  # noqa: E402
from pipeline.core import parameters  # noqa: E402
from pipeline.formats import state_dict  # noqa: E402
from pipeline.importers import openai_vdvae as openai_vdvae_importer  # noqa: E402

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4
# Covers pooling by 2 and by 4, kernels of 1 and 3, changes of width, mixing in, and states with and
# without a learned start.
MODEL = dict(
    name="vdvae.VDVAE",
    enc_blocks="16x1,16d2,8x1,8d2,4x1,4d4,1x1",
    dec_blocks="1x1,4m1,4x1,8m4,16m8,16x2",
    width=12,
    custom_widths="8:16,4:24,1:24",
    no_bias_above=8,
    zdim=5,
    likelihood=dict(name="logistic_mixture", num_mixtures=3),
    image_size=16,
    input_shift=-112.0,
    input_scale=1 / 70.0,
)
LOW_BIT = dict(MODEL["likelihood"]) | dict(bits=5, authors_low_bit=True)
KEY = jax.random.key(3)


class Pair:
    """The two models with the same weights, read from a file like the released ones."""

    def __init__(self, folder, **changes):
        recipe = MODEL | changes
        layout = Layout(recipe)
        tensors = {
            name: tensor.requires_grad_()
            for name, tensor in random_state_dict(layout, seed=0).items()
        }
        path = folder / "weights.th"
        torch.save({f"module.{name}": tensor.detach() for name, tensor in tensors.items()}, path)
        self.restated = Restated(layout, tensors)
        self.modeldef, self.shapes, _ = parameters.abstract(
            lambda: models.create(recipe, rngs=nnx.Rngs(0))
        )
        self.params = self.to_params(state_dict.load(str(path)))
        self.noise = [
            self.noise_of(layer, shape) for layer, shape in enumerate(self.model.latent_shapes)
        ]

    @property
    def model(self):
        return self.modeldef.merge(self.params)

    def to_params(self, tensors):
        return jax.tree.map(
            jnp.asarray, openai_vdvae_importer.convert(tensors, self.shapes, path="weights.th")
        )

    def noise_of(self, layer, shape):
        noise = jax.random.normal(jax.random.fold_in(KEY, layer), (len(IMAGES), *shape))
        return torch.from_numpy(np.array(noise)).permute(0, 3, 1, 2)


def photographs():
    """Return crops of a photograph with black and white added: the extremes are a special case."""
    from sklearn.datasets import load_sample_image

    picture = load_sample_image("china.jpg")
    crops = [picture[top : top + 16, 300:316] for top in (40, 150, 320)]
    images = np.stack(crops)
    images[0, :2], images[0, 2:4] = 0, 255
    return images


IMAGES = photographs()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return Pair(tmp_path_factory.mktemp("eight"))


@pytest.fixture(scope="module")
def low_bit_pair(tmp_path_factory):
    return Pair(tmp_path_factory.mktemp("five"), likelihood=LOW_BIT)


def compare_elbo(pair, images, *, low_bit):
    params, kls, _ = pair.restated.infer(torch.from_numpy(images), pair.noise)
    their_kls = torch.stack([kl.sum((1, 2, 3)) for kl in kls])
    their_distortion = distortion(params, torch.from_numpy(images), low_bit=low_bit)
    their_loss = ((their_distortion + their_kls.sum(0)) / images[0].size).mean()
    their_loss.backward()
    grads = {name: tensor.grad for name, tensor in pair.restated.tensors.items()}

    def loss(weights):
        outputs = pair.modeldef.merge(weights)({"image": jnp.asarray(images)}, key=KEY, train=True)
        rates = jnp.stack([latent.kl.sum((1, 2, 3)) for latent in outputs.latents])
        cost = -outputs.recon.log_prob(jnp.asarray(images))
        return ((cost + rates.sum(0)) / images[0].size).mean(), (cost, rates)

    (our_loss, (our_distortion, our_kls)), our_grads = jax.jit(
        jax.value_and_grad(loss, has_aux=True)
    )(pair.params)
    np.testing.assert_allclose(our_kls, their_kls.detach(), rtol=TOLERANCE)
    np.testing.assert_allclose(our_distortion, their_distortion.detach(), rtol=TOLERANCE)
    np.testing.assert_allclose(our_loss, their_loss.detach(), rtol=TOLERANCE)
    norm = torch.stack([grad.square().sum() for grad in grads.values()]).sum().sqrt()
    our_norm = jnp.sqrt(sum(jnp.square(grad).sum() for grad in our_grads.values()))
    np.testing.assert_allclose(our_norm, norm, rtol=TOLERANCE)
    # Changes of layout are linear, so that the converter works for gradients too.
    for name, grad in pair.to_params({name: grad.numpy() for name, grad in grads.items()}).items():
        difference = float(
            jnp.linalg.norm((our_grads[name] - grad).ravel()) / jnp.linalg.norm(grad.ravel())
        )
        assert difference < 10 * TOLERANCE, (name, difference)


def test_kl_of_each_layer_distortion_and_gradients(pair):
    compare_elbo(pair, IMAGES, low_bit=False)


def test_the_authors_likelihood_of_five_bits(low_bit_pair):
    compare_elbo(low_bit_pair, IMAGES & 0xF8, low_bit=True)


def test_encode_gives_the_same_latents(pair):
    _, _, theirs = pair.restated.infer(torch.from_numpy(IMAGES), pair.noise)
    for ours, z in zip(pair.model.encode(jnp.asarray(IMAGES), key=KEY), theirs):
        np.testing.assert_allclose(
            ours.z, z.detach().permute(0, 2, 3, 1), rtol=1e-3, atol=TOLERANCE
        )


@pytest.mark.parametrize("kept", [0, 3])
def test_the_first_latents_kept_and_the_rest_drawn_at_a_temperature_a_layer(pair, kept):
    temperatures = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4][: pair.model.num_layers]
    _, _, latents = pair.restated.infer(torch.from_numpy(IMAGES), pair.noise)
    theirs = pair.restated.generate(latents[:kept], pair.noise, temperatures)
    given = [jnp.asarray(z.detach().permute(0, 2, 3, 1).numpy()) for z in latents[:kept]]
    ours = pair.model.decode(given, num=len(IMAGES), key=KEY, temperature=temperatures)
    np.testing.assert_allclose(ours.params, theirs.detach(), rtol=1e-3, atol=10 * TOLERANCE)
