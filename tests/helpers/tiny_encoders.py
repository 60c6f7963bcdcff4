"""Tiny encoders of images with random weights, as files by the authors' names."""

import pathlib

import numpy as np
import safetensors.numpy


def dinov2(
    folder: pathlib.Path, *, width: int = 16, depth: int = 2, patch: int = 4, registers: int = 0
) -> str:
    """Write a DINOv2 of a grid of 4 x 4 patches, and return the file."""
    rng = np.random.default_rng(0)

    def random(*shape: int) -> np.ndarray:
        return 0.3 * rng.standard_normal(shape).astype(np.float32)

    tensors = {
        "cls_token": random(1, 1, width),
        "pos_embed": random(1, 17, width),
        "mask_token": random(1, width),
        "patch_embed.proj.weight": random(width, 3, patch, patch),
        "patch_embed.proj.bias": random(width),
        "norm.weight": random(width),
        "norm.bias": random(width),
    }
    if registers:
        tensors["register_tokens"] = random(1, registers, width)
    for number in range(depth):
        block = {
            "norm1.weight": random(width),
            "norm1.bias": random(width),
            "attn.qkv.weight": random(3 * width, width),
            "attn.qkv.bias": random(3 * width),
            "attn.proj.weight": random(width, width),
            "attn.proj.bias": random(width),
            "ls1.gamma": random(width),
            "norm2.weight": random(width),
            "norm2.bias": random(width),
            "mlp.fc1.weight": random(2 * width, width),
            "mlp.fc1.bias": random(2 * width),
            "mlp.fc2.weight": random(width, 2 * width),
            "mlp.fc2.bias": random(width),
            "ls2.gamma": random(width),
        }
        tensors |= {f"blocks.{number}.{name}": tensor for name, tensor in block.items()}
    path = folder / "dinov2.safetensors"
    safetensors.numpy.save_file(tensors, path)
    return str(path)
