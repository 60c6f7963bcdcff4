"""Chunks and tiles by a budget of memory, of a small WF-VAE with random weights."""

import copy

import numpy as np
import pytest
from tiny_video_codec import tiny_codec

from pipeline.codec.memory import meter
from pipeline.codec.memory.cut import Cut, cuts
from pipeline.core.errors import ConfigError
from pipeline.pretrained.load import Codec

SHAPE = (1, 13, 48, 40, 3)


@pytest.fixture
def codec(monkeypatch):
    # So that a small clip is not coded whole at once.
    monkeypatch.setattr(meter, "SMALL", 16**2)
    made = copy.copy(tiny_codec())
    made._cutting = copy.copy(made._cutting)
    return made


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)


def chosen(codec) -> Cut:
    return codec._cutting._auto.choices[-1][0]


def test_the_clip_is_whole_if_it_fits(codec, clip, capsys):
    codec.memory = "1GiB"
    auto = codec.encode(clip, chunk="auto", tile="auto")
    assert chosen(codec) == Cut(None, None)
    np.testing.assert_array_equal(auto.mean, codec.encode(clip).mean)
    codec.encode(clip, chunk="auto", tile="auto")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "whole clip at once; needs" in said[0] and "of 1.00 GiB" in said[0]


def test_chunks_come_before_tiles_and_give_the_latents_of_the_whole(codec, clip):
    codec.memory = 2**20
    auto = codec.encode(clip, chunk="auto", tile="auto")
    assert chosen(codec) == Cut(4, None)
    np.testing.assert_array_equal(auto.mean, codec.encode(clip, chunk=4).mean)
    np.testing.assert_allclose(auto.mean, codec.encode(clip).mean, atol=1e-5)


def test_tiles_come_where_chunks_do_not_fit(codec, clip):
    codec.memory = "650KiB"
    auto = codec.encode(clip, chunk="auto", tile="auto")
    cut = chosen(codec)
    assert cut.chunk == 4 and cut.tile is not None and cut.tile < 40
    given = codec.encode(clip, chunk=4, tile=cut.tile)
    np.testing.assert_array_equal(auto.mean, given.mean)
    (latents,) = [np.concatenate(list(codec.encode_frames(clip[0], chunk="auto", tile="auto")))]
    np.testing.assert_allclose(latents, given.mean[0], atol=1e-5)


def test_what_is_not_auto_is_kept(codec, clip):
    codec.memory = "1GiB"
    auto = codec.encode(clip, chunk="auto", tile=16)
    np.testing.assert_array_equal(auto.mean, codec.encode(clip, tile=16).mean)
    z = auto.mode()
    frames = codec.decode(z, chunk=1, tile="auto")
    np.testing.assert_array_equal(frames, codec.decode(z, chunk=1))
    streamed = np.stack(list(codec.decode_frames([np.asarray(z[0])], chunk="auto")))
    assert np.abs(streamed.astype(int) - np.asarray(frames[0])).max() <= 1


def test_a_budget_for_nothing_names_the_smallest_need(codec, clip):
    codec.memory = "100KiB"
    with pytest.raises(ConfigError, match=r"too small for 13 frames of 48x40: .* needs \d+.* KiB"):
        codec.encode(clip, chunk="auto", tile="auto")


def test_the_default_budget_is_what_the_machine_has(codec, clip):
    assert codec.memory is None
    codec.encode(clip, chunk="auto")
    assert chosen(codec) == Cut(None, None)
    assert codec._cutting._auto._budget > 2**20


def test_cuts_go_from_whole_to_small():
    codec = tiny_codec()
    found = cuts(codec.encoder_side, (1, 33, 64, 64, 3), "auto", "auto", streams=False)
    assert found[0] == Cut(None, None)
    # The smallest chunk and tile for each number of pieces.
    assert found[1:5] == [Cut(each, None) for each in (32, 16, 12, 8)] and found[5].chunk == 4
    tiles = [cut.tile for cut in found if cut.chunk == 4 and cut.tile]
    assert tiles == sorted(tiles, reverse=True) and tiles[-1] == 16
    assert found[-1] == Cut(None, 16)
    stream = cuts(codec.encoder_side, (1, 33, 64, 64, 3), "auto", None, streams=True)
    assert stream == [Cut(chunk, None) for chunk in range(32, 0, -4)]


@pytest.mark.parametrize("budget", ["8 Gigs", 0])
def test_a_budget_that_is_no_size_is_refused(codec, budget):
    with pytest.raises(ConfigError, match="memory"):
        codec.memory = budget


def test_a_loaded_codec_has_its_budget(tmp_path):
    tiny_codec().save_pretrained(tmp_path)
    assert Codec.from_pretrained(tmp_path, memory="2GiB").memory == 2**31
