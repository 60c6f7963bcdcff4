"""One picture of several runs: a title, figures and pictures for each."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from pipeline.core.errors import DataError
from pipeline.data.images.decode import decode
from pipeline.data.media.video_file import VideoFile
from pipeline.data.unreadable import Unreadable
from pipeline.reporting.sections import Picture, Section

WIDTH, ROW_HEIGHT, GAP = 1280, 400, 16
_FRAMES = 3  # of a clip
_TITLE, _TEXT = 30, 16  # heights of letters, in pixels
_BACKGROUND, _DARK, _GREY = (255, 255, 255), (20, 20, 20), (90, 90, 90)


def draw(sections: Sequence[Section]) -> UInt8[np.ndarray, "h w 3"]:
    """Return the overview: the sections below each other, each with its pictures in rows.

    Raises:
      DataError: a picture or a clip that cannot be read.
    """
    blocks = [block for section in sections for block in _blocks(section)]
    canvas = Image.new("RGB", (WIDTH, sum(block.height + GAP for block in blocks)), _BACKGROUND)
    top = GAP // 2
    for block in blocks:
        canvas.paste(block, (0, top))
        top += block.height + GAP
    return np.asarray(canvas)


def _blocks(section: Section) -> list[Image.Image]:
    facts = "   ".join(f"{name} {value}" for name, value in section.facts)
    blocks = [_text(section.title, _TITLE, _DARK), _text(facts, _TEXT, _GREY)]
    row: list[Image.Image] = []
    notes: list[str] = []
    for picture in section.pictures:
        images = _images(picture)
        if row and _row_width(row + images) > WIDTH:
            blocks += [_row(row), *(_text(note, _TEXT, _GREY) for note in notes)]
            row, notes = [], []
        row += images
        notes.append(picture.caption)
    if row:
        blocks += [_row(row), *(_text(note, _TEXT, _GREY) for note in notes)]
    return blocks


def _text(text: str, size: int, color: tuple[int, int, int]) -> Image.Image:
    font = ImageFont.load_default(size=size)
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and font.getlength(longer) > WIDTH - 2 * GAP:
            lines.append(line)
            longer = word
        line = longer
    lines.append(line)
    spacing = round(1.35 * size)
    block = Image.new("RGB", (WIDTH, spacing * len(lines)), _BACKGROUND)
    for number, each in enumerate(lines):
        ImageDraw.Draw(block).text((GAP, number * spacing), each, color, font=font)
    return block


def _images(picture: Picture) -> list[Image.Image]:
    if not picture.is_clip:
        try:
            return [Image.fromarray(decode(picture.path.read_bytes(), 3))]
        except (OSError, Unreadable) as error:
            raise DataError(f"{picture.path}: {error}") from None
    try:
        file = VideoFile(str(picture.path))
        frames = [
            Image.fromarray(frame.pixels(*frame.size)) for frame in file.frames_from(file.begin)
        ]
    except Unreadable as error:
        raise DataError(f"{picture.path}: {error}") from None
    places = np.linspace(0, len(frames) - 1, min(_FRAMES, len(frames))).round().astype(int)
    return [frames[place] for place in places]


def _scaled(image: Image.Image, height: int) -> Image.Image:
    size = max(1, round(image.width * height / image.height)), height
    # Small pictures keep hard pixel edges.
    method = Image.Resampling.NEAREST if height >= 2 * image.height else Image.Resampling.LANCZOS
    return image.resize(size, method)


def _row_width(images: Sequence[Image.Image]) -> int:
    widths = [image.width * ROW_HEIGHT / image.height for image in images]
    return round(sum(widths)) + GAP * (len(images) + 1)


def _row(images: Sequence[Image.Image]) -> Image.Image:
    room = WIDTH - GAP * (len(images) + 1)
    height = min(ROW_HEIGHT, int(room / sum(image.width / image.height for image in images)))
    row = Image.new("RGB", (WIDTH, height), _BACKGROUND)
    left = GAP
    for image in images:
        scaled = _scaled(image, height)
        row.paste(scaled, (left, 0))
        left += scaled.width + GAP
    return row
