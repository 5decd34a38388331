"""Boxes that are a little off."""

from __future__ import annotations

import numpy as np

from regionzoo.captions.captioner import Box


def jitter(box: Box, shape: tuple[int, int], noise: np.ndarray) -> Box:
    """Move the edges by shares of the box' size and keep the result inside the image and not inverted.

    shape: height and width of the image. noise: float64 [4], of left, top, right and bottom.
    """
    x_min, y_min, x_max, y_max = box
    height, width = shape
    along_x, along_y = x_max - x_min, y_max - y_min
    left, right = np.clip(sorted((x_min + noise[0] * along_x, x_max + noise[2] * along_x)), 0, width)
    top, bottom = np.clip(sorted((y_min + noise[1] * along_y, y_max + noise[3] * along_y)), 0, height)
    return float(left), float(top), float(right), float(bottom)
