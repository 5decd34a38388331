"""Desks with their equipment, televisions, copiers."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.synthetic import palette
from regionzoo.scenes.synthetic.geometry import (
    WOOD,
    Piece,
)
from regionzoo.scenes.synthetic.palette import pick, shade
from regionzoo.scenes.synthetic.seating import chair, office_chair
from regionzoo.scenes.synthetic.small import small, strew
from regionzoo.scenes.synthetic.storage import fronts, screen


def desk(rng: np.random.Generator, side: int) -> Piece:
    """A table top at 0.73 m on a drawer block (on ``side``, -1 or 1) and a panel; usually a computer on it."""
    w, d, h = rng.uniform(1.1, 1.6), rng.uniform(0.6, 0.75), rng.uniform(0.71, 0.76)
    piece = Piece(w, d, h + 0.45)
    x, wood = w / 2, pick(rng, (*palette.WOODS, (210, 206, 198), (170, 170, 168)))
    solid = piece.new("desk").box((-x, 0, h - 0.04), (x, d, h), wood, WOOD, bottom=True)
    block = (x - 0.42, x - 0.01) if side > 0 else (-x + 0.01, -x + 0.42)
    solid.box((block[0], 0.04, 0), (block[1], d - 0.04, h - 0.04), shade(wood, 0.92), WOOD)
    fronts(solid, block, d - 0.04, (0.04, h - 0.05), (1, 3), shade(wood, 1.05), (60, 60, 60))
    panel = -side * (x - 0.02)
    solid.box((panel - 0.02, 0.03, 0), (panel + 0.02, d - 0.03, h - 0.04), wood, WOOD)
    solid.box((-x + 0.03, 0.05, 0.25), (x - 0.03, 0.07, h - 0.04), shade(wood, 0.9), WOOD)
    if rng.random() < 0.2:
        solid.box((-x, 0, h + 0.32), (x, 0.25, h + 0.36), wood, WOOD, bottom=True)
        solid.box((-x, 0, h), (-x + 0.03, 0.25, h + 0.32), wood, WOOD).box(
            (x - 0.03, 0, h), (x, 0.25, h + 0.32), wood, WOOD
        )
    _equip(piece, rng, w, d, h, -side)
    return piece


def _equip(piece: Piece, rng: np.random.Generator, w: float, d: float, h: float, seat_side: int) -> None:
    """What lies on and under a desk; the free knee room is on ``seat_side``."""
    x, at = w / 2, seat_side * 0.16 * w
    if rng.random() < 0.8:
        piece.put(small("monitor", rng), at, 0.08, h)
        if rng.random() < 0.25 and w > 1.35:
            piece.put(small("monitor", rng), at - seat_side * 0.62, 0.1, h, seat_side * 0.3)
        piece.put(small("keyboard", rng), at, d - 0.28, h)
        piece.put(small("mouse", rng), at + 0.3, d - 0.25, h)
        if rng.random() < 0.7:
            piece.put(small("computer tower", rng), seat_side * (x - 0.2), 0.1)
    else:
        piece.put(small("laptop", rng), at, d - 0.42, h)
    names = ("paper", "book", "cup", "telephone", "object", "headphones", "tissue box", "bottle", "printer", "speaker")
    area = (-x, 0.05, at - 0.42, d - 0.05) if seat_side > 0 else (at + 0.42, 0.05, x, d - 0.05)
    strew(piece, rng, area, h, (*names, "water bottle", "box", "cd case"), int(rng.integers(1, 5)))
    if rng.random() < 0.3:
        lamp = piece.new("lamp")
        lx = -seat_side * (x - 0.14)
        lamp.prism((lx, 0.14), h, h + 0.03, 0.08, (50, 50, 54), 8).box(
            (lx - 0.015, 0.12, h + 0.03), (lx + 0.015, 0.15, h + 0.42), (50, 50, 54)
        )
        lamp.prism((lx, 0.2), h + 0.36, h + 0.46, (0.09, 0.04), (60, 60, 64), 8)


def desk_with_chair(rng: np.random.Generator) -> Piece:
    """A desk with its office chair in front of the knee room."""
    side = 1 if rng.random() < 0.5 else -1
    core = desk(rng, side)
    reach = 0.5
    piece = Piece(core.width, core.depth + reach, core.height)
    piece.put(core, 0, 0)
    seat = (office_chair if rng.random() < 0.85 else chair)(rng)
    x = -side * 0.16 * core.width
    # The chair's back is away from the desk; about a third of it is under the top.
    piece.put(seat, x, core.depth + reach + rng.uniform(-0.12, 0.0), 0, np.pi + rng.uniform(-0.35, 0.35))
    return piece


def tv_stand(rng: np.random.Generator) -> Piece:
    """A low open board with a television."""
    w, d, h = rng.uniform(1.1, 1.6), rng.uniform(0.38, 0.46), rng.uniform(0.45, 0.58)
    piece = Piece(w, d, h + 0.75)
    x, wood = w / 2, pick(rng, (*palette.DARK_WOODS, *palette.DARKS, (200, 196, 188)))
    solid = piece.new("tv stand")
    solid.box((-x, 0, h - 0.04), (x, d, h), wood, WOOD).box((-x, 0, 0.05), (x, d, 0.09), wood, WOOD)
    for a in (-x, -0.015, x - 0.03):
        solid.box((a, 0, 0), (a + 0.03, d, h - 0.04), wood, WOOD)
    solid.quad((x, 0.01, 0), (-w, 0, 0), (0, 0, h), shade(wood, 0.7))
    screen(piece, rng.uniform(0.4, 0.55), h, 0.14)
    strew(
        piece, rng, (-x + 0.05, 0.05, x - 0.05, d), 0.09, ("box", "speaker", "object", "book", "cd case"), 2, h - 0.16
    )
    if w > 1.35:
        piece.put(small("speaker", rng), x - 0.14, 0.08, h)
    return piece


def printer_stand(rng: np.random.Generator) -> Piece:
    """A copier, or a printer on a stand."""
    piece = Piece(0.6, 0.58, 1.05)
    gray = pick(rng, ((205, 203, 196), (150, 152, 156)))
    if rng.random() < 0.5:
        solid = piece.new("copier").box((-0.3, 0, 0.02), (0.3, 0.58, 0.85), gray)
        solid.box((-0.3, 0, 0.85), (0.3, 0.5, 1.02), shade(gray, 0.6))
        fronts(solid, (-0.28, 0.28), 0.58, (0.06, 0.6), (1, 2), shade(gray, 1.05), (80, 80, 82))
        return piece
    solid = piece.new("stand")
    solid.box((-0.3, 0, 0.56), (0.3, 0.5, 0.6), pick(rng, palette.WOODS), WOOD).legs(
        (-0.3, 0.3), (0, 0.5), 0.56, 0.04, (80, 70, 60)
    )
    piece.put(small("printer", rng), 0, 0.04, 0.6)
    return piece
