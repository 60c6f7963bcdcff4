"""Small runs of the recipes that start from a codec or learn from one."""

import pathlib
import runpy

from ml_collections import ConfigDict

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def recipe(name: str, **changes) -> ConfigDict:
    """Return the `:tiny` mode of a recipe on digits; objective__l1=... changes a key of a part."""
    config = runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]("tiny")
    config.data = dict(source="digits", image_size=8, channels=1)
    config.discriminator.channels = 4
    config.checkpoint.every = 4
    config.eval.every = config.sample.every = 0
    for key, value in changes.items():
        *path, last = key.split("__")
        node = config
        for part in path:
            node = node[part]
        with node.unlocked(), node.ignore_type():
            node[last] = value
    return config
