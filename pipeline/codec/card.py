"""The model card (README.md) of a codec folder: what it is, how to load it, and its limits."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pipeline.codec import card_parts, latent_origin, streaming_contract
from pipeline.codec.scaling import frames_of
from pipeline.metrics import catalogue
from pipeline.metrics.catalogue import Metric

Config = Mapping[str, Any]  # the content of config.json


def render(config: Config) -> str:
    """Return the card as Markdown with a YAML front matter, from the content of config.json."""
    if "example_shape" in config.get("input", {}):
        return "\n".join(filter(None, _other_parts(config)))
    any_size = "codec" in config
    summary = _any_size_summary if any_size else _fixed_size_summary
    usage = _any_size_usage if any_size else _fixed_size_usage
    limits = _any_size_limits if any_size else _fixed_size_limits
    parts = [_front_matter(config), summary(config), _preview(config), usage(config)]
    parts += [_latents(config)]
    parts += [_training(config), _evaluation(config), limits(config)]
    return "\n".join(part for part in parts if part)


def _other_parts(config: Config) -> list[str]:
    """Return the parts of the card of a codec of neither images nor clips."""
    summary, usage = (
        card_parts.summary(config, _name(config)),
        card_parts.usage(config, _LOADING),
    )
    parts = [_front_matter(config), summary, usage, _training(config), _evaluation(config)]
    return [*parts, card_parts.limits(config)]


def _front_matter(config: Config) -> str:
    """Return the YAML by which a hub sorts the codec."""
    is_video = config.get("codec", {}).get("is_video")
    task = ["video-reconstruction" if is_video else "image-reconstruction"]
    pipeline_tag = "video-to-video" if is_video else "image-to-image"
    if "example_shape" in config.get("input", {}):
        task, pipeline_tag = [], None
    network = config["model"].get("encoder", config["model"])["name"].split(".")[-2]
    figures = catalogue.reported(config.get("metrics") or {})
    entries = {
        "license": config.get("license", "unknown"),
        "library_name": "strata",
        "pipeline_tag": pipeline_tag,
        "tags": ["strata", "jax", "vae", *task, network],
        "datasets": config.get("datasets"),
        "metrics": [metric.name for metric in figures],
    }
    lines = ["---"]
    for key, value in entries.items():
        if value and isinstance(value, list | tuple):
            lines += [f"{key}:", *(f"- {_scalar(each)}" for each in dict.fromkeys(value))]
        elif value:
            lines.append(f"{key}: {_scalar(value)}")
    return "\n".join([*lines, "---", ""])


def _scalar(value: Any) -> str:
    """Return a YAML string, quoted where it could be read as something else."""
    text = str(value)
    words = ("yes", "no", "on", "off", "true", "false", "null")
    plain = re.fullmatch(r"[A-Za-z][\w./-]*", text, re.ASCII) and text.lower() not in words
    return text if plain else json.dumps(text)


def _preview(config: Config) -> str:
    return "![originals above reconstructions](preview.png)\n" if config.get("preview") else ""


def _latents(config: Config) -> str:
    sentence = latent_origin.sentence(config)
    return f"## Latents\n\n{sentence}\n" if sentence else ""


def _training(config: Config) -> str:
    training = config.get("training")
    if not training:
        return ""
    data = training.get("data", {})
    lines = [
        "## Training",
        "",
        f"- Weights: {training.get('weights')}, step {training.get('step')}",
    ]
    if training.get("imported_from"):
        lines.append(f"- Imported from {training['imported_from']}")
    if data.get("num_examples"):
        lines.append(f"- Data: {data['num_examples']:,} examples (source `{data.get('source')}`)")
    elif data.get("source"):
        lines.append(f"- Data: source `{data['source']}`")
    optimizer = training.get("optimizer", {}).get("name")
    lines.append(f"- Batch size {training.get('batch_size')}, optimizer `{optimizer}`")
    return "\n".join([*lines, ""])


def _evaluation(config: Config) -> str:
    result = config.get("metrics")
    if not result:
        return ""
    rows = [
        f"| {_label(metric, result)} | {metric.format_value(value)} | {metric.better} |"
        for metric, value in catalogue.reported(result).items()
        if not metric.per_layer
    ]
    header = ["## Evaluation", "", "| Metric | Value | Better |", "|---|---|---|"]
    count = f"On {result['num_examples']} held-out examples. {result.get('protocol', '')}".strip()
    return "\n".join([*header, *rows, "", count, ""])


def _label(metric: Metric, result: Mapping[str, Any]) -> str:
    """Return the metric's label; the number of vectors belongs to a Frechet distance."""
    label = metric.label
    if metric.modality in ("image", "video") and "reconstruction" not in label:
        label += " of reconstructions"
    report = result.get("feature_distance") or {}
    return f"{label}, {report.get('num_examples')} vectors" if metric.name in report else label


def _name(config: Config) -> str:
    model = config["model"]
    # An autoencoder is called after its networks.
    name = (
        model["encoder"]["name"].split(".")[-2]  # "video.wan.Encoder"
        if "encoder" in model
        else model["name"].split(".")[-1]
    )
    return f"{name} codec"


