"""Instruments, plants, heaters, tools and the like."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.synthetic import palette
from regionzoo.scenes.synthetic.geometry import (
    DISC,
    PLAIN,
    STRIPES,
    Piece,
)
from regionzoo.scenes.synthetic.palette import pick, shade
from regionzoo.scenes.synthetic.small import strew


def piano(rng: np.random.Generator) -> Piece:
    """An upright piano."""
    piece = Piece(1.4, 0.6, 1.15)
    color = pick(rng, (*palette.DARKS, *palette.DARK_WOODS))
    solid = piece.new("piano")
    solid.box((-0.7, 0, 0), (0.7, 0.34, 1.15), color).box((-0.7, 0.34, 0.6), (0.7, 0.6, 0.7), color, bottom=True)
    solid.quad((-0.65, 0.4, 0.705), (1.3, 0, 0), (0, 0.17, 0), (235, 235, 230), STRIPES, two_sided=False)
    solid.legs((-0.7, 0.7), (0.34, 0.6), 0.6, 0.06, color)
    return piece


def guitar(rng: np.random.Generator) -> Piece:
    """A guitar (or its case) that leans on the wall."""
    piece = Piece(0.42, 0.3, 1.05)
    case = rng.random() < 0.3
    color = (44, 42, 44) if case else pick(rng, ((190, 120, 50), (150, 70, 40)))
    solid = piece.new("guitar case" if case else "guitar")
    solid.box((-0.19, 0.16, 0), (0.19, 0.27, 0.42), color, lean=(0, -0.06))
    solid.box((-0.05, 0.12, 0.42), (0.05, 0.18, 1.05), shade(color, 0.6), lean=(0, -0.1))
    return piece


def plant(rng: np.random.Generator) -> Piece:
    """A pot with leaves."""
    r, h = rng.uniform(0.14, 0.2), rng.uniform(0.6, 1.3)
    piece = Piece(0.5, 0.5, h)
    c, green = (0.0, 0.25), pick(rng, ((50, 110, 50), (70, 130, 60), (40, 90, 60)))
    solid = piece.new("plant" if rng.random() < 0.6 else "potted plant")
    solid.prism(c, 0, 0.28, (0.75 * r, r), pick(rng, ((160, 90, 60), (200, 195, 185), (80, 70, 66))), 8)
    for _ in range(int(rng.integers(7, 12))):
        a, b, z = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.24), rng.uniform(0.3, h - 0.2)
        tip = (b * np.cos(a), b * np.sin(a), rng.uniform(0.1, 0.22))
        side = (-0.12 * np.sin(a), 0.12 * np.cos(a), 0.0)
        base = (c[0] - side[0] / 2, c[1] - side[1] / 2, z)
        solid.quad(base, side, tip, shade(green, rng.uniform(0.8, 1.25)))
    solid.prism(c, 0.28, h - 0.15, 0.015, (90, 80, 50), 5)
    return piece


def radiator(rng: np.random.Generator) -> Piece:
    """A ribbed heater."""
    piece = Piece(rng.uniform(0.7, 1.2), 0.14, 0.62)
    x, color = piece.width / 2, pick(rng, ((232, 230, 224), (210, 208, 200)))
    solid = piece.new("radiator").box((-x, 0.03, 0.1), (x, 0.1, 0.6), color)
    for a in np.arange(-x + 0.04, x - 0.05, 0.11):
        solid.box((a, 0.1, 0.1), (a + 0.05, 0.14, 0.6), shade(color, 0.96))
    return piece


def fireplace(rng: np.random.Generator) -> Piece:
    """A mantel around a dark opening."""
    piece = Piece(1.35, 0.3, 1.15)
    color = pick(rng, ((220, 214, 204), (150, 80, 62)))
    solid = piece.new("fireplace")
    solid.box((-0.62, 0, 0), (-0.38, 0.26, 1.05), color, STRIPES).box((0.38, 0, 0), (0.62, 0.26, 1.05), color, STRIPES)
    solid.box((-0.38, 0, 0.75), (0.38, 0.26, 1.05), color, STRIPES, bottom=True)
    solid.box((-0.67, 0, 1.05), (0.67, 0.3, 1.13), shade(color, 1.05), bottom=True)
    solid.quad((0.38, 0.02, 0), (-0.76, 0, 0), (0, 0, 0.75), (40, 34, 32))
    strew(piece, rng, (-0.6, 0.02, 0.6, 0.28), 1.13, ("candle", "decoration", "vase", "object"), 2)
    return piece


def ladder(rng: np.random.Generator) -> Piece:
    """A step ladder that leans on the wall."""
    piece = Piece(0.5, 0.5, 1.5)
    solid, color = piece.new("ladder"), pick(rng, (*palette.METALS, (200, 150, 60)))
    for x in (-0.23, 0.19):
        solid.box((x, 0.42, 0), (x + 0.04, 0.47, 1.5), color, lean=(0, -0.38))
    for k in range(5):
        z = 0.22 + 0.28 * k
        solid.box((-0.2, 0.40 - 0.25 * z, z), (0.2, 0.47 - 0.25 * z, z + 0.04), color, bottom=True)
    return piece


def broom(rng: np.random.Generator) -> Piece:
    """A broom that leans on the wall."""
    piece = Piece(0.3, 0.26, 1.3)
    solid = piece.new("broom").box((-0.14, 0.14, 0), (0.14, 0.2, 0.2), pick(rng, palette.BRIGHTS))
    solid.box((-0.015, 0.15, 0.2), (0.015, 0.18, 1.3), pick(rng, palette.WOODS), lean=(0, -0.12))
    return piece


def ironing_board(rng: np.random.Generator) -> Piece:
    """A folded ironing board that leans on the wall."""
    piece = Piece(0.36, 0.26, 1.35)
    color = pick(rng, palette.LINEN)
    piece.new("ironing board").box((-0.18, 0.18, 0.05), (0.18, 0.23, 1.35), color, lean=(0, -0.16))
    return piece


def vacuum_cleaner(rng: np.random.Generator) -> Piece:
    """An upright vacuum cleaner."""
    piece, color = Piece(0.32, 0.36, 1.05), pick(rng, palette.BRIGHTS)
    solid = piece.new("vacuum cleaner").box((-0.16, 0.12, 0), (0.16, 0.36, 0.14), (50, 50, 54))
    solid.prism((0, 0.2), 0.14, 0.62, 0.11, color, 8).box(
        (-0.02, 0.1, 0.62), (0.02, 0.14, 1.05), (60, 60, 62), lean=(0, -0.06)
    )
    return piece


def cart(rng: np.random.Generator) -> Piece:
    """A trolley with three trays."""
    piece, color = Piece(0.6, 0.42, 0.85), pick(rng, (*palette.METALS, (60, 64, 70)))
    solid = piece.new("cart").legs((-0.3, 0.3), (0, 0.42), 0.84, 0.035, color)
    for z in (0.15, 0.48, 0.8):
        solid.box((-0.29, 0.01, z), (0.29, 0.41, z + 0.035), color, bottom=True)
    strew(piece, rng, (-0.28, 0.02, 0.28, 0.4), 0.835, ("box", "bottle", "container", "paper", "object"), 2)
    return piece


def bicycle(rng: np.random.Generator) -> Piece:
    """A bicycle along the wall: two thin wheels, a frame, a handlebar."""
    piece = Piece(1.6, 0.5, 1.05)
    solid, color = piece.new("bicycle"), pick(rng, palette.BRIGHTS)
    for x in (-0.48, 0.48):
        solid.quad((x - 0.31, 0.25, 0.01), (0.62, 0, 0), (0, 0, 0.62), (46, 46, 48), shape=DISC)
    solid.quad((-0.48, 0.24, 0.3), (0.9, 0, 0.3), (0.04, 0, 0.1), color).quad(
        (-0.1, 0.24, 0.28), (0.5, 0, 0.45), (0.08, 0, 0), color
    )
    solid.box((-0.22, 0.2, 0.86), (0.0, 0.32, 0.92), (40, 40, 42)).box(
        (0.4, 0.02, 0.98), (0.46, 0.48, 1.02), (60, 60, 60)
    )
    solid.box((-0.12, 0.24, 0.3), (-0.08, 0.27, 0.88), color)
    return piece


def coat_rack(rng: np.random.Generator) -> Piece:
    """A pole with a jacket on it."""
    piece, wood = Piece(0.5, 0.5, 1.7), pick(rng, palette.DARK_WOODS)
    solid = piece.new("coat rack").prism((0, 0.25), 0, 0.05, 0.22, wood, 8).prism((0, 0.25), 0.05, 1.7, 0.03, wood, 6)
    solid.box((-0.2, 0.23, 1.6), (0.2, 0.27, 1.63), wood).box((-0.02, 0.05, 1.6), (0.02, 0.45, 1.63), wood)
    piece.new("jacket").box((-0.2, 0.29, 0.85), (0.16, 0.42, 1.58), pick(rng, palette.FABRICS), PLAIN, bottom=True)
    return piece


def water_cooler(rng: np.random.Generator) -> Piece:
    """A white column with a blue bottle."""
    piece = Piece(0.34, 0.34, 1.3)
    solid = piece.new("water cooler").box((-0.16, 0, 0), (0.16, 0.32, 0.92), pick(rng, palette.CERAMICS))
    solid.prism((0, 0.16), 0.92, 1.3, 0.13, (120, 170, 215), 8)
    return piece


def fan(rng: np.random.Generator) -> Piece:
    """A standing fan."""
    piece, color = Piece(0.42, 0.36, 1.2), pick(rng, ((230, 230, 228), (50, 50, 54)))
    solid = piece.new("fan").prism((0, 0.18), 0, 0.03, 0.17, color, 8).prism((0, 0.18), 0.03, 0.9, 0.02, color, 6)
    solid.quad((-0.2, 0.24, 0.8), (0.4, 0, 0), (0, 0, 0.4), shade(color, 0.85), shape=DISC)
    return piece
