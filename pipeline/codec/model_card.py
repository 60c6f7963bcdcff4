"""README.md of a codec: what it is, what it was trained on, how good it is, how to load it, what it cannot do."""

from collections.abc import Mapping
from typing import Any

# What strata eval reports, in the card's order: key -> (title, unit, decimals).
METRICS = {
    "bits_per_dim": ("Negative ELBO", "bits per dimension", 4),
    "iwae_bits_per_dim": ("Importance-weighted bound", "bits per dimension", 4),
    "psnr": ("PSNR of reconstructions", "dB", 2),
    "ssim": ("SSIM of reconstructions", "", 4),
}


def model_card(config: Mapping[str, Any], *, license: str = "unknown", preview: str = "") -> str:
    """Markdown with the YAML front matter that model hubs read; `preview` is the name of a picture beside it."""
    metrics = {key: value for key, value in config.get("metrics", {}).items() if key in METRICS}
    return "\n".join(
        [
            *_front_matter(config, license, metrics),
            f"# {_title(config)}",
            "",
            _summary(config),
            "",
            *([f"![Originals, reconstructions, samples]({preview})", ""] if preview else []),
            *_use(config),
            *_training(config),
            *_metrics(config, metrics),
            *_limits(config),
        ]
    )


def _front_matter(config: Mapping[str, Any], license: str, metrics: Mapping[str, float]) -> list[str]:
    tags = ["strata", "jax", "vae", "image-autoencoder", config["model"]["name"].split(".")[-1].lower()]
    lines = ["---", f"license: {license}", "library_name: strata", "tags:"]
    lines += [f"- {tag}" for tag in dict.fromkeys(tags)]
    if metrics:
        lines += ["metrics:", *(f"- {name}" for name in metrics)]
    return [*lines, "---", ""]


def _title(config: Mapping[str, Any]) -> str:
    size = config["image"]["size"]
    return f"{config['model']['name'].split('.')[-1]}, {size}x{size}"


def _summary(config: Mapping[str, Any]) -> str:
    image, latents = config["image"], config["latents"]
    values = f"{latents['values']:,} values in {latents['layers']} stochastic layer{'s'[: latents['layers'] > 1]}"
    colour = {1: "grey", 3: "RGB"}.get(image["channels"], f"{image['channels']}-channel")
    depth = "" if image["bits"] == 8 else f" of {image['bits']} bits"
    return (
        f"A variational autoencoder with {config['parameters']:,} parameters for {colour} images{depth} of "
        f"{image['size']}x{image['size']} pixels; its latents are {values}. Made with Strata {config['strata_version']}."
    )


def _use(config: Mapping[str, Any]) -> list[str]:
    size, channels = config["image"]["size"], config["image"]["channels"]
    z = "z" if config["latents"]["layers"] == 1 else "z, a tuple, top layer first"
    return [
        "## Use",
        "",
        "```python",
        "from pipeline import Codec  # pip install strata",
        "",
        'codec = Codec.from_pretrained("path/to/this/folder")',
        f"z = codec.encode(images).mode()   # images: uint8 [b {size} {size} {channels}], or float in [-1, 1]; {z}",
        f"images = codec.decode(z)          # float32 in [-1, 1], [b {size} {size} {channels}]",
        "```",
        "",
        "Image files of any size and mode: `strata reconstruct --codec path/to/this/folder photo.jpg --out out`.",
        "",
    ]


def _training(config: Mapping[str, Any]) -> list[str]:
    training = config.get("training", {})
    if not training:
        return ["## Training", "", "Nothing is recorded about it.", ""]
    weights = {"ema": "the exponential moving average of the weights", "raw": "the last weights, not averaged"}
    lines = ["## Training", ""]
    if training.get("step") == 0:
        lines.append("Imported weights, or weights as initialised: no step was trained by Strata.")
    else:
        batch = training.get("batch_size")
        seen = f", {training['step'] * batch:,} images seen" if batch else ""
        lines.append(
            f"Step {training.get('step', '?'):,} of {training.get('num_steps', '?'):,}{seen}; {_data(training)}."
        )
    if training.get("weights") in weights:
        lines.append(f"These are {weights[training['weights']]}.")
    return [*lines, ""]


def _data(training: Mapping[str, Any]) -> str:
    data = training.get("data", {})
    source = f"data source `{data.get('source', 'unknown')}`"
    count = f", {data['num_examples']:,} images" if data.get("num_examples") else ""
    return source + count


def _metrics(config: Mapping[str, Any], metrics: Mapping[str, float]) -> list[str]:
    if not metrics:
        return ["## Evaluation", "", "Not evaluated: `strata eval` before `strata export` puts its figures here.", ""]
    lines = ["## Evaluation", "", "| measure | value |", "|---|---|"]
    for key, value in metrics.items():
        title, unit, decimals = METRICS[key]
        lines.append(f"| {title} | {value:.{decimals}f} {unit}".rstrip() + " |")
    about = config["metrics"]
    count = f"Over {about['num_examples']:,} held-out images. " if about.get("num_examples") else ""
    return [*lines, "", count + f"Protocol: {about.get('protocol', 'not recorded')}", ""]


def _limits(config: Mapping[str, Any]) -> list[str]:
    size = config["image"]["size"]
    lines = [
        "## Limits",
        "",
        f"- The model is of {size}x{size} images only. `strata reconstruct` cuts a larger picture into tiles of that",
        "  size, each on its own, so that edges between tiles may show.",
        "- It does as well as above on images like those of its training, and may do much worse on others.",
        "- It does not compress: latents are numbers, not a bit stream, and may take more room than the image.",
    ]
    if config["image"]["bits"] < 8:
        lines.append(f"- It sees the leading {config['image']['bits']} bits of a pixel; finer shades are lost.")
    return [*lines, ""]