def _any_size_summary(config: Config) -> str:
    codec = config["codec"]
    space, time, channels = (
        codec["spatial_factor"],
        codec["temporal_factor"],
        codec["latent_channels"],
    )
    ratio = 3 * space**2 * time / channels
    block = f"{time}x{space}x{space}" if codec["is_video"] else f"{space}x{space}"
    return f"""# {_name(config)}

A variational autoencoder of {"clips" if codec["is_video"] else "images"}: \
each block of {block} pixels becomes one latent of {channels} numbers, {ratio:g} times fewer.
{config.get("num_parameters", 0):,} parameters.
"""


def _fixed_size_summary(config: Config) -> str:
    shapes = config.get("latent_shapes", [])
    layers = f"{len(shapes)} stochastic layers" if len(shapes) > 1 else "one stochastic layer"
    numbers = sum(math.prod(shape) for shape in shapes)
    return f"""# {_name(config)}

A variational autoencoder of images [{_image_shape(config)}] (height, width, channels): \
{config.get("num_parameters", 0):,} parameters, {layers}, {numbers:,} latent numbers per image.
"""


_LOADING = """## Use

```python
from pipeline import Codec

codec = Codec.from_pretrained("path/to/this/folder")
"""
_VIDEO_USAGE = """\
# video [b t h w 3], uint8, or float in [-1, 1]
z = codec.encode(video, chunk={frames}, tile=256).mode()
video = codec.decode(z, chunk={latents}, tile=256)  # uint8
for frame in codec.decode_frames(codec.encode_frames(frames)):
    ...  # any length, a chunk at a time
```

Files: `strata reconstruct --codec path/to/this/folder film.mp4 --out DIR`.
"""
_IMAGE_USAGE = """\
z = codec.encode(images, tile=512).mode()     # images [b h w 3], uint8, or float in [-1, 1]
images = codec.decode(z, tile=512)            # uint8
```

Files: `strata reconstruct --codec path/to/this/folder photo.jpg --out DIR`.
"""


def _any_size_usage(config: Config) -> str:
    codec = config["codec"]
    if not codec["is_video"]:
        return _LOADING + _IMAGE_USAGE
    factor = codec["temporal_factor"]
    frames = codec["windows"]["stride"] if "windows" in codec else max(1, 8 // factor) * factor
    return _LOADING + _VIDEO_USAGE.format(frames=frames, latents=frames // factor)


def _fixed_size_usage(config: Config) -> str:
    several = len(config.get("latent_shapes", [])) > 1
    what = "a tuple of arrays, top first" if several else "an array"
    shape = _image_shape(config)
    return f"""{_LOADING}\
z = codec.encode(images).mode()     # images [b {shape}], uint8, or float in [-1, 1]; z is {what}
images = codec.decode(z)            # uint8 [b {shape}]
```

Image files of any size and mode: \
`strata reconstruct --codec path/to/this/folder photo.jpg --out DIR`.
"""


def _any_size_limits(config: Config) -> str:
    codec = config["codec"]
    factor, frames = codec["spatial_factor"], codec["temporal_factor"]
    lines = [f"Heights and widths are padded to multiples of {factor} and cropped back."]
    if codec["is_video"]:
        lengths = codec.get("lengths", f"1 + {frames}k")
        lines += [
            f"Lengths are padded to {lengths} frames with copies of the last and cropped back.",
            f"Streaming contract {codec['streaming']}. {streaming_contract.sentence(codec)}",
        ]
    if frames := frames_of(config.get("latents") or {}):
        lines.append(
            f"`codec.normalize` uses statistics of each of the first {frames} latent frames; later "
            "frames take those of the last."
        )
    lines += [
        "Tiles are blended where they overlap; results differ slightly from those of whole frames.",
        "Pictures unlike those of its training come out worse.",
        "`codec.compress(images)` gives bytes, for `decompress` on the same kind of machine."
        if "scale_hyperprior" in str(config["model"].get("bottleneck"))
        else "Latents are float32 numbers, not a compressed bit stream.",
    ]
    return "\n".join(["## Limits", "", *(f"- {line}" for line in lines), ""])


def _fixed_size_limits(config: Config) -> str:
    height, width, channels = config["input"]["image_shape"]
    bits = config["input"].get("bits", 8)
    depth = f" It uses the leading {bits} bits of each 8-bit value." if bits < 8 else ""
    colour = "grey" if channels == 1 else "RGB"
    return f"""## Limits

- It takes {colour} images of {height}x{width}.{depth} The command cuts other sizes into tiles of
  that size, which are coded independently: seams can show. `--fit resize` shrinks and crops.
- Images unlike those of its training come out worse.
- Reconstructions are lossy, and samples may show what the training images showed, people included.
- Latents are float32 numbers, not a compressed bit stream.
"""


def _image_shape(config: Config) -> str:
    return " ".join(map(str, config["input"]["image_shape"]))
