"""Untrained state dicts in the layouts of FID's Inception v3 and of I3D."""

from types import ModuleType

import numpy as np

from pipeline.frozen import branches


def tensors(network: ModuleType, conv_name: str) -> dict[str, np.ndarray]:
    """Return zero kernels, and batch norms that are the identity except for their eps."""
    found = {}
    for unit, channels in branches.units(network.NETWORK):
        found[f"{unit.name}.{conv_name}.weight"] = np.zeros(
            (unit.width, channels, *unit.kernel), np.float32
        )
        for leaf, value in dict(weight=1, bias=0, running_mean=0, running_var=1).items():
            found[f"{unit.name}.bn.{leaf}"] = np.full(unit.width, value, np.float32)
    return found


def inception(classes: int = 1008) -> dict[str, np.ndarray]:
    """Return FID's Inception v3; torchvision's network has 1000 classes instead."""
    from pipeline.frozen import inception

    return tensors(inception, "conv") | {"fc.weight": np.zeros((classes, 2048), np.float32)}


def i3d() -> dict[str, np.ndarray]:
    """Return I3D in the layout of rgb_imagenet.pt."""
    from pipeline.frozen import i3d

    logits = {
        "weight": np.zeros((400, 1024, 1, 1, 1), np.float32),
        "bias": np.arange(400, dtype=np.float32),
    }
    return tensors(i3d, "conv3d") | {
        f"logits.conv3d.{leaf}": array for leaf, array in logits.items()
    }
