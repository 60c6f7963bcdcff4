"""DINOv3 (arXiv 2508.10104): rotary positions, registers, and gated layers in ViT-S+."""

import functools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from pipeline.core.errors import CheckpointError
from pipeline.formats.names import first_of, numbered
from pipeline.frozen.naming import BLOCK, Naming, fused_attention
from pipeline.frozen.preprocessing import Preprocessing
from pipeline.nn.init import layer_factory
from pipeline.nn.norm import LayerNorm
from pipeline.nn.tokens.attention import Attention
from pipeline.nn.tokens.block import Block
from pipeline.nn.tokens.extra_tokens import ExtraTokens
from pipeline.nn.tokens.layer_scale import LayerScale
from pipeline.nn.tokens.linear import Linear
from pipeline.nn.tokens.mlp import MLP
from pipeline.nn.tokens.rotary import turns
from pipeline.nn.tokens.swiglu import SwiGLU
from pipeline.nn.tokens.vision_transformer import VisionTransformer

SOURCE = (
    "facebook/dinov3-vits16plus-pretrain-lvd1689m and others on the Hugging Face Hub, or "
    "https://github.com/facebookresearch/dinov3, under a license of their own"
)
MODEL_TYPES = ("dinov3_vit",)
PREPROCESSING = Preprocessing()
_HEAD = 64  # channels of a head in every published model
_EPS = 1e-5
_BASE = 100.0


def _transformers(prefix: str, layer: str) -> Naming:
    return Naming(
        probe=f"{prefix}layer.0.attention.q_proj.weight",
        names=(
            (r"class_token\.vectors", "embeddings.cls_token", 3),
            (r"registers\.vectors", "embeddings.register_tokens", 3),
            (BLOCK + r"scale([12])\.scale", layer + r".layer_scale\2.lambda1", 1),
        ),
        modules=(
            ("embed", "embeddings.patch_embeddings"),
            ("norm", "norm"),
            (BLOCK + "norm([12])", layer + r".norm\2"),
            (BLOCK + r"attention\.([qkvo])\w*", layer + r".attention.\2_proj"),
            (BLOCK + r"mlp\.(?:wide|up)", layer + ".mlp.up_proj"),
            (BLOCK + r"mlp\.(?:back|down)", layer + ".mlp.down_proj"),
            (BLOCK + r"mlp\.gate", layer + ".mlp.gate_proj"),
        ),
        ignored=r"embeddings\.mask_token",
    )


MODULES = _transformers("model.", r"model.layer.\1")
FILES = _transformers("", r"layer.\1")
AUTHORS = Naming(
    probe="blocks.0.attn.qkv.weight",
    names=(
        (r"class_token\.vectors", "cls_token", 3),
        (r"registers\.vectors", "storage_tokens", 3),
        (BLOCK + r"scale([12])\.scale", r"blocks.\1.ls\2.gamma", 1),
    ),
    modules=(
        ("embed", "patch_embed.proj"),
        ("norm", "norm"),
        (BLOCK + "norm([12])", r"blocks.\1.norm\2"),
        (BLOCK + r"attention\.out", r"blocks.\1.attn.proj"),
        (BLOCK + r"mlp\.wide", r"blocks.\1.mlp.fc1"),
        (BLOCK + r"mlp\.back", r"blocks.\1.mlp.fc2"),
        (BLOCK + r"mlp\.gate", r"blocks.\1.mlp.w1"),
        (BLOCK + r"mlp\.up", r"blocks.\1.mlp.w2"),
        (BLOCK + r"mlp\.down", r"blocks.\1.mlp.w3"),
    ),
    fused=fused_attention(BLOCK + "attention", r"blocks.\1.attn.qkv."),
    # Periods are computed, and the mask takes away the bias of keys, which we do not have.
    ignored=r"mask_token|rope_embed\.periods|blocks\.\d+\.attn\.qkv\.bias_mask",
)
NAMINGS = (MODULES, FILES, AUTHORS)


def settings(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes that the tensors have."""

    embed = first_of(tensors, "embeddings.patch_embeddings.weight", "patch_embed.proj.weight")
    registers = first_of(tensors, "embeddings.register_tokens", "storage_tokens")
    gate = first_of(
        tensors,
        *(f"{at}layer.0.mlp.gate_proj.weight" for at in ("model.", "")),
        "blocks.0.mlp.w1.weight",
    )
    wide = first_of(
        tensors,
        *(f"{at}layer.0.mlp.up_proj.weight" for at in ("model.", "")),
        "blocks.0.mlp.fc1.weight",
    )
    if gate is not None and config.get("hidden_act", "silu") != "silu":
        raise CheckpointError(f"hidden_act={config['hidden_act']!r}: gates are silu in our network")
    width, _, patch, _ = embed.shape
    return {
        "width": width,
        "patch": patch,
        "depth": numbered(tensors, r"(?:model\.layer|layer|blocks)\.(\d+)\."),
        "heads": config.get("num_attention_heads", max(1, width // _HEAD)),
        "hidden": len(wide if gate is None else gate),
        "registers": 0 if registers is None else registers.shape[-2],
        "gated": gate is not None,
        "base": config.get("rope_theta", _BASE),
    }


def create(
    *,
    width: int = 384,
    depth: int = 12,
    heads: int = 6,
    hidden: int = 1536,
    patch: int = 16,
    registers: int = 4,
    gated: bool = True,
    base: float = _BASE,
    affine: bool = True,
    key: PRNGKeyArray,
    dtype: Any = jnp.float32,
) -> VisionTransformer:
    """Return the network; the defaults are ViT-S+/16.

    Args:
      hidden: width inside the feed-forward layers, which are SwiGLU if `gated`.
      registers: number of register tokens.
      base: the longest period of rotary positions.
      affine: whether the last norm has a scale and a shift.
    """
    make = layer_factory(key, dtype)

    def block() -> Block:
        mlp: Any = SwiGLU if gated else MLP
        return Block(
            Attention(width, heads, key_bias=False, make=make),
            mlp(width, hidden, make=make),
            norms=(LayerNorm(width, eps=_EPS), LayerNorm(width, eps=_EPS)),
            scales=(LayerScale(width), LayerScale(width)),
        )

    return VisionTransformer(
        make(Linear, patch**2 * 3, width),
        [block() for _ in range(depth)],
        patch=patch,
        norm=LayerNorm(width, eps=_EPS, affine=affine),
        class_token=make(ExtraTokens, 1, width),
        registers=make(ExtraTokens, registers, width) if registers else None,
        turns=functools.partial(turns, channels=width // heads, base=base),
    )
