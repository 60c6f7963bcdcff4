"""Recipes of discrete latents and of classic objectives resume bit for bit, train on any number of
devices, and export to a codec that codes.

Those of vectors and text always run; -m slow runs the others, whose mechanisms have tests of their
own. docs/benchmarks/guarantees.md has a table of them.
"""

import pytest
from guarantees import assert_codes_from_a_folder, assert_resumes, assert_same_on_devices

ALWAYS = ["ph_vae/lognormal.py", "text_vae/lines.py"]
RECIPES = [
    "text_vae/lines_cyclical.py",
    "text_vae/lines_free_bits.py",
    "aae/mnist.py",
    "beta_tcvae/dsprites.py",
    "cvae/cifar10.py",
    "cvae/digits.py",
    "delta_vae/mnist.py",
    "dfc_vae/photos.py",
    "dip_vae/dsprites.py",
    "factor_vae/dsprites.py",
    "flow_prior/mnist.py",
    "fsq/cifar10.py",
    "hyperprior/photos.py",
    "iwae/mnist.py",
    "lfq/cifar10.py",
    "m2/mnist.py",
    "residual_vq/cifar10.py",
    "rq_vae/f32.py",
    "titok/b64.py",
    "titok/l32.py",
    "titok/s128.py",
    "vae_gan/cifar10.py",
    "vamp_prior/mnist.py",
    "vit_vqgan/b.py",
    "vit_vqgan/s.py",
    "vq_vae/cifar10.py",
    "vq_vae2/imagenet256.py",
    "vqgan/f16_1024.py",
    "vqgan/f16_16384.py",
    "vqgan/vq_f16.py",
    "vqgan/vq_f4.py",
    "vqgan/vq_f4_noattn.py",
    "vqgan/vq_f8.py",
    "vqgan/vq_f8_n256.py",
    "wf_vae/fsq.py",
]


@pytest.mark.parametrize(
    "recipe", [*ALWAYS, *(pytest.param(each, marks=pytest.mark.slow) for each in RECIPES)]
)
class TestGuarantees:
    def test_a_restored_run_goes_on_bit_for_bit(self, recipe, tmp_path):
        assert_resumes(recipe, tmp_path)

    def test_one_and_eight_devices_give_the_same(self, recipe):
        assert_same_on_devices(recipe)

    def test_a_codec_comes_back_from_its_folder(self, recipe, tmp_path):
        assert_codes_from_a_folder(recipe, tmp_path)
