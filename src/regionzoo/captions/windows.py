"""Sliding windows over an image, placed as the original places them (its caption source ``sw``)."""

from __future__ import annotations

from regionzoo.captions.captioner import Box

WINDOW_SIZE = (400, 500)
"""Height and width of a window in pixels of the colour image (original)."""

WINDOW_STRIDE = (280, 350)
"""Rows and columns between the starts of windows: 0.7 of the size, an overlap of 0.3 (original)."""


def window_starts(length: int, size: int, stride: int) -> list[int]:
    """First pixels of the windows along one axis of ``length`` pixels.

    0, stride, 2 * stride, ... below ``length - size - 1``, and ``length - size - 1`` itself if more than half a window
    is left behind the last of them. So less than half a window of pixels at the far edge, and always the last one, is
    in no window. An axis with no room for that, ``length <= size + 1``, has one window from 0; the original ends
    with an error there.
    """
    last = length - size - 1
    starts = list(range(0, last, stride)) or [0]
    if length - starts[-1] - size > size / 2:
        starts.append(last)
    return starts


def sliding_windows(
    height: int, width: int, size: tuple[int, int] = WINDOW_SIZE, stride: tuple[int, int] = WINDOW_STRIDE
) -> list[Box]:
    """Windows of an image in rows from the top left, each (x_min, y_min, x_max, y_max) in whole pixels.

    size, stride: rows and columns. ``image[y_min:y_max, x_min:x_max]`` is the window's crop. An image smaller than a
    window along an axis is covered whole along it.
    """
    return [
        (x, y, min(x + size[1], width), min(y + size[0], height))
        for y in window_starts(height, size[0], stride[0])
        for x in window_starts(width, size[1], stride[1])
    ]
