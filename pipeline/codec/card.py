"""The model card (README.md) of a codec folder: what it is, how to load it, what it cannot do."""

from collections.abc import Mapping
from typing import Any

_METRICS = {
    "bits_per_dim": ("negative ELBO", "bits per dimension", 4),
    "psnr": ("PSNR of reconstructions", "dB", 2),
    "ssim": ("SSIM of reconstructions", "", 4),
}


def render(config: Mapping[str, Any]) -> str:
    """Markdown with a YAML front matter, from the content of config.json."""
    parts = [_front_matter(config), _summary(config), _usage(config), _training(config), _evaluation(config)]
    return "\n".join([*(part for part in parts if part), _limits(config)])


def _front_matter(config: Mapping[str, Any]) -> str:
    tags = ["strata", "jax", "vae", "image-reconstruction", config["model"]["name"].split(".")[0]]
    lines = ["---", f"license: {config.get('license', 'unknown')}", "library_name: strata", "tags:"]
    return "\n".join([*lines, *(f"- {tag}" for tag in dict.fromkeys(tags)), "---", ""])


def _summary(config: Mapping[str, Any]) -> str:
    shapes = config.get("latent_shapes", [])
    sizes = " ".join(map(str, _image_shape(config)))
    latents = f"{len(shapes)} stochastic layers" if len(shapes) > 1 else "one stochastic layer"
    numbers = sum(_product(shape) for shape in shapes)
    return "\n".join(
        [
            f"# {config['model']['name'].split('.')[-1]} codec",
            "",
            f"A variational autoencoder of images [{sizes}] (height, width, channels): "
            f"{config.get('num_parameters', 0):,} parameters, {latents}, {numbers:,} latent numbers an image.",
            "",
            "![originals above their reconstructions, and samples](preview.png)" if config.get("preview") else "",
            "",
        ]
    )


def _usage(config: Mapping[str, Any]) -> str:
    hierarchy = len(config.get("latent_shapes", [])) > 1
    what = "a tuple of arrays, top first" if hierarchy else "an array"
    sizes = " ".join(map(str, _image_shape(config)))
    return f"""## Use

```python
from pipeline import Codec

codec = Codec.from_pretrained("path/to/this/folder")
z = codec.encode(images).mode()     # images [b {sizes}], uint8, or float in [-1, 1]; z is {what}
images = codec.decode(z)            # uint8 [b {sizes}]
```

Image files of any size and mode: `strata reconstruct --codec path/to/this/folder photo.jpg --out DIR`.
"""


def _training(config: Mapping[str, Any]) -> str:
    training = config.get("training")
    if not training:
        return ""
    data = training.get("data", {})
    lines = ["## Training", "", f"- Weights: {training.get('weights')}, step {training.get('step')}"]
    if training.get("imported_from"):
        lines.append(f"- Imported from {training['imported_from']}")
    if data.get("num_examples"):
        lines.append(f"- Data: {data['num_examples']:,} images (source `{data.get('source')}`)")
    elif data.get("source"):
        lines.append(f"- Data: source `{data['source']}`")
    lines.append(f"- Batch size {training.get('batch_size')}, optimizer `{training.get('optimizer', {}).get('name')}`")
    return "\n".join([*lines, ""])


def _evaluation(config: Mapping[str, Any]) -> str:
    metrics = config.get("metrics")
    if not metrics:
        return ""
    rows = [
        f"| {name} | {metrics[key]:.{digits}f} {unit} |"
        for key, (name, unit, digits) in _METRICS.items()
        if metrics.get(key) is not None
    ]
    count = f"On {metrics['num_examples']} held-out images. {metrics.get('protocol', '')}".strip()
    return "\n".join(["## Evaluation", "", "| | |", "|---|---|", *rows, "", count, ""])


def _limits(config: Mapping[str, Any]) -> str:
    height, width, channels = _image_shape(config)
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


def _image_shape(config: Mapping[str, Any]) -> list[int]:
    return list(config["input"]["image_shape"])


def _product(shape: list[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product
