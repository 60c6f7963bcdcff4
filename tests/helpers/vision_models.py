"""Random vision transformers of transformers, and frozen encoders read from their folders.

Parity tests import this file after they know that torch and transformers are there.
"""

import os
import pathlib
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
import transformers

from pipeline.frozen import encoder

SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, patch_size=7)


def create(name: str, config: str, **settings: Any) -> Any:
    """Return a model of the class `name` with random weights, all of which matter."""
    torch.manual_seed(0)
    model = getattr(transformers, name)(getattr(transformers, config)(**{**SIZES, **settings}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim < 2 or parameter.std() < 0.01:
                parameter.add_(0.2 * torch.randn_like(parameter))
            else:
                parameter.mul_(3)
    return model.eval()


def frozen(model: Any, folder: pathlib.Path, name: str, **settings: Any) -> tuple[Any, Any]:
    """Save a model, and return the frozen encoder read from its folder with its weights."""
    model.save_pretrained(folder)
    return encoder.create(name=name, weights=str(folder), **settings)


def images(height: int, width: int) -> np.ndarray:
    """Return two random images in [-1, 1]."""
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (2, height, width, 3)).astype(np.float32)


def pixel_values(found: encoder.FrozenEncoder, x: np.ndarray) -> torch.Tensor:
    """Return images as the class takes them, normalized."""
    own = found.preprocessing
    mean, std = (np.asarray(each, np.float32) for each in (own.mean, own.std))
    return torch.from_numpy(((x + 1) / 2 - mean) / std).permute(0, 3, 1, 2)


def as_map(tokens: torch.Tensor, height: int, width: int) -> np.ndarray:
    """Return the last tokens of a class's output, those of patches, as [b h w c]."""
    patches = tokens[:, tokens.shape[1] - height * width :]
    return patches.reshape(len(tokens), height, width, -1).detach().numpy()


def check_close(ours: Any, theirs: Any, tolerance: float = 2e-5) -> None:
    """Check that arrays differ by at most `tolerance` standard deviations."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.isfinite(ours).all() and theirs.std() > 0.01
    error = np.abs(ours - theirs).max() / theirs.std()
    assert error <= tolerance, f"{error:.2e} standard deviations"
