"""Codecs of fixed windows (contract D): the model, chunks and streams cut a clip in one way."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.codec import streaming_contract
from pipeline.codec.any_size import AnySizeCodec
from pipeline.core import parameters, pixels
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.types import Latent
from pipeline.core.windows import Windows
from pipeline.distributions.continuous import Reconstruction
from pipeline.nn.clips.windows import in_windows

CONSECUTIVE = Windows(size=8, stride=8, factor=4, first_apart=True)
OVERLAPPING = Windows(size=8, stride=4, factor=2)


@pytest.mark.parametrize(
    "windows, frames, padded, latents, back",
    [
        (CONSECUTIVE, 1, 1, 1, 1),
        (CONSECUTIVE, 5, 9, 3, 9),
        (CONSECUTIVE, 13, 17, 5, 17),
        (OVERLAPPING, 1, 8, 4, 8),
        (OVERLAPPING, 9, 12, 6, 12),
    ],
)
def test_lengths_of_clips(windows, frames, padded, latents, back):
    assert windows.padded(frames) == padded == windows.padded(padded)
    assert windows.num_latents(padded) == latents and windows.num_frames(latents) == back


def test_spans_of_frames_and_latents():
    assert CONSECUTIVE.spans(17) == [(0, 9), (9, 17)]
    assert CONSECUTIVE.spans(1) == [(0, 1)]
    # An even number of latents has no first one apart: 4 decode to 16 frames.
    assert CONSECUTIVE.spans(4, unit=4) == [(0, 2), (2, 4)] and CONSECUTIVE.num_frames(4) == 16
    assert CONSECUTIVE.spans(5, unit=4) == [(0, 3), (3, 5)]
    assert OVERLAPPING.spans(16) == [(0, 8), (4, 12), (8, 16)]
    with pytest.raises(ValueError, match="take 8 \\+ 4k, not 10"):
        OVERLAPPING.spans(10)


@pytest.mark.parametrize("settings", [dict(size=8, stride=12), dict(size=6, stride=6)])
def test_windows_that_cannot_be(settings):
    with pytest.raises(ConfigError, match="stride"):
        Windows(**settings, factor=4)


class Mean(nnx.Module):
    """Every frame minus the mean over its window, and the last frame of the window before: what
    depends on where a clip is cut. One side halves time `up` to down.
    """

    def __init__(self, windows: Windows, up: bool):
        self.windows, self.up = windows, up

    def __call__(self, x, *, cache=None, remat=False):
        del remat
        before = 0.0
        if cache is not None:
            joined = cache.prepend_context(x, lambda x: 3 * x[:, :1], keep=1)
            before = joined[:, :-1]
        y, factor = x - x.mean(axis=1, keepdims=True) + 0.5 * before, self.windows.factor
        apart = self.windows.first_apart and y.shape[1] % 2 == 1
        first, rest = (y[:, :1], y[:, 1:]) if apart else (y[:, :0], y)
        if self.up:
            rest = jnp.repeat(rest, factor, axis=1)
        else:
            b, t = rest.shape[:2]
            rest = rest.reshape(b, t // factor, factor, *rest.shape[2:]).mean(axis=2)
        return jnp.concatenate([first, rest], axis=1), {}


class Model(nnx.Module):
    codec_kind, num_layers, is_video, encoder_causal, decoder_causal = (
        "any_size",
        1,
        True,
        False,
        False,
    )
    spatial_factor, latent_channels, image_size, image_channels, num_frames = 1, 3, 2, 3, 9

    def __init__(self, windows: Windows):
        self.windows, self.temporal_factor = windows, windows.factor
        self.encoder, self.decoder = Mean(windows, False), Mean(windows, True)
        self.unused = nnx.Param(jnp.zeros(1))

    def _run(self, network, x, cache, unit):
        if cache is not None:
            return network(x, cache=cache)[0]
        return in_windows(network, jnp.asarray(x), self.windows, unit=unit)

    def encode(self, x, *, key=None, cache=None):
        z = self._run(self.encoder, pixels.to_float(x), cache, 1)
        return (Latent(z, z, z, z),)

    def decode(self, latents, *, cache=None):
        return Reconstruction(self._run(self.decoder, latents[0], cache, self.temporal_factor))


def codec_of(windows: Windows) -> AnySizeCodec:
    modeldef, params, rest = parameters.split(Model(windows))
    about: dict[str, Any] = {"model": {}, "dtype": "float32", "input": {"image_shape": [2, 2, 3]}}
    return AnySizeCodec(modeldef, params | rest, about)


@pytest.fixture(scope="module", params=[CONSECUTIVE, OVERLAPPING], ids=["consecutive", "blended"])
def windows(request):
    return request.param


def clip_of(frames: int) -> np.ndarray:
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, (1, frames, 2, 2, 3), np.uint8))


def test_the_model_codes_a_whole_clip_in_windows(windows):
    x = np.asarray(pixels.to_float(clip_of(windows.padded(20))))
    encoder = Mean(windows, False)
    y = in_windows(encoder, jnp.asarray(x), windows, unit=1)
    again = in_windows(encoder, jnp.asarray(x), windows, unit=1, remat=True)
    np.testing.assert_allclose(again, y, atol=1e-6)
    assert y.shape[1] == windows.num_latents(x.shape[1])
    loss = jax.jit(jax.grad(lambda x: (in_windows(encoder, x, windows, unit=1) ** 2).sum()))
    gradient = np.asarray(loss(x))
    assert np.isfinite(gradient).all() and (np.abs(gradient).max(axis=(0, 2, 3, 4)) > 0).all()
    start, stop = windows.spans(x.shape[1])[0]
    if windows.consecutive:  # by hand: the second window takes the last frame of the first
        one, two = x[:, start:stop], x[:, stop : stop + 8]
        assert stop == 9
        centred = (
            two
            - two.mean(axis=1, keepdims=True)
            + 0.5 * np.concatenate([one[:, -1:], two[:, :-1]], axis=1)
        )
        expected = centred.reshape(1, 2, 4, 2, 2, 3).mean(axis=2)
        np.testing.assert_allclose(y[:, 3:5], expected, atol=1e-5)


def test_chunks_and_streams_give_what_the_model_gives(windows):
    codec, x = codec_of(windows), clip_of(windows.padded(30))
    (whole,) = codec.modeldef.merge(codec.weights).encode(x)
    step = windows.stride
    for chunk in (None, step, 2 * step):
        encoding = codec.encode(x, chunk=chunk)
        np.testing.assert_allclose(encoding.mean, whole.mean, atol=1e-6)
    z = np.concatenate(list(codec.encode_frames(x[0])))
    np.testing.assert_allclose(z, whole.mean[0], atol=1e-6)
    frames = np.asarray(codec.decode(whole.mean))
    assert frames.shape == x.shape
    by_chunks = codec.decode(whole.mean, chunk=2 * step // windows.factor)
    np.testing.assert_array_equal(by_chunks, frames)
    for chunk in (None, 0, "auto"):
        streamed = np.stack(list(codec.decode_frames([np.asarray(whole.mean[0])], chunk=chunk)))
        np.testing.assert_array_equal(streamed, frames[0])


def test_other_lengths_are_padded_and_cut_back(windows):
    codec, x = codec_of(windows), clip_of(13)
    with pytest.warns(UserWarning, match=f"13 frames are padded to .*{windows.stride}k"):
        encoding = codec.encode(x)
    padded = windows.padded(13)
    assert encoding.mean.shape[1] == windows.num_latents(padded) == codec.latent_shape(13, 2, 2)[0]
    assert codec.decode(encoding.mode(), size=encoding.size).shape == x.shape
    with pytest.warns(UserWarning, match="13 frames are padded to"):
        latents = codec.encode_frames(x[0])
        assert len(list(codec.decode_frames(latents))) == 13


def test_chunks_that_are_no_windows_are_refused(windows):
    codec = codec_of(windows)
    with pytest.raises(DataError, match=f"multiple of {windows.stride}"):
        codec.encode(clip_of(windows.padded(9)), chunk=windows.stride // 2)


def test_an_even_number_of_latents_has_no_first_one_apart():
    codec, z = codec_of(CONSECUTIVE), np.asarray(pixels.to_float(clip_of(4)))
    frames = codec.decode(z)
    assert frames.shape[1] == 16
    assert len(list(codec.decode_frames([z[0]], chunk=0))) == 16
    with pytest.raises(DataError, match="1 are left over"):
        list(codec.decode_frames([z[0]]))


@pytest.mark.parametrize(
    "encoder, decoder, windows, letter",
    [
        (True, True, None, "A"),
        (True, False, None, "B"),
        (False, False, None, "C"),
        (False, False, OVERLAPPING, "D"),
    ],
)
def test_the_contract_of_a_model(encoder, decoder, windows, letter):
    model = Model(OVERLAPPING)
    model.windows, model.encoder_causal, model.decoder_causal = windows, encoder, decoder
    facts = json.loads(json.dumps(streaming_contract.facts(model)))
    assert facts["streaming"] == letter
    sentence = streaming_contract.sentence(facts)
    assert ("8 frames that begin 4 frames apart" in sentence) == (letter == "D")
