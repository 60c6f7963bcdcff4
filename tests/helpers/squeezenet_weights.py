"""Untrained weights of SqueezeNet under torchvision's names, and LPIPS heads for it."""

import numpy as np

from pipeline.frozen import squeezenet


def made_up() -> dict[str, np.ndarray]:
    """Return a state dict of torchvision's SqueezeNet."""
    rng = np.random.default_rng(0)
    tensors, channels = {}, 64
    layers = {"features.0": (64, 3, 3, 3)}
    for fire, squeezed, expanded, _ in squeezenet._FIRES:
        layers[f"features.{fire}.squeeze"] = (squeezed, channels, 1, 1)
        layers[f"features.{fire}.expand1x1"] = (expanded, squeezed, 1, 1)
        layers[f"features.{fire}.expand3x3"] = (expanded, squeezed, 3, 3)
        channels = 2 * expanded
    for name, shape in layers.items():
        bound = (6 / np.prod(shape[1:])) ** 0.5
        tensors[f"{name}.weight"] = rng.uniform(-bound, bound, shape).astype(np.float32)
        tensors[f"{name}.bias"] = rng.uniform(-0.1, 0.1, shape[0]).astype(np.float32)
    return tensors


def caffe() -> dict[str, np.ndarray]:
    """Return the weights in the layout of Keras's Caffe file: HWIO kernels, fires from 2."""
    fires = {str(fire): number for number, (fire, *_) in enumerate(squeezenet._FIRES, start=2)}
    tensors = {}
    for name, array in made_up().items():
        _, layer, *part, kind = name.split(".")
        where = (
            f"fire{fires[layer]}/{part[0].replace('squeeze', 'squeeze1x1')}" if part else "conv1"
        )
        tensors[f"{where}/{kind}"] = (
            array.transpose(2, 3, 1, 0).copy() if kind == "weight" else array
        )
    return tensors


def heads() -> dict[str, np.ndarray]:
    """Return a state dict of LPIPS heads, each map weighing more than the one before."""
    widths = enumerate(squeezenet.CHANNELS)
    return {
        f"lin{i}.model.1.weight": np.full((1, width, 1, 1), 0.1 + i, np.float32)
        for i, width in widths
    }
