"""Every codec of clips pads clips of illegal lengths, says so, and cuts them back: none is lost.

The networks are traced and not run: only the numbers of frames matter.
"""

import copy
import functools
import pathlib
from runpy import run_path

import jax
import numpy as np
import pytest
from flax import nnx

from pipeline import Codec, build, models
from pipeline.core import parameters

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
RECIPES = (
    pytest.param("allegro/vae", marks=pytest.mark.slow),
    "cogvideox/vae",
    "cosmos/cv4x8x8",
    pytest.param("cosmos/cv8x16x16", marks=pytest.mark.slow),
    pytest.param("cosmos/cv8x8x8", marks=pytest.mark.slow),
    "hunyuan_video/v10",
    pytest.param("hunyuan_video/v15", marks=pytest.mark.slow),
    pytest.param("iv_vae/z4_d64", marks=pytest.mark.slow),
    "ltx_video/ltx23",
    pytest.param("ltx_video/v090", marks=pytest.mark.slow),
    "magvit/easyanimate",
    "mochi/vae",
    "taehv/base",
    "vidtok/kl_4ch",
    "wan/wan21",
    pytest.param("wan/wan22", marks=pytest.mark.slow),
)


def traced(side):
    """Return a side of a codec without its computation: zeros of the right shapes."""

    @functools.wraps(side.function)
    def shapes_only(*arguments):
        found = jax.eval_shape(side.function, *arguments)
        return jax.tree.map(lambda array: jax.device_put(np.zeros(array.shape, array.dtype)), found)

    other = copy.copy(side)
    object.__setattr__(other, "program", shapes_only)
    return other


def codec_of(recipe):
    config = build.complete(run_path(str(CONFIGS / f"{recipe}.py"))["get_config"]("tiny"))
    modeldef, params, state = parameters.abstract(
        lambda: models.create(config["model"], rngs=nnx.Rngs(0))
    )
    codec = Codec.of(modeldef, params | state, config)
    codec.encoder_side = traced(codec.encoder_side)
    codec.decoder_side = traced(codec.decoder_side)
    return codec


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_frame_of_an_illegal_length_is_lost(recipe):
    codec = codec_of(recipe)
    height, width, channels = codec.image_shape
    # One frame more than a clip may have: codecs upstream drop it, or all but that.
    legal = 1 + codec.frames_step if codec.windows is None else codec.windows.padded(1)
    x = np.zeros((1, legal + 1, height, width, channels), np.float32)
    with pytest.warns(UserWarning, match=f"{legal + 1} frames are padded to [0-9]+ \\("):
        encoding = codec.encode(x)
    assert codec.sizes.num_frames(encoding.mean.shape[1]) > legal + 1
    z = jax.device_put(np.zeros(encoding.mean.shape, np.float32))
    assert codec.decode(z, size=encoding.size).shape == x.shape
