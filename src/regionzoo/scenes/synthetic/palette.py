"""Colours of materials, varied between instances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from regionzoo.scenes.synthetic.geometry import Color

WOODS: tuple[Color, ...] = ((150, 105, 65), (120, 78, 46), (178, 136, 90), (96, 62, 42), (196, 160, 118))
DARK_WOODS: tuple[Color, ...] = ((96, 62, 42), (78, 52, 38), (112, 72, 48))
FABRICS: tuple[Color, ...] = (
    (150, 60, 52),
    (88, 104, 140),
    (122, 118, 92),
    (165, 140, 105),
    (96, 90, 92),
    (70, 112, 104),
    (176, 120, 66),
)
LINEN: tuple[Color, ...] = ((226, 222, 214), (205, 190, 168), (176, 196, 214), (214, 176, 170), (190, 206, 180))
METALS: tuple[Color, ...] = ((150, 152, 156), (176, 178, 182), (120, 122, 128))
DARKS: tuple[Color, ...] = ((38, 38, 42), (52, 52, 58), (30, 34, 44))
CERAMICS: tuple[Color, ...] = ((240, 240, 236), (232, 230, 222), (236, 240, 242))
BRIGHTS: tuple[Color, ...] = (
    (200, 60, 50),
    (50, 100, 180),
    (230, 180, 50),
    (60, 150, 90),
    (150, 80, 150),
    (230, 120, 60),
    (90, 180, 190),
)
CARDBOARD: tuple[Color, ...] = ((178, 140, 98), (190, 152, 108), (160, 122, 84))
WALLS: tuple[Color, ...] = (
    (222, 218, 206),
    (232, 230, 224),
    (206, 212, 214),
    (224, 210, 182),
    (200, 208, 190),
    (214, 200, 196),
)


def pick(rng: np.random.Generator, colors: Sequence[Color], spread: float = 10.0) -> Color:
    """One of ``colors``, moved a little in brightness and tint."""
    base = colors[int(rng.integers(len(colors)))]
    shift = rng.normal(0, spread * 0.7) + rng.normal(0, spread * 0.4, 3)
    r, g, b = (float(min(max(c + d, 5), 250)) for c, d in zip(base, shift, strict=True))
    return (r, g, b)


def shade(color: Color, factor: float) -> Color:
    """The colour made darker (factor < 1) or lighter."""
    r, g, b = (min(c * factor, 255.0) for c in color)
    return (r, g, b)
