"""The language of Kosmos-2: phrases with boxes between tags, boxes as two cells of a grid over the image.

``<phrase> a red chair</phrase><object><patch_index_0044><patch_index_0863></object>``: the cells hold the upper left
and the lower right corner, counted in rows from the top left; several boxes of a phrase stand apart by
``</delimiter_of_multi_objects/>``. transformers reads the same in its processor; it is read here so that neither a
version of the processor nor its fixed grid matters (a test compares the two).
"""

from __future__ import annotations

import re

from regionzoo.captions.captioner import Box, Region2D

GRID = 32
"""Cells along each side of the image (1024 patch tokens)."""

_CELLS = r"<patch_index_(\d+)>\s*<patch_index_(\d+)>"
_NEXT = r"\s*</delimiter_of_multi_objects/>\s*"
_GROUNDED = re.compile(rf"<phrase>([^<]+)</phrase>\s*<object>\s*({_CELLS}(?:{_NEXT}{_CELLS})*)\s*</object>")
_BOX = re.compile(_CELLS)


def grounded_phrases(text: str, grid: int = GRID) -> list[tuple[str, list[Box]]]:
    """(phrase, boxes as shares 0..1 of the image's width and height) in the order of the text.

    What is cut off or malformed is passed over, and so are boxes without a phrase: no text belongs to them. A phrase
    keeps what stands between its tags without the blanks around it; an empty one is passed over.
    """
    found = []
    for match in _GROUNDED.finditer(text):
        phrase = " ".join(match[1].split())
        corners = [(int(first), int(last)) for first, last in _BOX.findall(match[2])]
        boxes = [_shares(first, last, grid) for first, last in corners if max(first, last) < grid * grid]
        if phrase and boxes:
            found.append((phrase, boxes))
    return found


def _shares(first: int, last: int, grid: int) -> Box:
    """From cell to cell as the model was trained: whole cells along an axis on which the box is one cell wide (then
    along both), or else from centre to centre."""
    left, top = first % grid, first // grid
    right, bottom = last % grid, last // grid
    if left == right or top == bottom:
        return left / grid, top / grid, (right + 1) / grid, (bottom + 1) / grid
    return (left + 0.5) / grid, (top + 0.5) / grid, (right + 0.5) / grid, (bottom + 0.5) / grid


def grounded_regions(text: str, height: int, width: int, grid: int = GRID) -> list[Region2D]:
    """A region for each box of each phrase; corners in pixels, their fractions dropped (original).

    Boxes without an area (the second corner not below and to the right of the first) are left out: no point can be
    strictly inside.
    """
    regions = []
    for phrase, boxes in grounded_phrases(text, grid):
        for x_min, y_min, x_max, y_max in boxes:
            box = (int(x_min * width), int(y_min * height), int(x_max * width), int(y_max * height))
            if box[0] < box[2] and box[1] < box[3]:
                regions.append(Region2D(tuple(map(float, box)), phrase))
    return regions
