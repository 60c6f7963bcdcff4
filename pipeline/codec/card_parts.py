"""Parts of the model card of a codec whose examples are neither images nor clips."""

import math
from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]  # the content of config.json


def summary(config: Config, name: str) -> str:
    """Return the heading and what the codec is."""
    (width,) = config["input"]["example_shape"]
    numbers = sum(math.prod(shape) for shape in config.get("latent_shapes", []))
    is_text = config["input"].get("modality") == "text"
    what = f"sentences of {width} tokens" if is_text else f"vectors of {width} numbers"
    return f"""# {name}

A variational autoencoder of {what}: {config.get("num_parameters", 0):,} \
parameters, {numbers:,} latent numbers for each.
"""


def usage(config: Config, loading: str) -> str:
    """Return how the codec is loaded and used."""
    (width,) = config["input"]["example_shape"]
    kind = "int32" if config["input"].get("modality") == "text" else "float"
    return f"""{loading}\
z = codec.encode(x).mode()          # x {kind} [b {width}]
again = codec.decode(z)             # {kind} [b {width}]
drawn = codec.sample(100, jax.random.key(0))
```
"""


def limits() -> str:
    """Return what a user should know."""
    return """## Limits

- Values are those of the training data, in its units or with its vocabulary.
- Examples unlike those of its training come out worse.
"""
