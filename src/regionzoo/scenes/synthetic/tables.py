"""Tables of all heights, alone and with chairs, and rugs."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.synthetic import palette
from regionzoo.scenes.synthetic.bedroom import lamp_small
from regionzoo.scenes.synthetic.geometry import (
    PATTERN,
    WOOD,
    Piece,
)
from regionzoo.scenes.synthetic.palette import pick, shade
from regionzoo.scenes.synthetic.seating import chair
from regionzoo.scenes.synthetic.small import strew


def end_table(rng: np.random.Generator) -> Piece:
    """A small side table on four legs."""
    s, h = rng.uniform(0.4, 0.52), rng.uniform(0.48, 0.58)
    piece = Piece(s, s, h)
    x, wood = s / 2, pick(rng, palette.WOODS)
    solid = piece.new("end table")
    solid.box((-x, 0, h - 0.05), (x, s, h), wood, WOOD, bottom=True).legs((-x, x), (0, s), h - 0.05, 0.045, wood)
    solid.box((-x + 0.05, 0.05, 0.14), (x - 0.05, s - 0.05, 0.17), wood, WOOD)
    if rng.random() < 0.5:
        piece.put(lamp_small(rng), 0, 0.08, h)
    else:
        strew(piece, rng, (-x, 0, x, s), h, ("book", "cup", "vase", "remote", "tissue box", "decoration"), 2)
    return piece


def coffee_table(rng: np.random.Generator) -> Piece:
    """A low table."""
    piece = Piece(rng.uniform(0.85, 1.15), rng.uniform(0.5, 0.62), rng.uniform(0.38, 0.46))
    x, d, h, wood = piece.width / 2, piece.depth, piece.height, pick(rng, palette.WOODS)
    solid = piece.new("coffee table")
    solid.box((-x, 0, h - 0.06), (x, d, h), wood, WOOD, bottom=True).legs((-x, x), (0, d), h - 0.06, 0.06, wood)
    solid.box((-x + 0.06, 0.06, 0.1), (x - 0.06, d - 0.06, 0.13), wood, WOOD)
    names = ("book", "cup", "remote", "magazine", "vase", "bowl", "bottle", "laptop", "candle", "tray", "object")
    strew(piece, rng, (-x, 0, x, d), h, names, int(rng.integers(1, 5)))
    return piece


def table(rng: np.random.Generator, category: str = "table", long: bool = False) -> Piece:
    """A table on four legs or a pedestal with things on it (without chairs)."""
    w = rng.uniform(1.25, 1.7) if long else rng.uniform(0.8, 1.2)
    d, h = rng.uniform(0.72, 0.9), rng.uniform(0.71, 0.77)
    piece = Piece(w, d, h)
    x, wood = w / 2, pick(rng, (*palette.WOODS, (224, 222, 216)))
    solid = piece.new(category)
    if not long and rng.random() < 0.4:
        r = d / 2
        piece.width = 2 * r
        x = r * 0.7
        solid.prism((0, r), h - 0.045, h, r, wood, 12)
        solid.prism((0, r), 0.05, h - 0.045, 0.05, shade(wood, 0.8), 8).prism((0, r), 0, 0.05, 0.3, shade(wood, 0.8), 8)
        area = (-x, r - x, x, r + x)
    else:
        solid.box((-x, 0, h - 0.045), (x, d, h), wood, WOOD, bottom=True).legs((-x, x), (0, d), h - 0.045, 0.065, wood)
        area = (-x, 0, x, d)
    names = ("cup", "plate", "bowl", "bottle", "book", "vase", "laptop", "water bottle", "paper", "box", "tray", "bag")
    strew(piece, rng, area, h, names, int(rng.integers(1, 6)))
    return piece


def table_with_chairs(rng: np.random.Generator, category: str = "table") -> Piece:
    """A table and two to six chairs of one kind, pushed partly under it."""
    long = category == "dining table" or rng.random() < 0.5
    core = table(rng, category, long)
    margin = 0.38
    piece = Piece(core.width + (2 * margin if not long else 0.1), core.depth + 2 * margin, 0.98)
    piece.put(core, 0, margin)
    kind = int(rng.integers(1 << 30))
    per_side = 2 if long and core.width > 1.2 else 1
    seats = [((k - (per_side - 1) / 2) * core.width / per_side, side) for side in (0, 1) for k in range(per_side)]
    for x, side in seats:
        if rng.random() < 0.12:
            continue
        seat = chair(np.random.default_rng(kind))
        slip, turn = rng.uniform(0.0, 0.08), rng.uniform(-0.2, 0.2)
        # Chairs look at the table: their back is on the outer side.
        if side == 0:
            piece.put(seat, x, 0.02 + slip, 0, turn)
        else:
            piece.put(seat, x, piece.depth - 0.02 - slip, 0, np.pi + turn)
    return piece


def rug(rng: np.random.Generator) -> Piece:
    """A thin mat on the floor."""
    piece = Piece(rng.uniform(0.6, 1.3), rng.uniform(0.5, 0.9), 0.015)
    x = piece.width / 2
    solid = piece.new("mat" if rng.random() < 0.7 else "rug")
    solid.box((-x, 0, 0), (x, piece.depth, 0.015), pick(rng, palette.FABRICS), PATTERN)
    return piece
