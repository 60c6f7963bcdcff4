"""The composition of an encoder, a bottleneck and a decoder, and the errors of recipes."""

import pytest
from autoencoders import ldm, taesd, wf_vae
from flax import nnx
from ml_collections import ConfigDict

from pipeline import build, models
from pipeline.core.errors import ConfigError


def create(recipe):
    return nnx.eval_shape(lambda: models.create(recipe, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize(
    "recipe, said",
    [
        (
            ldm() | dict(decoder=taesd()["decoder"]),
            r"model.decoder \(taesd.Decoder\) has spatial_factor 8, "
            r"but model.encoder \(ldm.Encoder\)",
        ),
        (wf_vae() | dict(decoder=taesd()["decoder"]), "has is_video False"),
        (ldm(num_frames=5), "model.num_frames=5 must be 1 for a codec of images"),
        (wf_vae(num_frames=6), r"model.num_frames=6 must be 1 \+ 4k"),
        (ldm(image_size=9), "model.image_size=9 must be a multiple of 2"),
        (ldm() | dict(encoder=dict(name="ldm.Encodr")), "model.encoder.name='ldm.Encodr': did you"),
        (ldm() | dict(bottleneck=dict(name="gauss.Gaussian")), "model.bottleneck.name='gauss.G"),
        (ldm() | dict(bottleneck={}), "model.bottleneck.name"),
        (
            ldm() | dict(encoder=dict(name="ldm.Encoder", chanels=(8, 16))),
            "model.encoder.chanels is not a setting of Encoder.*did you mean 'channels'",
        ),
    ],
)
def test_a_part_that_does_not_fit_is_an_error(recipe, said):
    with pytest.raises(ConfigError, match=said):
        create(recipe)


def test_a_bottleneck_is_exchanged_by_name():
    recipe = ldm() | dict(bottleneck=dict(name="stochastic_quantizer.StochasticQuantizer"))
    model = create(recipe)
    assert model.encoder.out_channels == 4 and model.bottleneck.codebook.shape == (512, 4)


def test_settings_of_a_part_can_be_overridden():
    config = ConfigDict(dict(model=ldm(), step="elbo"))
    assert build.defaults(config, "model.decoder")["attention"] is True
    assert "in_channels" not in build.defaults(config, "model.encoder")
    assert build.takes(config, "model.encoder", "num_blocks", 3)
    assert not build.takes(config, "model.encoder", "num_blocks", "many")
    found = models.settings(ldm())
    assert found["encoder.num_blocks"] == 1 and found["decoder.num_blocks"] == 2
    assert found["bottleneck.name"] == "gaussian.Gaussian" and found["remat"] is False
