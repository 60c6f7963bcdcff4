"""Comparison of a video codec of diffusers with the one that we import from its folder."""

import dataclasses
import pathlib
from typing import Any

import diffusers_models
import jax
import numpy as np
import torch

from pipeline.codec.any_size import AnySizeCodec

close = diffusers_models.check_close


@dataclasses.dataclass
class Pair:
    """A codec of diffusers, the folder that it is saved in, and ours that was imported from it."""

    theirs: Any
    folder: pathlib.Path
    ours: AnySizeCodec


def pair(kind: Any, settings: dict[str, Any], folder: pathlib.Path) -> Pair:
    """Return the class with small settings and weights that all matter, saved and imported."""
    model = diffusers_models.create(kind.__name__, **settings)
    return Pair(model, folder, diffusers_models.imported(model, folder))


def clip(frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (1, frames, height, width, 3)).astype(np.float32)


def to_torch(x: Any) -> Any:
    """Return [b t h w c] as torch's [b c t h w]."""
    return torch.from_numpy(np.array(x)).permute(0, 4, 1, 2, 3)


def from_torch(x: Any) -> np.ndarray:
    return x.permute(0, 2, 3, 4, 1).numpy()


def posterior_of(model: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        found = model.encode(to_torch(x)).latent_dist
    return from_torch(found.mean), from_torch(found.logvar)


def frames_of(model: Any, z: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return from_torch(model.decode(to_torch(z)).sample)


def decoded(codec: AnySizeCodec, z: Any) -> np.ndarray:
    """Return the frames of latents as floats; where there are windows, by the model itself."""
    if codec.windows is None:  # the program that codec.decode runs
        return np.asarray(codec.decoder_side.program(*codec.state, None, z)[0][0])

    def decode(weights: Any, z: Any) -> Any:
        return codec.modeldef.merge(weights).decode((z,)).mean()

    return np.asarray(jax.jit(decode)(codec.weights, z))


def latents_like(mean: np.ndarray) -> np.ndarray:
    """Return latents of deviation 1: those of a random encoder are nearly all the same."""
    return np.random.default_rng(1).normal(size=mean.shape).astype(np.float32)


def compare(both: Pair, x: np.ndarray) -> None:
    """Compare the posterior of a clip, and the frames of as many latents."""
    mean, logvar = posterior_of(both.theirs, x)
    encoding = both.ours.encode(x)
    close(encoding.mean, mean)
    close(encoding.logvar, logvar)
    z = latents_like(mean)
    close(decoded(both.ours, z), frames_of(both.theirs, z))


def check_export(both: Pair) -> None:
    """Check that an export has the same tensors and settings, and that the class loads it."""
    diffusers_models.check_export(both.theirs, both.ours, both.folder)


def check_exact_streaming(codec: AnySizeCodec, x: np.ndarray) -> None:
    """Check contract A: chunks give what the whole gives, and frame 0 is an image.

    Then prefixes are stable too: the first chunks did not see the later ones.
    """
    assert codec.encoder_causal and codec.decoder_causal
    whole, factor = codec.encode(x), codec.temporal_factor
    parts = codec.encode(x, chunk=factor)
    np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-5)
    np.testing.assert_allclose(parts.logvar, whole.logvar, atol=1e-5)
    image = codec.encode(x[:, :1]).mean
    np.testing.assert_allclose(image, np.asarray(whole.mean)[:, :1], atol=1e-5)
    z = latents_like(np.asarray(whole.mean))
    frames, by_one = (np.asarray(codec.decode(z, chunk=each)) for each in (None, 1))
    assert np.abs(frames.astype(int) - by_one).max() <= 1  # a rounding of uint8
    assert frames.std() > 10
