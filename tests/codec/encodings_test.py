"""Codecs of codes: indices in memory and in files decode to what the codec reconstructs."""

import json
import struct

import numpy as np
import pytest
from autoencoders import autoencoder, wf_vae
from flax import nnx
from tiny_codec import tiny_codec
from tiny_video_codec import write_video

from pipeline import models
from pipeline.codec import encodings
from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.fixed_size import FixedSizeCodec
from pipeline.codec.media import any_size_files, code_image, image_files, image_latents
from pipeline.core import parameters
from pipeline.core.errors import DataError

STACK = dict(width=4, hidden=2, depth=0)
HQ = dict(image_size=8, image_channels=3, width=4, depth=0, num_codes=8, dim=2)


def codec_of(recipe, kind=AnySizeCodec):
    modeldef, params, model_state = parameters.split(models.create(recipe, rngs=nnx.Rngs(0)))
    return kind(modeldef, params | model_state, {"model": recipe}, "tiny")


def image_codec(name, **settings):
    recipe = autoencoder(
        dict(name="residual_stack.Encoder", **STACK),
        dict(name="residual_stack.Decoder", **STACK),
        latent_channels=2,
        image_size=8,
    )
    return codec_of(recipe | {"bottleneck": dict(name=name, **settings)})


def stored_type(path):
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return {name: about["dtype"] for name, about in header.items() if name != "__metadata__"}


@pytest.fixture(scope="module")
def vq():
    return image_codec("vq.VQ", num_codes=300)


IMAGES = np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), np.uint8)


def test_indices_of_images_decode_to_the_reconstruction(vq):
    encoding = vq.encode(IMAGES)
    indices = encoding.indices()
    assert indices.shape == (2, 3, 4) and indices.dtype == np.int32
    assert len(np.unique(indices)) > 1
    np.testing.assert_array_equal(vq.decode_indices(indices), vq.reconstruct(IMAGES))
    np.testing.assert_array_equal(
        vq.decode_indices(np.asarray(indices, np.uint16)), vq.decode(encoding.mode())
    )
    np.testing.assert_allclose(encoding.kl(), 12 * np.log(300), rtol=1e-6)


def test_a_position_may_have_several_codes():
    codec = image_codec("residual_vq.ResidualVQ", num_codes=16, levels=3)
    indices = codec.encode(IMAGES).indices()
    assert indices.shape == (2, 3, 4, 3)
    np.testing.assert_array_equal(codec.decode_indices(indices), codec.reconstruct(IMAGES))


def test_a_file_holds_the_smallest_integers(vq, tmp_path):
    image_files.save_png(tmp_path / "in.png", IMAGES[0])
    nowhere = dict(tile=None, chunk=None, advance=lambda done, of: None)
    target = tmp_path / "x.safetensors"
    result = any_size_files.encode(vq, tmp_path / "in.png", target, **nowhere)
    assert result["latent_shape"] == [1, 3, 4]
    assert stored_type(target) == {"latents": "U16", "pts": "I64"}
    back = any_size_files.decode(vq, target, tmp_path / "out", **nowhere)
    image, _ = image_files.read(tmp_path / "out.png", 3)
    np.testing.assert_array_equal(image, vq.reconstruct(IMAGES[:1])[0])
    assert back["out"] == str(tmp_path / "out.png")


def test_a_file_of_a_clip_holds_indices_and_decodes_to_frames(tmp_path):
    recipe = wf_vae(latent_channels=2) | {"bottleneck": dict(name="fsq.FSQ", levels=(5, 5))}
    codec = codec_of(recipe)
    write_video(tmp_path / "in.mp4", 5, width=16)
    whole = dict(tile=None, chunk=0, advance=lambda done, of: None)
    target = tmp_path / "x.safetensors"
    result = any_size_files.encode(codec, tmp_path / "in.mp4", target, **whole)
    assert result["latent_shape"] == [2, 2, 2] and stored_type(target)["latents"] == "U8"
    back = any_size_files.decode(codec, target, tmp_path / "out", **whole)
    assert back["frames"] == 5 and (tmp_path / "out.mp4").exists()
    clip = np.random.default_rng(0).integers(0, 256, (1, 5, 16, 16, 3), np.uint8)
    indices, latents = (
        np.concatenate(list(codec.encode_frames(clip[0], chunk=0, indices=kind)))
        for kind in (True, False)
    )
    np.testing.assert_array_equal(codec.latents_of(indices[None])[0], latents)


def test_a_codec_of_one_size_stores_the_indices_of_each_layer(tmp_path):
    codec = codec_of(HQ | dict(name="hq_vae.RSQVAE", levels=2, halvings=1), FixedSizeCodec)
    fitted = code_image.fit(codec, IMAGES[0])
    layers = code_image.encode(codec, fitted)
    assert [(layer.shape, layer.dtype) for layer in layers] == [((4, 4, 4), np.uint8)] * 2
    path = tmp_path / "x.safetensors"
    path.write_bytes(image_latents.pack(codec, layers, fitted))
    stored = image_latents.unpack(path, codec)
    np.testing.assert_array_equal(
        code_image.decode(codec, stored.latents, stored.tiling),
        code_image.reconstruct(codec, fitted),
    )
    one, both = (codec.encode(IMAGES[:, :8, :8]).indices()[:count] for count in (1, 2))
    assert codec.decode_indices(one).shape == codec.decode_indices(both).shape


@pytest.mark.parametrize(
    "indices, message",
    [
        (np.zeros((1, 2, 2), np.float32), "indices are float32, but must be integers"),
        (np.zeros((1, 2, 2, 2), np.int32), r"shape \[1, 2, 2, 2\], and this codec takes \[_ _ _\]"),
        (np.full((1, 2, 2), 300), "indices must be from 0 to 299"),
    ],
)
def test_indices_of_another_codec_are_refused(vq, indices, message):
    with pytest.raises(DataError, match=message):
        vq.decode_indices(indices)


def test_a_codec_without_codes_says_so():
    codec = tiny_codec("flat")
    with pytest.raises(DataError, match="decode_indices: the latents of this codec are numbers"):
        codec.decode_indices(np.zeros((1, 3), np.int32))
    with pytest.raises(DataError, match="indices: the latents of this codec are numbers"):
        codec.encode(np.zeros((1, 8, 8, 1), np.uint8)).indices()


def test_the_smallest_type_holds_every_index():
    kinds = {count: encodings.smallest_integers(np.arange(2), count).dtype.name for count in SIZES}
    assert kinds == SIZES


SIZES = {2: "uint8", 256: "uint8", 257: "uint16", 65_536: "uint16", 65_537: "uint32"}
