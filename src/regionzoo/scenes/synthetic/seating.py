"""Sofas, chairs and other seats."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.synthetic import palette
from regionzoo.scenes.synthetic.geometry import (
    CARPET,
    PATTERN,
    PLAIN,
    STRIPES,
    WOOD,
    Color,
    Piece,
)
from regionzoo.scenes.synthetic.palette import pick, shade


def sofa(rng: np.random.Generator) -> Piece:
    """A couch for two or three with loose cushions."""
    w = rng.uniform(1.6, 2.2)
    piece = Piece(w, rng.uniform(0.82, 0.95), rng.uniform(0.78, 0.92))
    color, arm = pick(rng, palette.FABRICS), rng.uniform(0.16, 0.24)
    _upholstered(piece, "couch", rng, color, arm, 3 if w > 1.9 else 2)
    for side in (-1, 1):
        if rng.random() < 0.5:
            name = "pillow" if rng.random() < 0.5 else "cushion"
            soft = piece.new(name)
            x = side * (w / 2 - arm - 0.24)
            soft.box(
                (x - 0.21, 0.36, 0.44), (x + 0.21, 0.48, 0.80), pick(rng, palette.BRIGHTS), PATTERN, lean=(0, -0.08)
            )
    if rng.random() < 0.2:
        spread(piece, rng, (-0.3, 0.3), (0.32, piece.depth), 0.47)
    return piece


def armchair(rng: np.random.Generator) -> Piece:
    """An upholstered chair for one."""
    piece = Piece(rng.uniform(0.78, 0.92), rng.uniform(0.78, 0.9), rng.uniform(0.82, 0.98))
    name = "armchair" if rng.random() < 0.6 else "sofa chair"
    _upholstered(piece, name, rng, pick(rng, palette.FABRICS), rng.uniform(0.11, 0.15), 1)
    return piece


def _upholstered(
    piece: Piece, category: str, rng: np.random.Generator, color: Color, arm: float, cushions: int
) -> None:
    """Seat, back and two arms over the whole footprint of the piece."""
    w, d, h = piece.width, piece.depth, piece.height
    solid = piece.new(category)
    texture = (PLAIN, CARPET, STRIPES)[int(rng.integers(3))]
    seat, back = rng.uniform(0.40, 0.46), rng.uniform(0.20, 0.26)
    x = w / 2
    solid.box((-x + arm, back, 0.06), (x - arm, d, seat - 0.12), shade(color, 0.85), texture)
    inner = (w - 2 * arm) / cushions
    for k in range(cushions):
        a = -x + arm + k * inner
        solid.box((a + 0.005, back, seat - 0.12), (a + inner - 0.005, d + 0.0, seat), shade(color, 1.05), texture)
        solid.box((a + 0.005, 0.12, seat), (a + inner - 0.005, back + 0.08, h - 0.04), color, texture, lean=(0, -0.05))
    solid.box((-x + arm, 0, 0.04), (x - arm, 0.14, h), shade(color, 0.9), texture)
    if arm:
        top = rng.uniform(0.58, 0.66)
        for a in (-x, x - arm):
            solid.box((a, 0, 0.04), (a + arm, d, top), shade(color, 0.95), texture)


def chair(rng: np.random.Generator) -> Piece:
    """A four-legged chair with a back of slats or a board."""
    w, d, h = rng.uniform(0.42, 0.48), rng.uniform(0.44, 0.5), rng.uniform(0.82, 0.98)
    piece = Piece(w, d, h)
    wood = pick(rng, palette.WOODS)
    solid = piece.new("chair")
    x, seat = w / 2, rng.uniform(0.43, 0.47)
    solid.legs((-x, x), (0, d), seat - 0.05, 0.045, wood)
    solid.box((-x, 0, seat - 0.05), (x, d, seat), wood if rng.random() < 0.5 else pick(rng, palette.FABRICS))
    for a in (-x, x - 0.045):
        solid.box((a, 0, seat), (a + 0.045, 0.045, h), wood, lean=(0, -0.03))
    if rng.random() < 0.5:
        solid.box((-x, 0.0, h - 0.34), (x, 0.03, h), wood, bottom=True, lean=(0, -0.03))
    else:
        for z in np.arange(seat + 0.12, h - 0.05, 0.15):
            solid.box((-x, 0.0, z), (x, 0.03, z + 0.08), wood, bottom=True, lean=(0, -0.01))
    return piece


def folded_chair(rng: np.random.Generator) -> Piece:
    """A folding chair that leans on a wall."""
    piece = Piece(0.46, 0.2, 0.9)
    piece.new("folded chair").box((-0.22, 0.1, 0.0), (0.22, 0.15, 0.88), pick(rng, palette.METALS), lean=(0, -0.09))
    return piece


def office_chair(rng: np.random.Generator) -> Piece:
    """A swivel chair: star foot, column, seat, back, mostly dark."""
    w, d, h = rng.uniform(0.56, 0.62), rng.uniform(0.56, 0.62), rng.uniform(0.9, 1.08)
    piece = Piece(w, d, h)
    cloth = pick(rng, (*palette.DARKS, (60, 70, 100), (70, 70, 74)))
    solid = piece.new("office chair")
    c, foot = (0.0, d / 2), pick(rng, ((40, 40, 42), (120, 122, 126)))
    solid.box((-0.27, d / 2 - 0.03, 0.04), (0.27, d / 2 + 0.03, 0.09), foot)
    solid.box((-0.03, d / 2 - 0.27, 0.04), (0.03, d / 2 + 0.27, 0.09), foot)
    solid.prism(c, 0.09, 0.42, 0.035, foot, 6)
    solid.box((-0.24, 0.08, 0.42), (0.24, d - 0.03, 0.51), cloth, bottom=True)
    solid.box((-0.22, 0.02, 0.58), (0.22, 0.09, h), cloth, bottom=True, lean=(0, -0.02))
    solid.box((-0.03, 0.03, 0.45), (0.03, 0.08, 0.6), foot)
    if rng.random() < 0.6:
        for x in (-0.29, 0.24):
            solid.box((x, 0.14, 0.62), (x + 0.05, 0.42, 0.66), foot, bottom=True)
            solid.box((x, 0.2, 0.45), (x + 0.05, 0.26, 0.62), foot)
    return piece


def stool(rng: np.random.Generator) -> Piece:
    """A round seat on a column."""
    r, h = rng.uniform(0.16, 0.2), rng.uniform(0.45, 0.75)
    piece = Piece(2 * r, 2 * r, h)
    solid = piece.new("stool")
    solid.prism((0, r), 0, 0.03, r * 0.9, pick(rng, palette.METALS), 8)
    solid.prism((0, r), 0.03, h - 0.07, 0.03, pick(rng, palette.METALS), 6)
    solid.prism((0, r), h - 0.07, h, r, pick(rng, palette.FABRICS), 10)
    return piece


def ottoman(rng: np.random.Generator) -> Piece:
    """A low upholstered block."""
    piece = Piece(rng.uniform(0.5, 0.75), rng.uniform(0.45, 0.6), rng.uniform(0.36, 0.44))
    x = piece.width / 2
    color = pick(rng, palette.FABRICS)
    solid = piece.new("ottoman")
    solid.box((-x, 0, 0.05), (x, piece.depth, piece.height), color, CARPET)
    return piece


def bench(rng: np.random.Generator) -> Piece:
    """A long wooden seat without a back."""
    piece = Piece(rng.uniform(1.0, 1.4), rng.uniform(0.34, 0.42), 0.46)
    x, wood = piece.width / 2, pick(rng, palette.DARK_WOODS)
    solid = piece.new("bench")
    solid.box((-x, 0, 0.4), (x, piece.depth, 0.46), wood, WOOD)
    for a in (-x + 0.08, x - 0.14):
        solid.box((a, 0.03, 0), (a + 0.06, piece.depth - 0.03, 0.4), wood, WOOD)
    return piece


def spread(piece: Piece, rng: np.random.Generator, x: tuple[float, float], y: tuple[float, float], z: float) -> None:
    """A blanket that lies on something and hangs over its front."""
    color = pick(rng, palette.LINEN + palette.FABRICS)
    blanket = piece.new("blanket")
    blanket.box((x[0], y[0], z), (x[1], y[1] + 0.015, z + 0.03), color, PATTERN)
    blanket.quad((x[1], y[1] + 0.015, z - 0.22), (x[0] - x[1], 0, 0), (0, 0, 0.24), color, PATTERN)
