"""The model card (README.md) of a codec folder: what it is, how to load it, what it cannot do."""

from collections.abc import Mapping
from typing import Any

from pipeline.codec import any_size_card, fixed_size_card

_METRICS = {
    "bits_per_dim": ("negative ELBO", "bits per dimension", 4),
    "psnr": ("PSNR of reconstructions", "dB", 2),
    "ssim": ("SSIM of reconstructions", "", 4),
    "ms_ssim": ("MS-SSIM of reconstructions", "", 4),
    "lpips": ("LPIPS of reconstructions", "", 4),
    "lpips_squeeze": ("LPIPS on SqueezeNet of reconstructions", "", 4),
    "squeezenet_caffe": ("distance by SqueezeNet's features (not LPIPS) of reconstructions", "", 4),
    "flicker": ("temporal flicker error of reconstructions", "", 5),
}


def render(config: Mapping[str, Any]) -> str:
    """Markdown with a YAML front matter, from the content of config.json."""
    kind = any_size_card if "codec" in config else fixed_size_card
    parts = [_front_matter(config), kind.summary(config), _preview(config), kind.usage(config)]
    parts += [_training(config), _evaluation(config), kind.limits(config)]
    return "\n".join(part for part in parts if part)


def _front_matter(config: Mapping[str, Any]) -> str:
    what = (
        "video-reconstruction"
        if config.get("codec", {}).get("is_video")
        else "image-reconstruction"
    )
    tags = ["strata", "jax", "vae", what, config["model"]["name"].split(".")[0]]
    lines = ["---", f"license: {config.get('license', 'unknown')}", "library_name: strata", "tags:"]
    return "\n".join([*lines, *(f"- {tag}" for tag in dict.fromkeys(tags)), "---", ""])


def _preview(config: Mapping[str, Any]) -> str:
    return "![originals above what comes back](preview.png)\n" if config.get("preview") else ""


def _training(config: Mapping[str, Any]) -> str:
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
    lines.append(
        f"- Batch size {training.get('batch_size')}, optimizer `{training.get('optimizer', {}).get('name')}`"
    )
    return "\n".join([*lines, ""])


def _evaluation(config: Mapping[str, Any]) -> str:
    metrics = config.get("metrics")
    if not metrics:
        return ""
    known = _METRICS | {
        key: (_few_scales(key), "", 4) for key in metrics if key.startswith("ms_ssim_")
    }
    rows = [
        f"| {name} | {f'{metrics[key]:.{digits}f} {unit}'.strip()} |"
        for key, (name, unit, digits) in known.items()
        if metrics.get(key) is not None
    ]
    rows += _feature_distance(metrics.get("feature_distance") or {})
    count = f"On {metrics['num_examples']} held-out examples. {metrics.get('protocol', '')}".strip()
    return "\n".join(["## Evaluation", "", "| | |", "|---|---|", *rows, "", count, ""])


def _few_scales(key: str) -> str:
    return f"MS-SSIM, {key.removeprefix('ms_ssim_').replace('_', ' ')} only, of reconstructions"


def _feature_distance(report: Mapping[str, Any]) -> list[str]:
    """The row of what evaluators.feature_distance reports; how many vectors it is of belongs to the figure."""
    return [
        f"| {name.replace('_', ' ')} of reconstructions, {report.get('num_examples')} vectors | {value:.4f} |"
        for name, value in report.items()
        if name.endswith("_feature_distance") and value is not None
    ]
