"""State dicts of FID's Inception v3 and of I3D, as their files have them, that nothing was trained with."""

from types import ModuleType

import numpy as np

from pipeline.frozen import branches


def tensors(network: ModuleType, conv_name: str) -> dict[str, np.ndarray]:
    """Zeros for kernels; the numbers of a batch norm that changes nothing, but for its eps."""
    found = {}
    for unit, channels in branches.units(network.NETWORK):
        found[f"{unit.name}.{conv_name}.weight"] = np.zeros(
            (unit.width, channels, *unit.kernel), np.float32
        )
        for leaf, value in dict(weight=1, bias=0, running_mean=0, running_var=1).items():
            found[f"{unit.name}.bn.{leaf}"] = np.full(unit.width, value, np.float32)
    return found


def inception(classes: int = 1008) -> dict[str, np.ndarray]:
    """FID's; torchvision's own network has 1000 classes."""
    from pipeline.frozen import inception

    return tensors(inception, "conv") | {"fc.weight": np.zeros((classes, 2048), np.float32)}


def i3d() -> dict[str, np.ndarray]:
    """rgb_imagenet.pt's."""
    from pipeline.frozen import i3d

    logits = {
        "weight": np.zeros((400, 1024, 1, 1, 1), np.float32),
        "bias": np.arange(400, dtype=np.float32),
    }
    return tensors(i3d, "conv3d") | {
        f"logits.conv3d.{leaf}": array for leaf, array in logits.items()
    }
