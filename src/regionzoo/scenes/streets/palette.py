"""Colours and reflectances of what things are made of."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.streets.things import BRICKS, LEAVES, STRIPES, WINDOWS, Finish, Triple

RUBBER = Finish((30, 30, 32), 0.04)
GLASS = Finish((48, 58, 68), 0.03)
CHROME = Finish((150, 152, 156), 0.3)
DARK = Finish((52, 52, 56), 0.08)
STEEL = Finish((122, 126, 130), 0.22)
PLATE = Finish((225, 220, 190), 0.95)
LAMP = Finish((240, 235, 215), 0.7)
TAIL_LAMP = Finish((150, 25, 25), 0.6)
BARK = Finish((86, 68, 52), 0.18)
WOOD = Finish((140, 108, 74), 0.25)
CONCRETE = Finish((168, 166, 160), 0.28)
ORANGE = Finish((232, 98, 28), 0.35)
REFLECTOR = Finish((238, 236, 230), 0.85)
STRIPED = Finish((222, 60, 44), 0.55, STRIPES)
YELLOW = Finish((226, 172, 36), 0.3)
EARTH = Finish((122, 96, 70), 0.16)

_CAR = ((235, 235, 235), (190, 192, 196), (110, 114, 120), (34, 34, 38), (150, 26, 30), (36, 62, 120), (60, 90, 84))
_CLOTH = ((40, 44, 60), (90, 30, 36), (200, 200, 196), (60, 90, 140), (150, 120, 60), (30, 30, 32), (190, 90, 120))
_SKIN = ((222, 180, 150), (196, 148, 112), (150, 104, 76), (104, 72, 54))
_WALL = ((186, 164, 138), (150, 96, 78), (200, 196, 186), (128, 132, 138), (214, 198, 162), (164, 140, 120))


def _near(rng: np.random.Generator, colors: tuple[Triple, ...], spread: float) -> Triple:
    red, green, blue = np.clip(np.array(colors[rng.integers(len(colors))]) + rng.normal(0, spread, 3), 5, 250)
    return (float(red), float(green), float(blue))


def paint(rng: np.random.Generator) -> Finish:
    """A car's paint; dark ones return little light."""
    color = _near(rng, _CAR, 10)
    return Finish(color, 0.05 + 0.3 * sum(color) / 765)


def cloth(rng: np.random.Generator) -> Finish:
    """Clothes."""
    return Finish(_near(rng, _CLOTH, 22), float(rng.uniform(0.08, 0.4)))


def skin(rng: np.random.Generator) -> Finish:
    """A face."""
    return Finish(_near(rng, _SKIN, 6), 0.3)


def wall(rng: np.random.Generator) -> Finish:
    """A front with windows."""
    return Finish(_near(rng, _WALL, 12), float(rng.uniform(0.15, 0.35)), WINDOWS)


def bricks(rng: np.random.Generator) -> Finish:
    """A wall without windows."""
    return Finish(_near(rng, _WALL, 12), float(rng.uniform(0.15, 0.35)), BRICKS)


def leaves(rng: np.random.Generator, soft: float = 0.6) -> Finish:
    """Foliage."""
    red, green, blue = rng.uniform(40, 84), rng.uniform(84, 128), rng.uniform(30, 60)
    return Finish((red, green, blue), float(rng.uniform(0.18, 0.32)), LEAVES, soft)
