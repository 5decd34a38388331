"""Colours of classes, and of values from low to high."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import matplotlib
import numpy as np

from regionzoo.classes import CLASS_SETS, class_set

NOTHING = (70, 70, 70)
"""Colour of points without a label."""
HEAT = "viridis"
"""Equal steps of the value look like equal steps, also without colour vision and in grey."""
GOLDEN = 0.618034


def class_colors(names: Sequence[str]) -> np.ndarray:
    """uint8 [C, 3]: the benchmarks' colour of a class that they know, else one of its own; no two are the same."""
    known = {}
    for entries in map(class_set, reversed(CLASS_SETS)):
        known |= dict(zip(entries.prompts, entries.colors, strict=True))
        known |= dict(zip(entries.names, entries.colors, strict=True))
    taken: set[tuple[int, int, int]] = {NOTHING}
    made = []
    for k, name in enumerate(names):
        color = known.get(name)
        turn = k
        while color is None or color in taken:
            # Steps of the golden ratio never come near an earlier hue; light and dark by turns.
            value = (0.95, 0.7)[turn % 2]
            color = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(turn * GOLDEN % 1, 0.65, value))
            turn += len(names)
        taken.add(color)
        made.append(color)
    return np.array(made, np.uint8)


def heat_colors(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8 [N, 3]: values from ``low`` or less to ``high`` or more; NaN is ``NOTHING``."""
    table = (matplotlib.colormaps[HEAT](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    share = (values - low) / max(high - low, np.finfo(np.float32).tiny)
    missing = np.isnan(share)
    shown = table[(np.where(missing, 0, share).clip(0, 1) * 255).round().astype(np.int64)]
    shown[missing] = NOTHING
    return shown


def faded(colors: np.ndarray) -> np.ndarray:
    """uint8 [N, 3]: a scan's own colours 0..255 as a light grey backdrop."""
    grey = colors.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.repeat((140 + 0.4 * grey)[:, None], 3, axis=1).clip(0, 255).astype(np.uint8)
