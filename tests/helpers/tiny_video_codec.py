"""A small WF-VAE codec with random weights, and a video for it."""

import fractions
import functools
import pathlib

import numpy as np
from autoencoders import wf_vae
from flax import nnx

from pipeline import models
from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.media.video_io import Timing, VideoWriter
from pipeline.core import parameters

RECIPE = wf_vae()


@functools.lru_cache
def tiny_codec() -> AnySizeCodec:
    modeldef, params, model_state = parameters.split(models.create(RECIPE, rngs=nnx.Rngs(0)))
    about = {
        "model": RECIPE,
        "dtype": "float32",
        "latent_shapes": [[2, 2, 2, 2]],
        "input": {"image_shape": [16, 16, 3]},
    }
    return AnySizeCodec(modeldef, params | model_state, about | {"num_parameters": 1}, "tiny")


def write_video(
    path: pathlib.Path, frames: int, height: int = 16, width: int = 24, irregular: bool = False
) -> None:
    """Write a square that moves over a gradient, at 10 frames per second.

    `irregular` shows every third frame twice as long.
    """
    timing = Timing(fractions.Fraction(1, 1000), fractions.Fraction(10))
    with VideoWriter(path, timing) as writer:
        at = 0
        for index in range(frames):
            frame = np.broadcast_to(
                np.linspace(0, 200, width).astype(np.uint8)[None, :, None], (height, width, 3)
            ).copy()
            frame[4:10, index % (width - 6) : index % (width - 6) + 6] = (250, 40, 90)
            writer.write(frame, at)
            at += 200 if irregular and index % 3 == 0 else 100
