"""Tests that decode takes finite floats alone, in both kinds of codec and in files."""

import fractions

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_codec
import tiny_video_codec

from pipeline.codec.checks import checked_latents
from pipeline.codec.media import clip_latents, code_image, image_latents
from pipeline.codec.media.video_io import Timing
from pipeline.core.errors import DataError

BAD = {
    "int32": lambda z: z.astype(np.int32),
    "uint8": lambda z: z.astype(np.uint8),
    "bool": lambda z: z > 0,
    "complex64": lambda z: z.astype(np.complex64),
    "NaN": lambda z: np.where(z == z.max(), np.nan, z).astype(np.float32),
    "infinite": lambda z: np.where(z == z.max(), np.inf, z).astype(np.float32),
    "or infinite": lambda z: np.where(z == z.max(), 1e300, z.astype(np.float64)),
}


@pytest.mark.parametrize("said", BAD)
def test_other_latents_are_refused_by_every_decoder(said):
    z = np.random.default_rng(0).normal(size=(1, 2, 2, 2, 2)).astype(np.float32)
    video = tiny_video_codec.tiny_codec()
    flat, layers = tiny_codec.tiny_codec("flat"), tiny_codec.tiny_codec("hierarchy")
    vector = np.arange(3, dtype=np.float32)[None]
    tops = [np.ones((1, *shape), np.float32) for shape in layers.latent_shapes]
    bad = BAD[said]
    for decode in (
        lambda: video.decode(bad(z)),
        lambda: video.decode(jnp.asarray(bad(z))),
        lambda: list(video.decode_frames([bad(z)[0]])),
        lambda: flat.decode(bad(vector)),
        lambda: layers.decode((*tops[:2], bad(tops[2]), *tops[3:])),
    ):
        with pytest.raises(DataError, match=rf"latents.* {said}"):
            decode()


def test_every_float_type_is_taken_and_a_caller_may_compile():
    for dtype in (np.float16, np.float32, np.float64, jnp.bfloat16):
        z = np.ones((2, 3), dtype)
        assert checked_latents(z) is z
    jax.jit(checked_latents)(jnp.ones(3))


def test_files_of_other_latents_are_named(tmp_path):
    video, flat = tiny_video_codec.tiny_codec(), tiny_codec.tiny_codec("flat")
    z = np.full((2, 2, 2, 2), np.nan, np.float32)
    timing = Timing(fractions.Fraction(1, 10), fractions.Fraction(10))
    with clip_latents.Writer(tmp_path / "clip.safetensors", video.fingerprint) as writer:
        writer.write(z)
        writer.finish(clip_latents.About((5, 16, 16), timing, list(range(5))))
    with (
        pytest.raises(DataError, match=r"clip.safetensors: its latents have values that are NaN"),
        clip_latents.opened(tmp_path / "clip.safetensors", video.fingerprint) as (_, pieces),
    ):
        list(pieces)
    fitted = code_image.fit(flat, np.zeros((8, 8, 1), np.uint8))
    content = image_latents.pack(flat, (np.full((1, 3), np.inf, np.float32),), fitted)
    (tmp_path / "image.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"image.safetensors: its latents have values that are NaN"):
        image_latents.unpack(tmp_path / "image.safetensors", flat)
