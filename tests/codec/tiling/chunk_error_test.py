"""Tests that codecs which are not causal differ when coded in chunks, and that they say so."""

import functools
import json

import jax
import numpy as np
import pytest
from autoencoders import cv_vae, wf_vae
from flax import nnx

from pipeline import models
from pipeline.codec.any_size import AnySizeCodec
from pipeline.core import parameters

RECIPES = {
    "cv_vae": cv_vae(latent_channels=2),
    "cv_vae, norms over frames": cv_vae(latent_channels=2, norm_per_frame=False),
    "wf_vae, linear in time": wf_vae(time_interpolation="linear"),
}
EXACT = ["cv_vae", "wf_vae, linear in time"]


@functools.cache
def codec_of(kind: str) -> AnySizeCodec:
    recipe = RECIPES[kind]
    modeldef, params, model_state = parameters.split(models.create(recipe, rngs=nnx.Rngs(0)))
    about = {
        "model": recipe,
        "dtype": "float32",
        "num_parameters": 1,
        "input": {"image_shape": [16, 16, 3]},
    }
    return AnySizeCodec(modeldef, params | model_state, about)


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    clip = np.random.default_rng(0).integers(0, 256, (1, 9, 16, 16, 3), np.uint8)
    clip[:, 5:] //= 3  # a cut: later frames have other statistics
    return clip


@pytest.mark.parametrize("kind", EXACT)
def test_latents_of_a_causal_encoder_are_exact_for_any_decoder(kind, clip):
    codec = codec_of(kind)
    assert codec.encoder_causal and not codec.decoder_causal and not codec.causal
    whole = codec.encode(clip)
    for chunk in (4, 8):
        parts = codec.encode(clip, chunk=chunk)
        np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-5)
        np.testing.assert_allclose(parts.logvar, whole.logvar, atol=1e-5)


@pytest.mark.parametrize("kind", EXACT)
def test_frames_of_a_decoder_that_looks_ahead_differ(kind):
    codec = codec_of(kind)
    z = jax.random.normal(jax.random.key(0), (1, 3, 2, 2, 2))
    whole, parts = (np.asarray(codec.decode(z, chunk=chunk)).astype(int) for chunk in (None, 1))
    assert parts.shape == whole.shape == (1, 9, 16, 16, 3)
    difference = np.abs(whole - parts).max(axis=(0, 2, 3, 4))
    print(f"{kind}: {difference} of 255")
    assert difference.max() > 1


def test_norms_over_frames_differ_from_the_first_chunk_on(clip):
    codec = codec_of("cv_vae, norms over frames")
    assert not codec.encoder_causal and not codec.causal
    whole, parts = (np.asarray(codec.encode(clip, chunk=chunk).mode()) for chunk in (None, 4))
    difference = np.abs(whole - parts).max(axis=(0, 2, 3, 4)) / whole.std()
    print(f"{difference} of the latents' deviation")
    assert parts.shape == whole.shape and (difference > 1e-3).all()


@pytest.mark.parametrize(
    "kind, causal, said",
    [
        (
            "cv_vae",
            [True, False, False],
            "Chunks of any number of frames give the latents of the whole clip",
        ),
        ("cv_vae, norms over frames", [False, False, False], "It is not causal"),
    ],
)
def test_the_codec_folder_says_whether_it_is_causal(kind, causal, said, tmp_path):
    codec_of(kind).save_pretrained(tmp_path)
    about = json.loads((tmp_path / "config.json").read_text())["codec"]
    assert [about[name] for name in ("encoder_causal", "decoder_causal", "causal")] == causal
    assert said in (tmp_path / "README.md").read_text()
