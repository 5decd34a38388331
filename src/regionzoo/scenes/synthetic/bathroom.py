"""Toilets, basins, tubs and showers."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.synthetic import palette
from regionzoo.scenes.synthetic.geometry import (
    TILES,
    Piece,
)
from regionzoo.scenes.synthetic.hangings import drape
from regionzoo.scenes.synthetic.kitchen import basin, slab_with_hole
from regionzoo.scenes.synthetic.palette import pick, shade
from regionzoo.scenes.synthetic.small import small, strew
from regionzoo.scenes.synthetic.storage import fronts


def toilet(rng: np.random.Generator) -> Piece:
    """A white bowl with seat and lid, and a tank at the wall."""
    piece = Piece(0.46, rng.uniform(0.68, 0.76), rng.uniform(0.76, 0.86))
    white, d, seat = pick(rng, palette.CERAMICS, 4), piece.depth, rng.uniform(0.38, 0.43)
    solid = piece.new("toilet")
    solid.box((-0.21, 0.01, seat), (0.21, 0.21, piece.height), white)
    solid.box((-0.225, 0.0, piece.height - 0.04), (0.225, 0.22, piece.height), shade(white, 1.02))
    solid.box((-0.11, 0.12, 0), (0.11, d - 0.2, 0.3), shade(white, 0.93))
    center = (0.0, d - 0.27)
    solid.prism(center, 0.1, seat - 0.03, (0.12, 0.19), shade(white, 0.96), 10, 1.35, cap=False)
    solid.prism(center, seat - 0.03, seat, 0.2, white, 12, 1.35, cap=False)
    solid.disc((center[0], center[1], seat), 0.2, white, 1.35)
    if rng.random() < 0.6:
        # The lid leans on the tank and leaves the dark inside of the bowl in view.
        solid.box((-0.18, 0.23, seat), (0.18, 0.26, seat + 0.4), white, lean=(0, -0.03))
        solid.disc((center[0], center[1] + 0.01, seat + 0.004), 0.12, (150, 160, 166), 1.4)
    else:
        solid.disc((center[0], center[1], seat + 0.02), 0.185, shade(white, 0.97), 1.3)
    if rng.random() < 0.35:
        piece.put(small("toilet paper", rng), 0.08, 0.05, piece.height)
    return piece


def toilet_with_paper(rng: np.random.Generator) -> Piece:
    """A toilet with room beside it: a roll on the wall, perhaps a bin, a plunger or a brush."""
    core = toilet(rng)
    piece = Piece(0.84, core.depth, core.height)
    side = 1 if rng.random() < 0.5 else -1
    piece.put(core, -side * 0.16, 0)
    holder = piece.new(
        "toilet paper holder"
        if rng.random() < 0.4
        else "toilet paper dispenser"
        if rng.random() < 0.4
        else "toilet paper"
    )
    x = side * 0.24
    holder.box((x - 0.07, 0, 0.62), (x + 0.07, 0.12, 0.74), (238, 238, 236), bottom=True)
    name = ("trash can", "plunger", "toilet paper", "bin", "basket")[int(rng.integers(5))]
    thing = small(name, rng)
    if thing.width < 0.36:
        piece.put(thing, side * (0.42 - thing.width / 2), 0.18)
    return piece


def washbasin(rng: np.random.Generator) -> Piece:
    """A vanity with a counter and a basin, or a basin on a pedestal; a mirror above."""
    if rng.random() < 0.3:
        piece = Piece(0.56, 0.46, 1.9)
        white = pick(rng, palette.CERAMICS)
        solid = piece.new("sink")
        solid.prism((0, 0.2), 0, 0.7, 0.09, white, 8).box((-0.28, 0, 0.7), (0.28, 0.46, 0.84), white, bottom=True)
        solid.disc((0, 0.25, 0.845), 0.18, shade(white, 0.75), 0.85)
        solid.box((-0.02, 0.02, 0.84), (0.02, 0.06, 0.98), (190, 192, 196)).box(
            (-0.02, 0.02, 0.95), (0.02, 0.16, 0.98), (190, 192, 196)
        )
        w = 0.56
    else:
        w, d, z = rng.uniform(0.75, 1.25), rng.uniform(0.48, 0.55), 0.84
        piece = Piece(w, d, 1.95)
        wood = pick(rng, (*palette.WOODS, (230, 228, 224)))
        name = ("bathroom vanity", "cabinet", "bathroom cabinet")[int(rng.integers(3))]
        lower = piece.new(name).box((-w / 2, 0, 0.05), (w / 2, d - 0.04, z - 0.04), wood, top=False)
        fronts(lower, (-w / 2, w / 2), d - 0.04, (0.07, z - 0.06), (2, 1), shade(wood, 1.06), (110, 108, 104))
        slab = "counter" if rng.random() < 0.4 else "bathroom counter"
        slab_with_hole(piece, slab, w, d, z, (0, 0.28, 0.4, 0.3), pick(rng, ((236, 234, 228), (200, 192, 180))))
        basin(piece, 0, 0.28, z, 0.4, 0.3, False, rng)
        names = ("soap dispenser", "soap dish", "cup", "hair dryer", "tissue box", "bottle", "toilet paper")
        strew(piece, rng, (0.22, 0.04, w / 2, d), z, names, 2)
        strew(piece, rng, (-w / 2, 0.04, -0.22, d), z, names, 2)
    if rng.random() < 0.8:
        piece.new("mirror").box(
            (-0.42 * w, 0, 1.1), (0.42 * w, 0.025, 1.85), pick(rng, ((176, 196, 206), (192, 208, 214)))
        )
    else:
        cupboard = piece.new("bathroom cabinet").box(
            (-0.3, 0, 1.25), (0.3, 0.14, 1.85), pick(rng, palette.CERAMICS), bottom=True
        )
        fronts(cupboard, (-0.3, 0.3), 0.14, (1.26, 1.84), (2, 1), (190, 205, 212), (150, 150, 152))
    return piece


def bathtub(rng: np.random.Generator) -> Piece:
    """A long hollow white tub with a curtain on a rod along its front, and tiled shower walls."""
    w, d, h = rng.uniform(1.45, 1.65), rng.uniform(0.7, 0.76), rng.uniform(0.46, 0.56)
    piece = Piece(w, d + 0.06, 2.05)
    x, white, rim = w / 2, pick(rng, palette.CERAMICS, 4), 0.07
    solid = piece.new("bathtub")
    for lo, hi in (
        ((-x, 0), (x, rim)),
        ((-x, d - rim), (x, d)),
        ((-x, rim), (-x + rim, d - rim)),
        ((x - rim, rim), (x, d - rim)),
    ):
        solid.box((*lo, 0.0), (*hi, h), white)
    solid.quad((-x + rim, rim, 0.14), (w - 2 * rim, 0, 0), (0, d - 2 * rim, 0), shade(white, 0.88), two_sided=False)
    steel = (186, 188, 192)
    piece.new("shower head").box((-x + 0.06, 0.3, 1.9), (-x + 0.2, 0.42, 1.95), steel, bottom=True)
    if rng.random() < 0.85:
        piece.new("shower curtain rod").box((-x, d - 0.01, 2.0), (x, d + 0.02, 2.03), steel, bottom=True)
        color = pick(rng, ((225, 230, 232), (150, 190, 205), (200, 170, 180), (170, 196, 160)))
        wide = rng.uniform(0.6, 1.1)
        start = -x + 0.03 if rng.random() < 0.5 else x - 0.03 - wide
        drape(piece, "shower curtain", start, wide, d + 0.01, (0.22, 2.0), color)
    else:
        piece.new("shower wall").box((-x, 0, h), (x, 0.02, 2.0), pick(rng, palette.CERAMICS), TILES)
    if rng.random() < 0.4:
        strew(piece, rng, (-x, 0, x, 0.12), h, ("bottle", "soap dish", "soap dispenser"), 2)
    return piece


def shower(rng: np.random.Generator) -> Piece:
    """A corner shower: tray, tiled wall, curtain or glass door."""
    w, d = rng.uniform(0.82, 0.95), rng.uniform(0.8, 0.9)
    piece = Piece(w, d, 2.05)
    x = w / 2
    piece.new("shower floor").box((-x, 0, 0), (x, d, 0.1), pick(rng, palette.CERAMICS), TILES)
    wall = piece.new("shower wall")
    wall.box((-x, 0, 0.1), (x, 0.02, 2.0), pick(rng, ((205, 215, 215), (215, 210, 196))), TILES)
    steel = (186, 188, 192)
    piece.new("shower head").box((-0.06, 0.02, 1.85), (0.06, 0.2, 1.9), steel, bottom=True)
    if rng.random() < 0.85:
        piece.new("shower curtain rod").box((-x, d - 0.03, 1.98), (x, d, 2.01), steel, bottom=True)
        color = pick(rng, ((225, 230, 232), (150, 190, 205), (200, 170, 180)))
        drape(piece, "shower curtain", -x + 0.02, rng.uniform(0.5, 0.8), d - 0.02, (0.15, 1.98), color)
    else:
        door = piece.new("shower door")
        door.box((-x, d - 0.03, 0.1), (x, d - 0.01, 1.95), (196, 214, 220), bottom=True).box(
            (0.1, d - 0.01, 0.9), (0.14, d + 0.02, 1.3), steel
        )
    return piece
