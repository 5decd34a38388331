"""A legend that can be looked at: the scan in its own colours beside the scan in those of its labels or values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from regionzoo.artifacts import atomic_path
from regionzoo.report.picture_page import Entry, Panel, compose
from regionzoo.report.point_view import View, view

MOST = 400_000
"""Points that are drawn; of larger clouds, every n-th."""
WIDTH, HEIGHT, FINE = 600, 560, 2


def draw_legend(
    path: Path,
    coords: np.ndarray,
    colors: np.ndarray,
    shown: np.ndarray,
    groups: np.ndarray,
    thin: np.ndarray,
    legend: Sequence[Entry],
    title: str,
    caption: str,
) -> None:
    """Write the sheet as PNG.

    coords: float [n, 3], finite. colors: [n, 3] of the scan, 0..255. shown: uint8 [n, 3], what is to be seen. groups:
    int [n]: the side is chosen that shows most of them. thin: bool [n], walls, which are cut away at the front.
    """
    coords = coords.astype(np.float64)
    seen = view(coords - coords.mean(axis=0), thin, groups, WIDTH * FINE, HEIGHT * FINE)
    panels = (Panel("Colours of the scan", _image(colors, seen)), Panel(title, _image(shown, seen)))
    page = compose(path.stem.removesuffix(".legend"), "", panels, legend, caption)
    with atomic_path(path) as temporary:
        page.save(temporary, format="PNG", compress_level=6)


def sample(count: int) -> slice:
    """Every n-th of ``count`` points, so that at most ``MOST`` are drawn."""
    return slice(None, None, max(1, -(-count // MOST)))


def _image(colors: np.ndarray, seen: View) -> Image.Image:
    image = colors.astype(np.float32)[seen.point] * seen.shade[..., None]
    image[seen.point < 0] = 255
    size = max(1, image.shape[1] // FINE), max(1, image.shape[0] // FINE)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8)).resize(size, Image.Resampling.BOX)
