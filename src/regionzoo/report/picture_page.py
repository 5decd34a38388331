"""Panels with names in them, a title, a legend and a caption on one sheet, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

MARGIN, GAP = 20, 24
INK, FAINT, WRONG, LOUD = (25, 25, 25), (110, 110, 110), (190, 20, 20), (168, 92, 0)
NAME, TEXT, HEAD, TITLE = 14, 15, 17, 21
"""Sizes of letters in pixels: names in panels, legend and caption, headings of panels, title."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """A name of something at (x, y) of a panel that fills ``pixels`` of it. bad: in red."""

    text: str
    x: int
    y: int
    pixels: int
    bad: bool = False


@dataclass(frozen=True)
class Panel:
    """A picture with a heading and names. empty: printed after the heading if there is nothing to show."""

    title: str
    image: Image.Image
    labels: tuple[Label, ...] = ()
    empty: str = ""


@dataclass(frozen=True)
class Entry:
    """A colour of the legend and what it stands for."""

    text: str
    color: tuple[int, int, int]


def compose(title: str, note: str, panels: Sequence[Panel], legend: Sequence[Entry], caption: str) -> Image.Image:
    """The sheet: title, note below it in a loud colour, panels side by side, legend and caption below them."""
    width = 2 * MARGIN + sum(panel.image.width for panel in panels) + GAP * (len(panels) - 1)
    width = max(width, 900)
    room = width - 2 * MARGIN
    heads = [(line, _font(TITLE), INK) for line in _wrap(title, TITLE, room)]
    heads += [(line, _font(HEAD, bold=True), LOUD) for line in _wrap(note, HEAD, room, bold=True)]
    entries = _flow([entry.text for entry in legend], room)
    tail = _wrap(caption, TEXT, room)
    top = MARGIN + 30 * len(heads) + 34
    tall = max(panel.image.height for panel in panels)
    below = top + tall + 18
    height = below + 27 * (entries[-1][1] + 1 if entries else 0) + 12 + 22 * len(tail) + MARGIN
    page = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    for k, (line, font, color) in enumerate(heads):
        draw.text((MARGIN, MARGIN + 30 * k), line, fill=color, font=font)
    left = MARGIN
    for panel in panels:
        name = panel.title + (f": {panel.empty}" if panel.empty else "")
        draw.text((left, top - 30), name, fill=INK, font=_font(HEAD))
        page.paste(panel.image, (left, top + (tall - panel.image.height) // 2))
        _names(draw, panel, left, top + (tall - panel.image.height) // 2)
        left += panel.image.width + GAP
    for entry, (x, row) in zip(legend, entries, strict=True):
        at = MARGIN + x, below + 27 * row
        draw.rectangle((at[0], at[1] + 1, at[0] + 17, at[1] + 17), fill=entry.color, outline=FAINT)
        draw.text((at[0] + 25, at[1]), entry.text, fill=INK, font=_font(TEXT))
    start = below + 27 * (entries[-1][1] + 1 if entries else 0) + 8
    for k, line in enumerate(tail):
        draw.text((MARGIN, start + 22 * k), line, fill=FAINT, font=_font(TEXT))
    return page


def places(labels: Sequence[Label], width: int, height: int) -> list[Box | None]:
    """Where each name stands, as (left, top, right, bottom) in the panel; None where there is no room.

    Names of large things are placed first. A name stands at its own place, or else as near as possible without
    covering another name.
    """
    taken: list[Box] = []
    result: list[Box | None] = [None] * len(labels)
    for k in sorted(range(len(labels)), key=lambda k: (-labels[k].pixels, k)):
        label = labels[k]
        wide, high = _font(NAME).getlength(label.text) + 4, NAME + 4
        if wide > width or high > height:
            continue
        for x, y in _around(label.x, label.y):
            x, y = min(max(x, wide / 2), width - wide / 2), min(max(y, high / 2), height - high / 2)
            box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                result[k] = box
                break
    return result


def _around(x: int, y: int) -> list[tuple[float, float]]:
    """Places near a point, the nearest first; upward and downward before sideways, as names are wide."""
    found = [(float(x), float(y))]
    for ring in range(1, 13):
        count = 8 + 4 * ring
        turns = sorted(range(count), key=lambda n: (-abs(math.sin(2 * math.pi * n / count)).__round__(6), n))
        for n in turns:
            angle = 2 * math.pi * n / count
            found.append((x + 16 * ring * math.cos(angle), y - 11 * ring * math.sin(angle)))
    return found


def _overlap(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _names(draw: ImageDraw.ImageDraw, panel: Panel, left: int, top: int) -> None:
    boxes = places(panel.labels, panel.image.width, panel.image.height)
    placed = [(label, box) for label, box in zip(panel.labels, boxes, strict=True) if box is not None]
    for label, box in placed:
        # A line leads from a name that had to move to its thing.
        if not (box[0] <= label.x <= box[2] and box[1] <= label.y <= box[3]):
            x, y = min(max(label.x, box[0]), box[2]), min(max(label.y, box[1]), box[3])
            draw.line((left + x, top + y, left + label.x, top + label.y), fill=WRONG if label.bad else INK, width=1)
            spot = (left + label.x - 2, top + label.y - 2, left + label.x + 2, top + label.y + 2)
            draw.ellipse(spot, fill=WRONG if label.bad else INK)
    for label, box in placed:
        middle = left + (box[0] + box[2]) / 2, top + (box[1] + box[3]) / 2
        color = WRONG if label.bad else INK
        draw.text(
            middle, label.text, fill=color, font=_font(NAME), anchor="mm", stroke_width=3, stroke_fill=(255, 255, 255)
        )


def _flow(texts: Sequence[str], room: int) -> list[tuple[int, int]]:
    """Offset and row of each entry of a legend."""
    found, x, row = [], 0, 0
    for text in texts:
        wide = 25 + math.ceil(_font(TEXT).getlength(text)) + 22
        if x and x + wide > room:
            x, row = 0, row + 1
        found.append((x, row))
        x += wide
    return found


def _wrap(text: str, size: int, room: int, bold: bool = False) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and _font(size, bold).getlength(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib, laid out by Pillow alone: the same letters on every machine."""
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
