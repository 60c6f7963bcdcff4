"""Every encoder and decoder in pipeline/networks keeps the contract; shapes alone are computed."""

import functools
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from pipeline.core import parameters
from pipeline.core.construct import construct, modules_of
from pipeline.nn.cache import CausalCache

# Those of published video codecs are in a folder of their own.
MODULES = tuple(
    name
    for folder, prefix in (("pipeline.networks", ""), ("pipeline.networks.video", "video."))
    for name in (prefix + module for module in modules_of(folder))
    if name not in ("video", "video.residual")  # a folder, and what networks are made of
)
# Settings of small networks; every module has an entry, or one for each side.
SMALL: dict[str, dict[str, Any]] = {
    "causal_patch_resnet": dict(patch=2, channels=(4, 8)),
    "cv_vae": dict(channels=(4, 4, 8, 8), groups=2, num_blocks=1),
    "dc_ae": dict(channels=(4, 12), depths=(0, 1), attention_levels=(1,), head_dim=4),
    "gdn": dict(width=4),
    "ldm": dict(channels=(8, 16), groups=4, num_blocks=1),
    "lite_vae": dict(
        Encoder=dict(levels=2, widths=(8, 8), depth=1, joint_widths=(8,), joint_depth=1),
        Decoder=dict(channels=(8, 8, 8), num_blocks=1),
    ),
    "maskgit_vqgan": dict(channels=(8, 16), groups=4, num_blocks=1),
    "patch_resnet": dict(patch=2, channels=(4, 8)),
    "rae": {
        "Encoder": dict(
            network=dict(width=4, depth=1, heads=2, hidden=8, patch=2, side=2), factor=2
        ),
        "Decoder": dict(width=8, depth=1, heads=2, hidden=8, patch=2),
    },
    "residual_stack": dict(width=8, hidden=4, depth=1),
    "taesd": dict(width=8, num_blocks=1),
    "video.dc_ae": dict(
        channels=(4, 8), depths=(1, 1), attention_levels=(1,), in_time=(True,), head_dim=4, chunk=4
    ),
    "video.cosmos": dict(channels=(4, 4, 4, 4), num_blocks=1, patch=2, attention_levels=(1,)),
    "video.ltx": dict(
        channels=(4, 8, 8, 8, 8),
        num_blocks=(1, 0, 0, 0, 1),
    ),
    "video.taehv": dict(num_blocks=1),
    "video.taehv_super": dict(num_blocks=1),
    "video.allegro": dict(channels=(4, 4, 8, 8), groups=2, num_blocks=1),
    "video.vidtok": dict(channels=(4, 4, 8, 8), num_blocks=1),
    "video.iv_vae": dict(width=2, num_blocks=1),
    "video.wan": dict(channels=(2, 4, 4, 4), num_blocks=1),
    "video.wan_residual": dict(channels=(2, 4, 4, 4), num_blocks=1),
    "video.wan_separable": dict(channels=(2, 4, 4, 4), num_blocks=1),
    "video.cogvideox": dict(channels=(4, 4, 8, 8), groups=2, num_blocks=1),
    "video.hunyuan": dict(channels=(4, 4, 8, 8), groups=2, num_blocks=1),
    "video.hunyuan_residual": dict(channels=(6, 12, 24), in_time=(False, True), num_blocks=1),
    "video.magvit": dict(channels=(4, 4, 8, 8), groups=2, num_blocks=1, num_middle=1),
    "video.mochi": dict(channels=(32,) * 4, num_blocks=(1, 0, 0, 1, 1)),
    "vit": dict(width=8, depth=1, heads=2, hidden=8, patch=4),
    "wf_vae": dict(base_channels=4, flow_channels=4, num_blocks=1),
}
CHANNELS, LATENTS = 3, 4


@functools.cache
def built(module: str, side: str):
    """Return side, definition, shapes of the parameters, and the network without arrays."""
    inputs, outputs = (CHANNELS, LATENTS) if side == "Encoder" else (LATENTS, CHANNELS)
    recipe = dict(name=f"{module}.{side}") | SMALL[module].get(side, SMALL[module])
    modeldef, params, rest = parameters.abstract(
        lambda: construct(
            "pipeline.networks",
            recipe,
            where="model.part",
            in_channels=inputs,
            out_channels=outputs,
            rngs=nnx.Rngs(0),
            dtype=jnp.float32,
        )
    )
    assert not rest
    return side, modeldef, params, modeldef.skeleton()


NETWORKS = [(module, side) for module in MODULES for side in ("Encoder", "Decoder")]


@pytest.fixture(params=NETWORKS)
def network(request):
    return built(*request.param)


def frames_of(skeleton, latents: int) -> int:
    """Return the frames of latents: 1 + 4k of 1 + k, unless windows say otherwise."""
    windows = getattr(skeleton, "windows", None)
    return windows.num_frames(latents) if windows else 1 + (latents - 1) * skeleton.temporal_factor


def outputs_of(network, *, latents: int = 2, **settings):
    side, modeldef, params, skeleton = network
    factor = 1 if side == "Decoder" else skeleton.spatial_factor
    frames = latents if side == "Decoder" else frames_of(skeleton, latents)
    time = (frames,) if skeleton.is_video else ()
    channels = LATENTS if side == "Decoder" else CHANNELS
    x = jax.ShapeDtypeStruct((1, *time, 2 * factor, 4 * factor, channels), jnp.float32)
    return jax.eval_shape(lambda params, x: modeldef.merge(params)(x, **settings), params, x)


def test_every_module_has_an_encoder_a_decoder_and_settings_here():
    assert set(SMALL) == set(MODULES)
    for name in MODULES:
        module = importlib.import_module(f"pipeline.networks.{name}")
        assert hasattr(module, "Encoder") and hasattr(module, "Decoder")


def test_a_network_changes_the_size_by_its_factors(network):
    side, _, _, skeleton = network
    factor = 1 if side == "Encoder" else skeleton.spatial_factor
    frames = 2 if side == "Encoder" else frames_of(skeleton, 2)
    time = (frames,) if skeleton.is_video else ()
    y, aux = outputs_of(network)
    assert y.shape == (1, *time, 2 * factor, 4 * factor, skeleton.out_channels)
    assert side == "Encoder" or y.dtype == jnp.float32
    assert all(isinstance(name, str) and isinstance(value, tuple) for name, value in aux.items())
    again, _ = outputs_of(network, remat=True)
    assert again.shape == y.shape


def test_a_network_says_what_it_is(network):
    side, _, params, skeleton = network
    assert isinstance(skeleton.is_video, bool) and isinstance(skeleton.causal, bool)
    assert skeleton.spatial_factor >= 1 and skeleton.temporal_factor >= 1
    assert skeleton.is_video or (skeleton.temporal_factor == 1 and not skeleton.causal)
    assert side == "Encoder" or skeleton.last_layer in params


def first_chunk_of(network):
    side, modeldef, params, skeleton = network
    factor = skeleton.spatial_factor if side == "Encoder" else 1
    channels = CHANNELS if side == "Encoder" else LATENTS
    x = jax.ShapeDtypeStruct((1, 1, 2 * factor, 2 * factor, channels), jnp.float32)

    def chunk(params, x):
        cache = CausalCache()
        y, _ = modeldef.merge(params)(x, cache=cache)
        return y, jax.tree.leaves(cache.arrays())

    return jax.eval_shape(chunk, params, x)


def test_causal_networks_take_a_cache():
    causal = [name for name in NETWORKS if built(*name)[3].causal]
    assert causal
    for name in causal:
        y, arrays = first_chunk_of(built(*name))
        assert y.shape[1] == 1 and arrays, name
