"""Flat things on walls and cloth that hangs."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.synthetic import palette
from regionzoo.scenes.synthetic.geometry import (
    PATTERN,
    PLAIN,
    STRIPES,
    Piece,
)
from regionzoo.scenes.synthetic.palette import pick, shade

# width, height, thickness, frame or body colours, texture of the body, colours of the inside
HUNG = {
    "picture": (
        (0.4, 0.9),
        (0.35, 0.7),
        0.035,
        (*palette.DARK_WOODS, *palette.DARKS, (200, 170, 90)),
        PLAIN,
        (*palette.BRIGHTS, (190, 180, 150)),
    ),
    "poster": ((0.5, 0.8), (0.6, 0.9), 0.012, palette.BRIGHTS, PATTERN, palette.BRIGHTS),
    "whiteboard": ((1.2, 1.9), (0.8, 1.1), 0.03, palette.METALS, PLAIN, ((246, 248, 248),)),
    "blackboard": ((1.3, 1.9), (0.9, 1.1), 0.03, palette.WOODS, PLAIN, ((40, 60, 52),)),
    "bulletin board": ((0.8, 1.2), (0.6, 0.9), 0.025, palette.WOODS, PLAIN, ((186, 146, 100),)),
    "calendar": ((0.3, 0.36), (0.4, 0.5), 0.012, ((240, 240, 236),), PLAIN, ((220, 215, 205),)),
    "clock": ((0.26, 0.34), (0.26, 0.34), 0.04, ((60, 60, 60), (150, 40, 40), (120, 90, 60)), PLAIN, ()),
    "mirror": ((0.45, 0.7), (1.0, 1.4), 0.03, ((180, 198, 208), (194, 210, 216)), PLAIN, ()),
    "tv": ((0.9, 1.2), (0.52, 0.68), 0.06, ((24, 24, 28),), PLAIN, ()),
    "light switch": ((0.09, 0.12), (0.12, 0.14), 0.015, ((240, 238, 232),), PLAIN, ()),
    "power outlet": ((0.09, 0.12), (0.12, 0.14), 0.015, ((236, 234, 228),), PLAIN, ()),
    "fire alarm": ((0.12, 0.16), (0.14, 0.18), 0.06, ((200, 40, 36),), PLAIN, ()),
    "paper towel dispenser": ((0.28, 0.34), (0.36, 0.44), 0.2, palette.METALS, PLAIN, ()),
    "vent": ((0.4, 0.6), (0.25, 0.35), 0.02, ((214, 214, 210),), STRIPES, ()),
    "sign": ((0.25, 0.4), (0.2, 0.3), 0.015, palette.BRIGHTS, PLAIN, ()),
    "projector screen": ((1.4, 1.8), (1.1, 1.4), 0.03, ((236, 236, 234),), PLAIN, ()),
}


def hung(category: str):
    """A maker of flat things on walls; the piece's height is its own, the layout chooses where it hangs."""

    def make(rng: np.random.Generator) -> Piece:
        spec = HUNG[category]
        w, h, t = rng.uniform(*spec[0]), rng.uniform(*spec[1]), spec[2]
        piece, color = Piece(w, t, h), pick(rng, spec[3])
        x = w / 2
        if category == "clock":
            piece.new(category).quad((x, t, 0), (-w, 0, 0), (0, 0, w), (236, 234, 228), shape=2).quad(
                (x * 0.9, t + 0.004, w * 0.05), (-w * 0.9, 0, 0), (0, 0, w * 0.9), color, shape=2
            )
            return piece
        solid = piece.new(category).box((-x, 0, 0), (x, t, h), color, spec[4], bottom=True)
        if category in ("picture", "whiteboard", "bulletin board", "blackboard", "calendar", "poster"):
            m = 0.03 if category != "poster" else 0.0
            inner = pick(rng, spec[5])
            texture = PATTERN if category in ("picture", "poster", "bulletin board", "calendar") else PLAIN
            solid.quad((x - m, t + 0.004, m), (-w + 2 * m, 0, 0), (0, 0, h - 2 * m), inner, texture, two_sided=False)
        elif category == "tv":
            solid.quad((x - 0.02, t + 0.004, 0.02), (-w + 0.04, 0, 0), (0, 0, h - 0.04), (36, 40, 48), two_sided=False)
        return piece

    return make


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
