"""DINOv2 (arXiv 2304.07193), and DINOv2 with registers (2309.16588).

A file with `register_tokens` is of the second. The two resize positions in different ways for an
image that has not 37 x 37 patches: the first bicubically by the factor (n + 0.1) / 37, as the
authors' code does (transformers resizes to n / 37), the second bicubically with antialiasing.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from pipeline.formats.names import first_of, numbered
from pipeline.frozen.naming import BLOCK, Naming, fused_attention
from pipeline.frozen.preprocessing import Preprocessing
from pipeline.nn.init import layer_factory
from pipeline.nn.norm import LayerNorm
from pipeline.nn.tokens.attention import Attention
from pipeline.nn.tokens.block import Block
from pipeline.nn.tokens.extra_tokens import ExtraTokens
from pipeline.nn.tokens.layer_scale import LayerScale
from pipeline.nn.tokens.learned_positions import LearnedPositions, antialiased, with_offset
from pipeline.nn.tokens.linear import Linear
from pipeline.nn.tokens.mlp import MLP
from pipeline.nn.tokens.swiglu import SwiGLU
from pipeline.nn.tokens.vision_transformer import VisionTransformer

SOURCE = (
    "facebook/dinov2-base, facebook/dinov2-with-registers-base and others on the Hugging Face Hub, "
    "or https://github.com/facebookresearch/dinov2"
)
MODEL_TYPES = ("dinov2", "dinov2_with_registers")
PREPROCESSING = Preprocessing()
_HEAD = 64  # channels of a head in every published model
_EPS = 1e-6

_TOKENS = (
    (r"class_token\.vectors", "embeddings.cls_token", 3),
    (r"mask_token\.vectors", "embeddings.mask_token", 2),
    (r"registers\.vectors", "embeddings.register_tokens", 3),
    (r"positions\.table", "embeddings.position_embeddings", 3),
    (BLOCK + r"scale([12])\.scale", r"encoder.layer.\1.layer_scale\2.lambda1", 1),
)
_MODULES = (
    ("embed", "embeddings.patch_embeddings.projection"),
    ("norm", "layernorm"),
    (BLOCK + "norm([12])", r"encoder.layer.\1.norm\2"),
    (BLOCK + r"mlp\.wide", r"encoder.layer.\1.mlp.fc1"),
    (BLOCK + r"mlp\.back", r"encoder.layer.\1.mlp.fc2"),
    (BLOCK + r"mlp\.down", r"encoder.layer.\1.mlp.weights_out"),
)
_GATED = (
    (BLOCK + r"mlp\.gate", r"encoder.layer.\1.mlp.weights_in.", 0, 2),
    (BLOCK + r"mlp\.up", r"encoder.layer.\1.mlp.weights_in.", 1, 2),
)
# transformers' modules since version 5, and its files.
MODULES = Naming(
    probe="encoder.layer.0.attention.q_proj.weight",
    names=_TOKENS,
    modules=(
        *_MODULES,
        (BLOCK + r"attention\.([qkv])\w*", r"encoder.layer.\1.attention.\2_proj"),
        (BLOCK + r"attention\.out", r"encoder.layer.\1.attention.o_proj"),
    ),
    fused=_GATED,
    ignored=r"embeddings\.mask_token",
)
FILES = Naming(
    probe="encoder.layer.0.attention.attention.query.weight",
    names=_TOKENS,
    modules=(
        *_MODULES,
        (BLOCK + r"attention\.out", r"encoder.layer.\1.attention.output.dense"),
        (BLOCK + r"attention\.(\w+)", r"encoder.layer.\1.attention.attention.\2"),
    ),
    fused=_GATED,
    ignored=r"embeddings\.mask_token",
    prefixes=("", "dinov2.", "dinov2_with_registers."),
)
AUTHORS = Naming(
    probe="blocks.0.attn.qkv.weight",
    names=(
        (r"class_token\.vectors", "cls_token", 3),
        (r"mask_token\.vectors", "mask_token", 2),
        (r"registers\.vectors", "register_tokens", 3),
        (r"positions\.table", "pos_embed", 3),
        (BLOCK + r"scale([12])\.scale", r"blocks.\1.ls\2.gamma", 1),
    ),
    modules=(
        ("embed", "patch_embed.proj"),
        ("norm", "norm"),
        (BLOCK + "norm([12])", r"blocks.\1.norm\2"),
        (BLOCK + r"attention\.out", r"blocks.\1.attn.proj"),
        (BLOCK + r"mlp\.wide", r"blocks.\1.mlp.fc1"),
        (BLOCK + r"mlp\.back", r"blocks.\1.mlp.fc2"),
        (BLOCK + r"mlp\.down", r"blocks.\1.mlp.w3"),
    ),
    fused=(
        *fused_attention(BLOCK + "attention", r"blocks.\1.attn.qkv."),
        (BLOCK + r"mlp\.gate", r"blocks.\1.mlp.w12.", 0, 2),
        (BLOCK + r"mlp\.up", r"blocks.\1.mlp.w12.", 1, 2),
    ),
    ignored="mask_token",
    prefixes=("", "teacher.backbone."),
)
NAMINGS = (MODULES, FILES, AUTHORS)


def settings(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes that the tensors have."""

    embed = first_of(
        tensors, "embeddings.patch_embeddings.projection.weight", "patch_embed.proj.weight"
    )
    table = first_of(tensors, "embeddings.position_embeddings", "pos_embed")
    registers = first_of(tensors, "embeddings.register_tokens", "register_tokens")
    wide = first_of(tensors, "encoder.layer.0.mlp.fc1.weight", "blocks.0.mlp.fc1.weight")
    gated = first_of(tensors, "encoder.layer.0.mlp.weights_in.weight", "blocks.0.mlp.w12.weight")
    width, _, patch, _ = embed.shape
    return {
        "width": width,
        "patch": patch,
        "depth": numbered(tensors, r"(?:encoder\.layer|blocks)\.(\d+)\."),
        "heads": config.get("num_attention_heads", max(1, width // _HEAD)),
        "hidden": len(wide) if gated is None else len(gated) // 2,
        "gated": gated is not None,
        "side": round((table.shape[-2] - 1) ** 0.5),
        "registers": 0 if registers is None else registers.shape[-2],
    }


def create(
    *,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    hidden: int = 3072,
    patch: int = 14,
    side: int = 37,
    registers: int = 0,
    gated: bool = False,
    affine: bool = True,
    masks: bool = False,
    key: PRNGKeyArray,
    dtype: Any = jnp.float32,
) -> VisionTransformer:
    """Return the network; the defaults are ViT-B/14.

    Args:
      hidden: width inside the feed-forward layers, which are SwiGLU if `gated`.
      side: patches along each side of the grid of positions.
      registers: number of register tokens.
      affine: whether the last norm has a scale and a shift.
      masks: whether there is a mask token, which only training has a use for.
    """
    make = layer_factory(key, dtype)

    def norm() -> LayerNorm:
        return LayerNorm(width, eps=_EPS)

    def block() -> Block:
        mlp: Any = SwiGLU if gated else MLP
        return Block(
            Attention(width, heads, make=make),
            mlp(width, hidden, make=make),
            norms=(norm(), norm()),
            scales=(LayerScale(width), LayerScale(width)),
        )

    return VisionTransformer(
        make(Linear, patch**2 * 3, width),
        [block() for _ in range(depth)],
        patch=patch,
        norm=LayerNorm(width, eps=_EPS, affine=affine),
        class_token=make(ExtraTokens, 1, width),
        mask_token=make(ExtraTokens, 1, width) if masks else None,
        registers=make(ExtraTokens, registers, width) if registers else None,
        positions=make(
            LearnedPositions,
            side,
            width,
            others=1,
            resize=antialiased if registers else with_offset,
        ),
    )
