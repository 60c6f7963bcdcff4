"""A codec gives what its model gives, checks what it is given, and needs nothing of training."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_codec import images, tiny_codec

from pipeline.core import labels, pixels
from pipeline.core.errors import DataError

KINDS = ["flat", "hierarchy"]


def model_of(codec):
    named = codec.modeldef
    pick = lambda names: {name: codec.weights[name] for name in names}  # noqa: E731
    return named.merge(pick(named.param_names), pick(named.other_names))


@pytest.mark.parametrize("kind", KINDS)
def test_encode_and_decode_are_the_models(kind):
    codec = tiny_codec(kind)
    batch, key = images(codec), jax.random.key(3)
    model = model_of(codec)
    for z, latents in (
        (codec.encode(batch).mode(), model.encode(batch)),
        (codec.encode(batch).sample(key), model.encode(batch, key=key)),
    ):
        layers = z if kind == "hierarchy" else (z,)
        assert isinstance(z, tuple) == (kind == "hierarchy")
        assert len(layers) == codec.num_layers
        for ours, theirs in zip(layers, latents, strict=True):
            np.testing.assert_allclose(ours, theirs.z, rtol=1e-4, atol=1e-5)
        mean = model.decode([latent.z for latent in latents]).mean()
        decoded = codec.decode(z)
        assert decoded.dtype == jnp.uint8
        assert decoded.shape == batch.shape
        # A value next to the middle between two levels may round either way.
        assert np.abs(np.asarray(decoded, int) - np.asarray(pixels.to_uint8(mean), int)).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_float_images_are_the_same_images(kind):
    codec = tiny_codec(kind)
    batch = images(codec)
    whole, scaled = codec.encode(batch).mode(), codec.encode(pixels.to_float(batch)).mode()
    half = pixels.to_float(batch).astype(jnp.float16)
    for a, b in zip(
        *(jax.tree.leaves(codec.encode(form).mode()) for form in (half, half.astype(jnp.float32)))
    ):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(scaled), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_labels_reach_encoder_and_decoder():
    codec = tiny_codec("labelled")
    batch = images(codec)
    unknown, third = codec.encode(batch).mode(), codec.encode(batch, label=3).mode()
    assert np.abs(unknown - third).max() > 1e-3
    decoded = np.asarray(codec.decode(third, label=[3, 0, -1]), int)
    np.testing.assert_array_equal(decoded[0], codec.decode(third, label=3)[0])
    np.testing.assert_array_equal(decoded[2], codec.decode(third)[2])
    assert (decoded[1] != np.asarray(codec.decode(third, label=3))[1]).any()
    drawn = codec.sample(3, jax.random.key(0), label=2)
    assert (drawn != codec.sample(3, jax.random.key(0))).any()


def test_guidance_goes_from_no_class_to_a_class_and_beyond():
    codec = tiny_codec("labelled")
    z = codec.encode(images(codec), label=3).mode()
    scales = {scale: codec.decode(z, label=3, guidance=scale) for scale in (0, 1, 2.0)}
    np.testing.assert_array_equal(scales[0], codec.decode(z))
    np.testing.assert_array_equal(scales[1], codec.decode(z, label=3))
    zero, one, two = (np.asarray(scales[scale], int) for scale in (0, 1, 2))
    inside = (two > 0) & (two < 255)
    assert np.abs(two - (2 * one - zero))[inside].max() <= 2 and (two != one).any()
    key = jax.random.key(0)
    drawn = codec.sample(3, key, mean=True, label=2, guidance=1)
    np.testing.assert_array_equal(drawn, codec.sample(3, key, mean=True, label=2))
    for guidance, label, message in (
        (2.0, None, "guidance=2.0 needs a label"),
        (-1, 3, "must be a number of 0 or more"),
        (True, 3, "must be a number of 0 or more"),
    ):
        with pytest.raises(DataError, match=message):
            codec.decode(z, label=label, guidance=guidance)
    with pytest.raises(DataError, match=r"trained without model\.conditioning\.label_dropout"):
        labels.checked_guidance(2.0, tiny_codec("flat"), 3)


@pytest.mark.parametrize(
    ("kind", "label", "message"),
    [
        ("labelled", 5, "label 5 is no class of this model: its 5 classes are 0 to 4"),
        ("labelled", [0, -2, 1], "label -2 is no class"),
        ("labelled", [0, 1], "there are 2 labels, but 3 examples"),
        ("labelled", 1.0, "must be an integer"),
        ("flat", 1, "this model takes no labels"),
    ],
)
def test_a_label_that_is_no_class_is_refused(kind, label, message):
    codec = tiny_codec(kind)
    for call in (codec.encode, lambda x, label: codec.decode(np.zeros((3, 3)), label=label)):
        with pytest.raises(DataError, match=message):
            call(images(codec), label=label)


def test_a_sample_differs_by_key_and_is_the_same_for_the_same():
    codec = tiny_codec("flat")
    encoding = codec.encode(images(codec))
    one, again, two = (encoding.sample(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, two)
    kl = encoding.latents()[0].kl
    assert kl.shape == one.shape and float(kl.sum(axis=1).min()) >= 0


def test_the_first_layers_are_enough_and_a_key_draws_the_others():
    codec = tiny_codec("hierarchy")
    z = codec.encode(images(codec)).mode()
    plain = codec.decode(z[:2])
    np.testing.assert_array_equal(plain, codec.decode(z[:2]))
    drawn = codec.decode(z[:2], key=jax.random.key(0), temperature=1.0)
    assert not np.array_equal(plain, drawn)
    still = codec.decode(z[:2], key=jax.random.key(0), temperature=[0.0] * codec.num_layers)
    np.testing.assert_array_equal(plain, still)


def test_low_bits_of_a_model_of_fewer_bits_change_nothing():
    codec = tiny_codec("hierarchy", bits=5)
    batch = images(codec)
    for form in (batch, pixels.to_float(batch)):
        for a, b in zip(codec.encode(form).mode(), codec.encode(batch & 0xF8).mode(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_samples(kind):
    codec = tiny_codec(kind)
    one = codec.sample(2, jax.random.key(0), 0.5, mean=True)
    assert one.shape == (2, *codec.image_shape)
    assert one.dtype == jnp.uint8
    np.testing.assert_array_equal(one, codec.sample(2, jax.random.key(0), 0.5, mean=True))
    assert not np.array_equal(one, codec.sample(2, jax.random.key(1), 0.5, mean=True))


def test_each_batch_shape_compiles_once():
    codec = tiny_codec("flat")
    before = codec._infer.outermost._cache_size()
    for seed in range(3):
        codec.encode(images(codec, batch=5, seed=seed)).mode()
    assert codec._infer.outermost._cache_size() <= before + 1


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((8, 8, 1), np.uint8), "images[None]"),
        (np.zeros((2, 9, 8, 1), np.uint8), "[2, 9, 8, 1]"),
        (np.zeros((2, 8, 8, 3), np.uint8), "[batch 8 8 1]"),
        (np.zeros((0, 8, 8, 1), np.uint8), "[0, 8, 8, 1]"),
        (np.zeros((2, 8, 8, 1), np.int64), "int64"),
        (np.full((2, 8, 8, 1), 200.0), "outside of [-1, 1]"),
        (np.full((2, 8, 8, 1), np.nan), "outside of [-1, 1]"),
    ],
)
def test_bad_images_are_told_in_a_line(bad, said):
    with pytest.raises(DataError) as error:
        tiny_codec("flat").encode(bad)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_latents_are_told_in_a_line():
    flat, hierarchy = tiny_codec("flat"), tiny_codec("hierarchy")
    z = hierarchy.encode(images(hierarchy)).mode()
    for codec, bad, said in (
        (flat, np.zeros((2, 4), np.float32), "[batch 3]"),
        (hierarchy, z[0], "tuple of up to 4"),
        (hierarchy, (*z, z[0]), "5 latents"),
        (hierarchy, (), "0 latents"),
        (hierarchy, z[1:], "layer 0"),
        (hierarchy, (z[0], z[1][:1]), "layer 1"),
    ):
        with pytest.raises(DataError) as error:
            codec.decode(bad)
        assert said in str(error.value)


def test_bad_temperatures_and_numbers_are_told():
    codec = tiny_codec("hierarchy")
    with pytest.raises(DataError, match="2 values, but the model has 4 layers"):
        codec.sample(1, jax.random.key(0), [1.0, 0.5])
    with pytest.raises(DataError, match="num=0"):
        codec.sample(0, jax.random.key(0))


def test_using_a_codec_imports_nothing_of_training(tmp_path):
    tiny_codec("flat").save_pretrained(tmp_path)
    program = f"""
import sys
import numpy as np
from pipeline import Codec
codec = Codec.from_pretrained({str(tmp_path)!r})
codec.reconstruct(np.zeros((1, 8, 8, 1), np.uint8))
unwanted = ("tensorflow", "clu", "grain", "torch", "pipeline.training")
print([name for name in unwanted if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
