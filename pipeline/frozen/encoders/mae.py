"""The encoder of masked autoencoders (MAE, arXiv 2111.06377), which sees every patch here.

It also reads the folder of a codec of pipeline.models.masked_autoencoder: a small stand-in for an
encoder that was trained on many images.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from pipeline.formats.names import numbered
from pipeline.frozen.naming import BLOCK, Naming, Own, fused_attention
from pipeline.frozen.preprocessing import Preprocessing
from pipeline.nn.init import layer_factory
from pipeline.nn.norm import LayerNorm
from pipeline.nn.tokens.attention import Attention
from pipeline.nn.tokens.block import Block
from pipeline.nn.tokens.extra_tokens import ExtraTokens
from pipeline.nn.tokens.learned_positions import LearnedPositions
from pipeline.nn.tokens.linear import Linear
from pipeline.nn.tokens.mlp import MLP
from pipeline.nn.tokens.vision_transformer import VisionTransformer

SOURCE = (
    "facebook/vit-mae-base on the Hugging Face Hub, or https://github.com/facebookresearch/mae, or "
    "a small one of your own (configs/teacher)"
)
MODEL_TYPES = ("vit_mae",)
PREPROCESSING = Preprocessing()
_EPS = 1e-12
# Heads of the published models whose heads are not of 64 channels, by width.
_HEADS = {1280: 16}

_TOKENS = (
    (r"class_token\.vectors", "embeddings.cls_token", 3),
    (r"positions\.table", "embeddings.position_embeddings", 3),
)
_MODULES = (("embed", "embeddings.patch_embeddings.projection"), ("norm", "layernorm"))
# transformers' modules since version 5, and its files.
MODULES = Naming(
    probe="layers.0.attention.q_proj.weight",
    names=_TOKENS,
    modules=(
        *_MODULES,
        (BLOCK + "norm1", r"layers.\1.layernorm_before"),
        (BLOCK + "norm2", r"layers.\1.layernorm_after"),
        (BLOCK + r"attention\.([qkvo])\w*", r"layers.\1.attention.\2_proj"),
        (BLOCK + r"mlp\.wide", r"layers.\1.mlp.fc1"),
        (BLOCK + r"mlp\.back", r"layers.\1.mlp.fc2"),
    ),
)
FILES = Naming(
    probe="encoder.layer.0.attention.attention.query.weight",
    names=_TOKENS,
    modules=(
        *_MODULES,
        (BLOCK + "norm1", r"encoder.layer.\1.layernorm_before"),
        (BLOCK + "norm2", r"encoder.layer.\1.layernorm_after"),
        (BLOCK + r"attention\.out", r"encoder.layer.\1.attention.output.dense"),
        (BLOCK + r"attention\.(\w+)", r"encoder.layer.\1.attention.attention.\2"),
        (BLOCK + r"mlp\.wide", r"encoder.layer.\1.intermediate.dense"),
        (BLOCK + r"mlp\.back", r"encoder.layer.\1.output.dense"),
    ),
    prefixes=("", "vit."),
)
AUTHORS = Naming(
    probe="blocks.0.attn.qkv.weight",
    names=(
        (r"class_token\.vectors", "cls_token", 3),
        (r"positions\.table", "pos_embed", 3),
    ),
    modules=(
        ("embed", "patch_embed.proj"),
        ("norm", "norm"),
        (BLOCK + "norm([12])", r"blocks.\1.norm\2"),
        (BLOCK + r"attention\.out", r"blocks.\1.attn.proj"),
        (BLOCK + r"mlp\.wide", r"blocks.\1.mlp.fc1"),
        (BLOCK + r"mlp\.back", r"blocks.\1.mlp.fc2"),
    ),
    fused=fused_attention(BLOCK + "attention", r"blocks.\1.attn.qkv."),
    ignored=r"mask_token|decoder_.*",
)
OWN = Own(probe="embed.kernel", prefixes=("encoder.",))
NAMINGS = (MODULES, FILES, AUTHORS, OWN)


def settings(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes that the tensors have."""
    if OWN.probe in tensors:
        return _own_settings(tensors, config)

    def find(*names: str) -> np.ndarray:
        return next(tensors[name] for name in names if name in tensors)

    embed = find("embeddings.patch_embeddings.projection.weight", "patch_embed.proj.weight")
    table = find("embeddings.position_embeddings", "pos_embed")
    wide = find(
        "layers.0.mlp.fc1.weight",
        "encoder.layer.0.intermediate.dense.weight",
        "blocks.0.mlp.fc1.weight",
    )
    width, _, patch, _ = embed.shape
    return {
        "width": width,
        "patch": patch,
        "depth": numbered(tensors, r"(?:encoder\.layer|layers|blocks)\.(\d+)\."),
        "heads": config.get("num_attention_heads", _HEADS.get(width, max(1, width // 64))),
        "hidden": len(wide),
        "side": round((table.shape[-2] - 1) ** 0.5),
    }


def _own_settings(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, Any]:
    inputs, width = tensors["embed.kernel"].shape
    return {
        "width": width,
        "patch": round((inputs / 3) ** 0.5),
        "depth": numbered(tensors, r"blocks\.(\d+)\."),
        "heads": config["model"]["heads"],
        "hidden": tensors["blocks.0.mlp.wide.kernel"].shape[1],
        "side": round((len(tensors["positions.table"]) - 1) ** 0.5),
        "eps": 1e-6,
    }


def create(
    *,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    hidden: int = 3072,
    patch: int = 16,
    side: int = 14,
    affine: bool = True,
    eps: float = _EPS,
    key: PRNGKeyArray,
    dtype: Any = jnp.float32,
) -> VisionTransformer:
    """Return the network; the defaults are ViT-B/16 for 224 x 224 pixels.

    Args:
      hidden: width inside the feed-forward layers.
      side: patches along each side of the grid of positions.
      affine: whether the last norm has a scale and a shift.
      eps: of the norms.
    """
    make = layer_factory(key, dtype)

    def block() -> Block:
        return Block(
            Attention(width, heads, make=make),
            MLP(width, hidden, make=make),
            norms=(LayerNorm(width, eps=eps), LayerNorm(width, eps=eps)),
        )

    return VisionTransformer(
        make(Linear, patch**2 * 3, width),
        [block() for _ in range(depth)],
        patch=patch,
        norm=LayerNorm(width, eps=eps, affine=affine),
        class_token=make(ExtraTokens, 1, width),
        positions=make(LearnedPositions, side, width, others=1),
    )
