"""Parts of the model card of a codec whose examples are neither images nor clips."""

import math
from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]  # the content of config.json


def summary(config: Config, name: str) -> str:
    """Return the heading and what the codec is."""
    (width,) = config["input"]["example_shape"]
    numbers = sum(math.prod(shape) for shape in config.get("latent_shapes", []))
    return f"""# {name}

A variational autoencoder of vectors of {width} numbers: {config.get("num_parameters", 0):,} \
parameters, {numbers:,} latent numbers per vector.
"""


def usage(config: Config, loading: str) -> str:
    """Return how the codec is loaded and used."""
    (width,) = config["input"]["example_shape"]
    return f"""{loading}\
z = codec.encode(x).mode()          # x float [b {width}]
mean = codec.decode(z)              # float [b {width}]
drawn = codec.sample(100, jax.random.key(0))
```
"""


def limits() -> str:
    """Return what a user should know."""
    return """## Limits

- Numbers are those of the training data, in its units; the codec scales nothing.
- Vectors unlike those of its training come out worse.
"""
