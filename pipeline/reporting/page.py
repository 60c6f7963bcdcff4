"""The same as the overview picture as one HTML file, which needs nothing else."""

import base64
import html
import pathlib
from collections.abc import Sequence

from pipeline.reporting.sections import Picture, Section

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1280px; margin: 2em auto; padding: 0 1em;
       color: #222 }
h2 { margin: 2em 0 .3em; border-top: 1px solid #ddd; padding-top: .8em }
dl { display: flex; flex-wrap: wrap; gap: .2em 2em; margin: 0 0 1em }
dt { color: #777; display: inline } dt::after { content: " " } dd { display: inline; margin: 0 }
figure { display: inline-block; margin: 0 1em 1em 0; max-width: 100%; vertical-align: top }
img, video { max-width: 100%; min-width: 256px; max-height: 90vh }
figcaption { color: #555; font-size: 14px }
svg { width: 320px; height: 120px } polyline { fill: none; stroke: #2a6; stroke-width: 1.5 }
"""
_KINDS = {".png": "image/png", ".mp4": "video/mp4"}


def text(title: str, sections: Sequence[Section]) -> str:
    """Return the page. Pictures and clips are inside it, so that the file can be sent alone."""
    body = "\n".join(_section(section) for section in sections)
    name = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{name}</title>\n'
        f"<style>{_STYLE}</style>\n<h1>{name}</h1>\n{body}\n</html>\n"
    )


def _section(section: Section) -> str:
    facts = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in section.facts
    )
    figures = "\n".join(_figure(picture) for picture in section.pictures)
    return (
        f"<section><h2>{html.escape(section.title)}</h2>\n<dl>{facts}</dl>\n{figures}\n"
        f"{_curve(section.losses)}</section>"
    )


def _figure(picture: Picture) -> str:
    source, caption = _inside(picture.path), html.escape(picture.caption)
    shown = (
        f'<video src="{source}" controls autoplay loop muted playsinline></video>'
        if picture.is_clip
        else f'<img src="{source}" alt="{caption}">'
    )
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def _inside(path: pathlib.Path) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    return f"data:{_KINDS[path.suffix]};base64,{content}"


def _curve(losses: Sequence[tuple[int, float]]) -> str:
    """Return the training loss over the steps, as a line."""
    finite = [(step, loss) for step, loss in losses if abs(loss) < float("inf")]
    if len(finite) < 2:
        return ""
    low, high = min(loss for _, loss in finite), max(loss for _, loss in finite)
    first, last = finite[0][0], finite[-1][0]
    points = " ".join(
        f"{320 * (step - first) / max(1, last - first):.1f},"
        f"{115 - 110 * (loss - low) / (high - low or 1):.1f}"
        for step, loss in finite
    )
    caption = f"training loss, {finite[0][1]:.4g} to {finite[-1][1]:.4g} in {last} steps"
    return (
        f'<figure><svg viewBox="0 0 320 120"><polyline points="{points}"/></svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )
