"""TiTok: expected proxy codes are decoded, and tokens are read as the released models do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core.errors import ConfigError
from pipeline.models.titok.transformer import TokenEncoder

SIZE, TOKENS, WIDTH, DIM, PROXIES = 8, 3, 8, 2, 5


def recipe(**settings):
    return dict(
        name="titok.TiTok",
        image_size=SIZE,
        num_tokens=TOKENS,
        latent_channels=DIM,
        width=WIDTH,
        depth=1,
        heads=2,
        num_proxies=PROXIES,
        proxy_dim=4,
        bottleneck=dict(name="cosine_vq.CosineVQ", num_codes=6),
        pixel_decoder=dict(
            name="maskgit_vqgan.Decoder", channels=(4, 4, 4), num_blocks=1, groups=2
        ),
        **settings,
    )


def test_a_certain_proxy_code_is_decoded_as_that_code():
    """Training's proxy logits have one axis of codes, and a softmax of them averages the codes."""
    model = models.create(recipe(), rngs=nnx.Rngs(0))
    codes = jnp.array([[0, 4], [2, 1]])[None]
    image = jax.random.randint(jax.random.key(1), (2, SIZE, SIZE, 3), 0, 256).astype(jnp.uint8)

    @jax.jit
    def both(codes, image):
        certain = model._decode(100.0 * jax.nn.one_hot(codes, PROXIES)).mean()
        expected, _ = model.pixel_decoder(model.proxies[...][codes])
        outputs = model({"image": image}, key=None, train=True)
        recon = model.decode([outputs.latents[0].z]).mean()
        again = model.decode(model.latents_of([outputs.latents[0].indices])).mean()
        return certain, expected, outputs, recon, again

    certain, expected, outputs, recon, again = both(codes, image)
    np.testing.assert_allclose(certain, expected, atol=1e-5)
    assert outputs.aux["proxy_logits"].shape == (2, 2, 2, PROXIES)
    np.testing.assert_allclose(outputs.recon.mean(), recon, atol=1e-5)
    np.testing.assert_allclose(recon, again, atol=1e-5)


def test_untransposed_features_mix_tokens_and_channels():
    """[n width] read as [width n], as the released weights expect, and otherwise left alone."""
    settings = dict(in_channels=3, out_channels=DIM, side=2, patch=4, num_tokens=TOKENS)
    settings |= dict(width=WIDTH, depth=0, heads=2, dtype=jnp.float32)
    x = jax.random.normal(jax.random.key(0), (1, SIZE, SIZE, 3))

    @jax.jit
    def features(tokens):
        mixed, plain = (
            TokenEncoder(**settings, untransposed=untransposed, rngs=nnx.Rngs(0))
            for untransposed in (True, False)
        )
        of_tokens = plain.sequence(jnp.zeros((1, 4, WIDTH)), tokens[None])[1]
        h, last = plain.sequence.norm_out(of_tokens), plain.project
        return mixed(x, tokens), plain(x, tokens), h, last.kernel[...], last.bias[...]

    found = features(jax.random.normal(jax.random.key(1), (TOKENS, WIDTH)))
    mixed, plain, h, kernel, bias = found
    np.testing.assert_allclose(plain, h @ kernel + bias, atol=1e-5)
    rows = h.reshape(1, WIDTH, TOKENS).swapaxes(1, 2)
    np.testing.assert_allclose(mixed, rows @ kernel + bias, atol=1e-5)
    assert not np.allclose(mixed, plain, atol=1e-3)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(image_size=10), "image_size=10 must be a multiple of 4, the side of a patch"),
        (dict(bottleneck=dict(name="gaussian.Gaussian")), "must be a quantizer of single codes"),
        (dict(heads=3), "model.width=8 must be a multiple of model.heads=3"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        models.create(recipe() | settings, rngs=nnx.Rngs(0))
