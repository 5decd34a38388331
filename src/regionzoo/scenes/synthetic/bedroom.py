"""Beds, nightstands and lamps."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.synthetic import palette
from regionzoo.scenes.synthetic.geometry import (
    PATTERN,
    STRIPES,
    WOOD,
    Piece,
)
from regionzoo.scenes.synthetic.palette import pick, shade
from regionzoo.scenes.synthetic.seating import spread
from regionzoo.scenes.synthetic.small import strew


def bed(rng: np.random.Generator) -> Piece:
    """Frame, mattress, headboard, pillows and often a blanket; the head is at the wall."""
    w, d = float(rng.choice([0.98, 1.4, 1.6])) + rng.uniform(-0.04, 0.04), rng.uniform(1.95, 2.08)
    top, head = rng.uniform(0.46, 0.58), rng.uniform(0.9, 1.15)
    piece = Piece(w, d, head)
    x, wood, sheet = w / 2, pick(rng, palette.WOODS), pick(rng, palette.LINEN)
    solid = piece.new("bed")
    solid.box((-x, 0, 0), (x, 0.06, head), wood, WOOD)
    solid.box((-x, 0.06, 0.08), (x, d, top - 0.2), wood, WOOD)
    solid.box((-x + 0.02, 0.06, top - 0.2), (x - 0.02, d - 0.02, top), sheet)
    cover = pick(rng, palette.LINEN + palette.FABRICS)
    if rng.random() < 0.5:
        spread(piece, rng, (-x - 0.01, x + 0.01), (1.0, d), top)
    else:
        solid.box((-x, 0.75, top - 0.16), (x, d + 0.01, top + 0.05), cover, PATTERN)
    for k in range(1 if w < 1.2 else 2):
        at = 0.0 if w < 1.2 else (k - 0.5) * w / 2
        pillow = piece.new("pillow")
        pillow.box((at - 0.3, 0.1, top), (at + 0.3, 0.5, top + 0.13), pick(rng, palette.LINEN), lean=(0, -0.03))
    if rng.random() < 0.3:
        strew(
            piece,
            rng,
            (-x + 0.1, 1.0, x - 0.1, d - 0.2),
            top + 0.05,
            ("clothes", "stuffed animal", "book", "bag", "laptop"),
            2,
        )
    return piece


def bed_with_nightstands(rng: np.random.Generator) -> Piece:
    """A bed and a nightstand on one or both sides."""
    core, stand = bed(rng), nightstand(rng)
    both = rng.random() < 0.4
    gap = 0.05
    extra = stand.width + gap
    piece = Piece(core.width + extra * (2 if both else 1), core.depth, core.height)
    shift = 0.0 if both else -extra / 2
    piece.put(core, shift, 0)
    piece.put(stand, shift + core.width / 2 + gap + stand.width / 2, 0)
    if both:
        piece.put(nightstand(rng), shift - core.width / 2 - gap - stand.width / 2, 0)
    return piece


def mattress(rng: np.random.Generator) -> Piece:
    """A bare mattress on the floor."""
    piece = Piece(rng.uniform(0.9, 1.2), rng.uniform(1.85, 2.0), 0.24)
    x = piece.width / 2
    piece.new("mattress").box((-x, 0, 0), (x, piece.depth, 0.22), pick(rng, palette.LINEN), STRIPES)
    piece.new("pillow").box((-0.28, 0.06, 0.22), (0.28, 0.42, 0.32), pick(rng, palette.LINEN))
    return piece


def nightstand(rng: np.random.Generator) -> Piece:
    """A low chest with drawers and usually a lamp."""
    piece = Piece(rng.uniform(0.4, 0.52), rng.uniform(0.36, 0.44), rng.uniform(0.5, 0.62))
    x, d, h, wood = piece.width / 2, piece.depth, piece.height, pick(rng, palette.WOODS)
    solid = piece.new("nightstand")
    solid.box((-x, 0, 0), (x, d, h), wood, WOOD)
    for z in (0.1, h / 2 + 0.03):
        solid.box((-x + 0.03, d, z), (x - 0.03, d + 0.012, z + h / 2 - 0.1), shade(wood, 1.12), WOOD)
        solid.box((-0.05, d + 0.012, z + 0.1), (0.05, d + 0.03, z + 0.13), (60, 56, 52))
    if rng.random() < 0.75:
        piece.put(lamp_small(rng), 0, 0.03, h)
    else:
        strew(piece, rng, (-x, 0.0, x, d), h, ("book", "alarm clock", "cup", "tissue box", "telephone"), 2)
    return piece


def lamp_small(rng: np.random.Generator) -> Piece:
    """A table lamp with a conical shade."""
    h, r = rng.uniform(0.38, 0.55), rng.uniform(0.11, 0.16)
    piece = Piece(2 * r, 2 * r, h)
    solid = piece.new("lamp")
    solid.prism((0, r), 0, 0.03, 0.07, pick(rng, palette.METALS), 8).prism(
        (0, r), 0.03, 0.55 * h, 0.02, (110, 90, 70), 6
    )
    solid.prism((0, r), 0.55 * h, h, (r, 0.6 * r), pick(rng, ((240, 226, 180), (232, 214, 190))), 10)
    return piece


def lamp_floor(rng: np.random.Generator) -> Piece:
    """A standing lamp."""
    h, r = rng.uniform(1.4, 1.7), rng.uniform(0.17, 0.23)
    piece = Piece(2 * r, 2 * r, h)
    solid = piece.new("lamp")
    solid.prism((0, r), 0, 0.03, 0.15, (70, 66, 62), 8).prism((0, r), 0.03, h - 0.3, 0.02, (90, 84, 78), 6)
    solid.prism((0, r), h - 0.3, h, (r, 0.6 * r), pick(rng, ((242, 228, 184), (236, 220, 196))), 10)
    return piece
