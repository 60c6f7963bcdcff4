"""The encoder of images of CLIP (arXiv 2103.00020).

Features of patches are those after the last block, without a norm, as transformers gives them;
`pooled` is the image's embedding next to texts, where the file has its projection.
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
from pipeline.nn.tokens.block import Block
from pipeline.nn.tokens.extra_tokens import ExtraTokens
from pipeline.nn.tokens.learned_positions import LearnedPositions
from pipeline.nn.tokens.linear import Linear
from pipeline.nn.tokens.mlp import MLP, quick_gelu
from pipeline.nn.tokens.vision_transformer import VisionTransformer

SOURCE = "openai/clip-vit-large-patch14-336 and others on the Hugging Face Hub"
MODEL_TYPES = ("clip", "clip_vision_model")
PREPROCESSING = Preprocessing(
    mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
)
_HEAD = 64  # channels of a head in OpenAI's models
_EPS = 1e-5


def _transformers(prefix: str) -> Naming:
    layer = prefix + r"encoder.layers.\1"
    return Naming(
        probe=f"{prefix}embeddings.class_embedding",
        names=(
            (r"class_token\.vectors", f"{prefix}embeddings.class_embedding", 1),
            (r"positions\.table", f"{prefix}embeddings.position_embedding.weight", 2),
        ),
        modules=(
            ("embed", f"{prefix}embeddings.patch_embedding"),
            ("norm_in", f"{prefix}pre_layrnorm"),  # so spelled
            (BLOCK + "norm([12])", layer + r".layer_norm\2"),
            (BLOCK + r"attention\.out", layer + ".self_attn.out_proj"),
            (BLOCK + r"attention\.([qkv])\w*", layer + r".self_attn.\2_proj"),
            (BLOCK + r"mlp\.wide", layer + ".mlp.fc1"),
            (BLOCK + r"mlp\.back", layer + ".mlp.fc2"),
            (r"project\.0", f"{prefix}post_layernorm"),
            (r"project\.1", "visual_projection"),
        ),
        ignored=rf"{prefix}embeddings\.position_ids|text_model\..*|text_projection\..*|logit_scale",
    )


AUTHORS = Naming(
    probe="visual.conv1.weight",
    names=(
        (r"class_token\.vectors", "visual.class_embedding", 1),
        (r"positions\.table", "visual.positional_embedding", 2),
        (r"project\.1\.kernel", "visual.proj", 2),
    ),
    modules=(
        ("embed", "visual.conv1"),
        ("norm_in", "visual.ln_pre"),
        (BLOCK + "norm([12])", r"visual.transformer.resblocks.\1.ln_\2"),
        (BLOCK + r"attention\.out", r"visual.transformer.resblocks.\1.attn.out_proj"),
        (BLOCK + r"mlp\.wide", r"visual.transformer.resblocks.\1.mlp.c_fc"),
        (BLOCK + r"mlp\.back", r"visual.transformer.resblocks.\1.mlp.c_proj"),
        (r"project\.0", "visual.ln_post"),
    ),
    fused=fused_attention(BLOCK + "attention", r"visual.transformer.resblocks.\1.attn.in_proj_"),
    ignored=r"(?!visual\.).*",
)
NAMINGS = (_transformers("vision_model."), _transformers(""), AUTHORS)


def settings(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes that the tensors have."""

    def find(*endings: str) -> Any:
        names = (at + ending for ending in endings for at in ("vision_model.", "", "visual."))
        return next((tensors[name] for name in names if name in tensors), None)

    width, _, patch, _ = find("embeddings.patch_embedding.weight", "conv1.weight").shape
    table = find("embeddings.position_embedding.weight", "positional_embedding")
    wide = find("encoder.layers.0.mlp.fc1.weight", "transformer.resblocks.0.mlp.c_fc.weight")
    theirs, ours = find("visual_projection.weight"), find("proj")
    return {
        "width": width,
        "patch": patch,
        "depth": numbered(
            tensors,
            r"(?:(?:vision_model\.)?encoder\.layers|visual\.transformer\.resblocks)\.(\d+)\.",
        ),
        "heads": config.get("num_attention_heads", max(1, width // _HEAD)),
        "hidden": len(wide),
        "side": round((len(table) - 1) ** 0.5),
        "projected": len(theirs) if theirs is not None else 0 if ours is None else ours.shape[1],
    }


def create(
    *,
    width: int = 1024,
    depth: int = 24,
    heads: int = 16,
    hidden: int = 4096,
    patch: int = 14,
    side: int = 24,
    projected: int = 768,
    key: PRNGKeyArray,
    dtype: Any = jnp.float32,
) -> VisionTransformer:
    """Return the network; the defaults are ViT-L/14 for 336 x 336 pixels.

    Args:
      hidden: width inside the feed-forward layers.
      side: patches along each side of the grid of positions.
      projected: size of the embedding of an image; 0 without a projection.
    """
    make = layer_factory(key, dtype)

    def norm() -> LayerNorm:
        return LayerNorm(width, eps=_EPS)

    def block() -> Block:
        mlp = MLP(width, hidden, activation=quick_gelu, make=make)
        return Block(Attention(width, heads, make=make), mlp, norms=(norm(), norm()))

    projection = [make(Linear, width, projected, bias=False)] if projected else []
    return VisionTransformer(
        make(Linear, patch**2 * 3, width, bias=False),
        [block() for _ in range(depth)],
        patch=patch,
        norm=None,
        class_token=make(ExtraTokens, 1, width),
        positions=make(LearnedPositions, side, width, others=1),
        norm_in=norm(),
        project=[norm(), *projection],
    )
