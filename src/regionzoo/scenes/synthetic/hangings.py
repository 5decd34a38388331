"""Flat things on walls and cloth that hangs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.synthetic import palette
from regionzoo.scenes.synthetic.geometry import (
    DISC,
    PATTERN,
    PLAIN,
    STRIPES,
    Color,
    Piece,
)
from regionzoo.scenes.synthetic.palette import pick, shade


@dataclass(frozen=True)
class Flat:
    """A flat thing: sizes in metres, colours and texture of its body, and what a frame of it holds, if it is one."""

    width: tuple[float, float]
    height: tuple[float, float]
    thickness: float
    colors: Sequence[Color]
    texture: int = PLAIN
    inside: Sequence[Color] = ()
    inside_texture: int = PLAIN
    margin: float = 0.03


_FRAMES = (*palette.DARK_WOODS, *palette.DARKS, (200, 170, 90))
_PAINTINGS = (*palette.BRIGHTS, (190, 180, 150))

HUNG: dict[str, Flat] = {
    "picture": Flat((0.4, 0.9), (0.35, 0.7), 0.035, _FRAMES, PLAIN, _PAINTINGS, PATTERN),
    "poster": Flat((0.5, 0.8), (0.6, 0.9), 0.012, palette.BRIGHTS, PATTERN, palette.BRIGHTS, PATTERN, 0.0),
    "whiteboard": Flat((1.2, 1.9), (0.8, 1.1), 0.03, palette.METALS, PLAIN, ((246, 248, 248),)),
    "blackboard": Flat((1.3, 1.9), (0.9, 1.1), 0.03, palette.WOODS, PLAIN, ((40, 60, 52),)),
    "bulletin board": Flat((0.8, 1.2), (0.6, 0.9), 0.025, palette.WOODS, PLAIN, ((186, 146, 100),), PATTERN),
    "calendar": Flat((0.3, 0.36), (0.4, 0.5), 0.012, ((240, 240, 236),), PLAIN, ((220, 215, 205),), PATTERN),
    "clock": Flat((0.26, 0.34), (0.26, 0.34), 0.04, ((60, 60, 60), (150, 40, 40), (120, 90, 60))),
    "mirror": Flat((0.45, 0.7), (1.0, 1.4), 0.03, ((180, 198, 208), (194, 210, 216))),
    "tv": Flat((0.9, 1.2), (0.52, 0.68), 0.06, ((24, 24, 28),), PLAIN, ((36, 40, 48),), margin=0.02),
    "light switch": Flat((0.09, 0.12), (0.12, 0.14), 0.015, ((240, 238, 232),)),
    "power outlet": Flat((0.09, 0.12), (0.12, 0.14), 0.015, ((236, 234, 228),)),
    "fire alarm": Flat((0.12, 0.16), (0.14, 0.18), 0.06, ((200, 40, 36),)),
    "paper towel dispenser": Flat((0.28, 0.34), (0.36, 0.44), 0.2, palette.METALS),
    "vent": Flat((0.4, 0.6), (0.25, 0.35), 0.02, ((214, 214, 210),), STRIPES),
    "sign": Flat((0.25, 0.4), (0.2, 0.3), 0.015, palette.BRIGHTS),
    "projector screen": Flat((1.4, 1.8), (1.1, 1.4), 0.03, ((236, 236, 234),)),
}


def hung(category: str, rng: np.random.Generator) -> Piece:
    """One flat thing of the table, its lower edge at z = 0: the layout chooses where it hangs."""
    spec = HUNG[category]
    w, h, t = rng.uniform(*spec.width), rng.uniform(*spec.height), spec.thickness
    piece, color, x = Piece(w, t, h), pick(rng, spec.colors), w / 2
    solid = piece.new(category)
    if category == "clock":
        solid.quad((x, t, 0), (-w, 0, 0), (0, 0, w), color, shape=DISC)
        face, m = (236, 234, 228), 0.1 * x
        solid.quad((x - m, t + 0.004, m), (2 * m - w, 0, 0), (0, 0, w - 2 * m), face, shape=DISC)
        return piece
    solid.box((-x, 0, 0), (x, t, h), color, spec.texture, bottom=True)
    if spec.inside:
        m, inner = spec.margin, pick(rng, spec.inside)
        corner, across, up = (x - m, t + 0.004, m), (2 * m - w, 0.0, 0.0), (0.0, 0.0, h - 2 * m)
        solid.quad(corner, across, up, inner, spec.inside_texture, two_sided=False)
    return piece


def towel(rng: np.random.Generator) -> Piece:
    """A towel on a bar."""
    piece, h = Piece(0.55, 0.08, 0.65), 0.6
    w = rng.uniform(0.3, 0.5)
    piece.new("towel").box(
        (-w / 2, 0.03, 0), (w / 2, 0.07, h), pick(rng, palette.LINEN + palette.FABRICS), STRIPES, bottom=True
    )
    piece.new(None).box((-0.27, 0.0, h), (0.27, 0.04, h + 0.02), (180, 182, 186))
    return piece


def drape(piece: Piece, category: str, x0: float, width: float, y: float, z: tuple[float, float], color) -> None:
    """Hang a cloth in folds: a zigzag of upright strips from x0 over ``width`` at distance ``y`` from the wall."""
    folds = max(4, int(width / 0.075))
    step = width / folds
    solid = piece.new(category)
    for k in range(folds):
        a, b = (-0.03, 0.03) if k % 2 == 0 else (0.03, -0.03)
        origin = (x0 + k * step, y + a, z[0])
        solid.quad(origin, (step, b - a, 0), (0, 0, z[1] - z[0]), shade(color, 1.0 if k % 2 == 0 else 0.88), part=0)
    solid.parts = max(solid.parts, 1)
