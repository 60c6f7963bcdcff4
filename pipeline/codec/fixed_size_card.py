"""What a model card says of a codec of one size, flat or a hierarchy."""

import math
from collections.abc import Mapping
from typing import Any


def summary(config: Mapping[str, Any]) -> str:
    """Its size and its latents."""
    shapes = config.get("latent_shapes", [])
    latents = f"{len(shapes)} stochastic layers" if len(shapes) > 1 else "one stochastic layer"
    numbers = sum(math.prod(shape) for shape in shapes)
    return f"""# {config["model"]["name"].split(".")[-1]} codec

A variational autoencoder of images [{_sizes(config)}] (height, width, channels): {config.get("num_parameters", 0):,} parameters, {latents}, {numbers:,} latent numbers an image.
"""


def usage(config: Mapping[str, Any]) -> str:
    """How to load it."""
    what = (
        "a tuple of arrays, top first" if len(config.get("latent_shapes", [])) > 1 else "an array"
    )
    sizes = _sizes(config)
    return f"""## Use

```python
from pipeline import Codec

codec = Codec.from_pretrained("path/to/this/folder")
z = codec.encode(images).mode()     # images [b {sizes}], uint8, or float in [-1, 1]; z is {what}
images = codec.decode(z)            # uint8 [b {sizes}]
```

Image files of any size and mode: `strata reconstruct --codec path/to/this/folder photo.jpg --out DIR`.
"""


def limits(config: Mapping[str, Any]) -> str:
    """What it cannot do."""
    height, width, channels = config["input"]["image_shape"]
    bits = config.get("input", {}).get("bits", 8)
    depth = f" It sees the leading {bits} bits of each 8-bit value." if bits < 8 else ""
    colour = "grey" if channels == 1 else "RGB"
    return f"""## Limits

- It takes {colour} images of {height}x{width}.{depth} The command cuts other sizes into tiles of that size, which know
  nothing of one another: seams can show. `--fit resize` shrinks and crops instead.
- It was made for images like those of its training; others come out worse.
- Reconstructions are lossy, and samples may show what the training images showed, people included.
- Latents are float32 numbers, not a compressed bit stream.
"""


def _sizes(config: Mapping[str, Any]) -> str:
    return " ".join(map(str, config["input"]["image_shape"]))
