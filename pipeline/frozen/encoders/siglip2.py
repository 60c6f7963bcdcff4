"""SigLIP and SigLIP 2 (arXiv 2303.15343, 2502.14786) of a fixed resolution: encoders of images.

There is no class token: `pooled` is the attention pool's vector, where the file has the pool.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from pipeline.formats.names import numbered
from pipeline.frozen.naming import BLOCK, Naming, fused_attention
from pipeline.frozen.preprocessing import Preprocessing
from pipeline.nn.init import layer_factory
from pipeline.nn.norm import LayerNorm
from pipeline.nn.tokens.attention import Attention
from pipeline.nn.tokens.attention_pool import AttentionPool
from pipeline.nn.tokens.block import Block
from pipeline.nn.tokens.learned_positions import LearnedPositions
from pipeline.nn.tokens.linear import Linear
from pipeline.nn.tokens.mlp import MLP, tanh_gelu
from pipeline.nn.tokens.vision_transformer import VisionTransformer

SOURCE = (
    "google/siglip2-base-patch16-256, google/siglip2-so400m-patch14-384 and others on the Hugging "
    "Face Hub"
)
MODEL_TYPES = ("siglip", "siglip2", "siglip_vision_model", "siglip2_vision_model")
PREPROCESSING = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_EPS = 1e-6
# Heads of the published models whose heads are not of 64 channels, by width.
_HEADS = {1152: 16, 1536: 16}
_LAYER = r"encoder.layers.\1"

FILES = Naming(
    probe="embeddings.patch_embedding.bias",
    names=(
        (r"positions\.table", "embeddings.position_embedding.weight", 2),
        (r"pool\.probe\.vectors", "head.probe", 3),
    ),
    modules=(
        ("embed", "embeddings.patch_embedding"),
        ("norm", "post_layernorm"),
        (BLOCK + "norm([12])", _LAYER + r".layer_norm\2"),
        (BLOCK + r"attention\.out", _LAYER + ".self_attn.out_proj"),
        (BLOCK + r"attention\.([qkv])\w*", _LAYER + r".self_attn.\2_proj"),
        (BLOCK + r"mlp\.wide", _LAYER + ".mlp.fc1"),
        (BLOCK + r"mlp\.back", _LAYER + ".mlp.fc2"),
        (r"pool\.out", "head.attention.out_proj"),
        (r"pool\.norm", "head.layernorm"),
        (r"pool\.mlp\.wide", "head.mlp.fc1"),
        (r"pool\.mlp\.back", "head.mlp.fc2"),
    ),
    fused=fused_attention("pool", "head.attention.in_proj_"),
    ignored=r"embeddings\.position_ids",
    prefixes=("", "vision_model."),
)
NAMINGS = (FILES,)


def settings(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes that the tensors have."""
    width, _, patch, _ = tensors["embeddings.patch_embedding.weight"].shape
    return {
        "width": width,
        "patch": patch,
        "depth": numbered(tensors, r"encoder\.layers\.(\d+)\."),
        "heads": config.get("num_attention_heads", _HEADS.get(width, max(1, width // 64))),
        "hidden": len(tensors["encoder.layers.0.mlp.fc1.weight"]),
        "side": round(len(tensors["embeddings.position_embedding.weight"]) ** 0.5),
        "pooled": "head.probe" in tensors,
    }


def create(
    *,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    hidden: int = 3072,
    patch: int = 16,
    side: int = 16,
    pooled: bool = True,
    affine: bool = True,
    key: PRNGKeyArray,
    dtype: Any = jnp.float32,
) -> VisionTransformer:
    """Return the network; the defaults are ViT-B/16 for 256 x 256 pixels.

    Args:
      hidden: width inside the feed-forward layers.
      side: patches along each side of the grid of positions.
      pooled: whether there is an attention pool.
      affine: whether the last norm has a scale and a shift.
    """
    make = layer_factory(key, dtype)

    def norm(width: int) -> LayerNorm:
        return LayerNorm(width, eps=_EPS)

    def mlp() -> MLP:
        return MLP(width, hidden, activation=tanh_gelu, make=make)

    blocks = [
        Block(Attention(width, heads, make=make), mlp(), norms=(norm(width), norm(width)))
        for _ in range(depth)
    ]
    pool = AttentionPool(width, heads, norm=norm, mlp=mlp(), make=make) if pooled else None
    return VisionTransformer(
        make(Linear, patch**2 * 3, width),
        blocks,
        patch=patch,
        norm=LayerNorm(width, eps=_EPS, affine=affine),
        positions=make(LearnedPositions, side, width),
        pool=pool,
    )
