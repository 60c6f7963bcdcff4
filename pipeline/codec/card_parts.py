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
    if config["input"].get("modality") == "text":
        return loading + _TEXT_USAGE
    (width,) = config["input"]["example_shape"]
    return f"""{loading}\
z = codec.encode(x).mode()          # x float [b {width}]
again = codec.decode(z)             # float [b {width}]
drawn = codec.sample(100, jax.random.key(0))
```
"""


_TEXT_USAGE = """\
z = codec.encode(["first sentence", "second sentence"]).mode()
lines = codec.decode(z)                            # strings, of the most probable words
lines = codec.decode(z, key=jax.random.key(0))     # or drawn word by word
lines = codec.interpolate("first sentence", "second sentence", num=9)
lines = codec.sample(100, jax.random.key(0))
```

Files: `strata sample --codec path/to/this/folder --out lines.txt [--interpolate A B]`.
"""


def limits(config: Config) -> str:
    """Return what a user should know."""
    words = config["input"].get("vocabulary", {}).get("words")
    text = (
        f"- It knows {len(words):,} words, in the spelling of its training data and with spaces "
        "between\n  them; all others are one token. Longer sentences are cut.\n"
        if words
        else ""
    )
    return f"""## Limits

{text}\
- Values are those of the training data, in its units or with its vocabulary.
- Examples unlike those of its training come out worse.
"""
