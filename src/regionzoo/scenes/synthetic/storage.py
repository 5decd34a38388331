"""Shelves, cupboards and chests."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.synthetic import palette
from regionzoo.scenes.synthetic.geometry import (
    SPINES,
    WOOD,
    Color,
    Piece,
    Solid,
)
from regionzoo.scenes.synthetic.palette import pick, shade
from regionzoo.scenes.synthetic.small import strew

ON_TOP = ("box", "decoration", "book", "basket", "vase", "globe", "clothes")
ON_BOARDS = (
    *("box", "storage bin", "container", "book", "bag"),
    *("bottle", "basket", "object", "decoration", "crate"),
)


def fronts(
    solid: Solid,
    x: tuple[float, float],
    y: float,
    z: tuple[float, float],
    grid: tuple[int, int],
    color: Color,
    knob: Color,
) -> None:
    """A grid of (columns, rows) doors or drawers with handles on the front of a cupboard."""
    columns, rows = grid
    w, h = (x[1] - x[0]) / columns, (z[1] - z[0]) / rows
    for i in range(columns):
        for j in range(rows):
            a, b = x[0] + i * w, z[0] + j * h
            solid.box((a + 0.015, y, b + 0.015), (a + w - 0.015, y + 0.015, b + h - 0.015), color)
            if h > 0.9 * w:
                at = a + w - 0.07 if i % 2 == 0 else a + 0.04
                solid.box((at, y + 0.015, b + h / 2 - 0.07), (at + 0.03, y + 0.04, b + h / 2 + 0.07), knob)
            else:
                solid.box(
                    (a + w / 2 - 0.07, y + 0.015, b + h / 2), (a + w / 2 + 0.07, y + 0.04, b + h / 2 + 0.03), knob
                )


def bookshelf(rng: np.random.Generator) -> Piece:
    """A tall open shelf: sides, several boards, rows of books and a few other things."""
    return _shelf(rng, "bookshelf", rng.uniform(0.75, 1.15), rng.uniform(0.26, 0.34), rng.uniform(1.5, 2.05), 0.85)


def storage_shelf(rng: np.random.Generator) -> Piece:
    """A deeper shelf or a metal rack with boxes."""
    category = "shelf" if rng.random() < 0.6 else "rack"
    return _shelf(rng, category, rng.uniform(0.8, 1.2), rng.uniform(0.38, 0.46), rng.uniform(1.3, 1.8), 0.0)


def _shelf(rng: np.random.Generator, category: str, w: float, d: float, h: float, books: float) -> Piece:
    piece = Piece(w, d, h)
    x = w / 2
    metal = category == "rack"
    color = pick(rng, palette.METALS if metal else (*palette.WOODS, (225, 222, 214)))
    solid = piece.new(category)
    if metal:
        solid.legs((-x, x), (0, d), h, 0.04, color)
    else:
        solid.box((-x, 0, 0), (-x + 0.03, d, h), color, WOOD).box((x - 0.03, 0, 0), (x, d, h), color, WOOD)
        solid.quad((x, 0.01, 0), (-w, 0, 0), (0, 0, h), shade(color, 0.75), WOOD)
    boards = 5 if h > 1.7 else 4
    step = (h - 0.09) / boards
    for k in range(boards + 1):
        z = 0.06 + k * step
        solid.box((-x + 0.03, 0.01, z), (x - 0.03, d, z + 0.03), color, WOOD, bottom=True)
        if k == boards:
            if rng.random() < 0.4:
                strew(piece, rng, (-x, 0, x, d), h, ON_TOP, 2)
            break
        free = step - 0.05
        if rng.random() < books:
            _books(piece, rng, (-x + 0.04, x - 0.04), d, z + 0.03, free)
        else:
            strew(piece, rng, (-x + 0.05, 0.02, x - 0.05, d), z + 0.03, ON_BOARDS, 3, free)
    return piece


def _books(piece: Piece, rng: np.random.Generator, x: tuple[float, float], d: float, z: float, free: float) -> None:
    """A row of upright books: one annotated group a row, as annotators do."""
    start, end = x[0], x[1] - rng.uniform(0, 0.35) * (x[1] - x[0])
    row = piece.new("books" if rng.random() < 0.5 else "book")
    while start < end - 0.05:
        w = min(rng.uniform(0.12, 0.3), end - start)
        height = min(rng.uniform(0.19, 0.27), free)
        row.box((start, 0.02, z), (start + w, d - rng.uniform(0.02, 0.08), z + height), (150, 120, 90), SPINES)
        start += w + 0.004


def cabinet(rng: np.random.Generator) -> Piece:
    """A closed cupboard with doors, waist to head high."""
    h = float(rng.choice([0.85, 1.2, 1.75])) * rng.uniform(0.95, 1.08)
    return _cupboard(
        rng, "cabinet", (rng.uniform(0.7, 1.1), rng.uniform(0.38, 0.48), h), (2, 1 if h < 1.4 else 2), "low"
    )


def wardrobe(rng: np.random.Generator) -> Piece:
    """A closet or wardrobe as high as a door."""
    category = "wardrobe" if rng.random() < 0.6 else "closet"
    size = (rng.uniform(0.95, 1.4), rng.uniform(0.52, 0.6), rng.uniform(1.9, 2.15))
    return _cupboard(rng, category, size, (2, 1), "none")


def dresser(rng: np.random.Generator) -> Piece:
    """A chest of drawers, often with a mirror or a television on it."""
    size = (rng.uniform(0.9, 1.4), rng.uniform(0.42, 0.5), rng.uniform(0.75, 0.95))
    piece = _cupboard(rng, "dresser", size, (2, 3), "none")
    x, d, h = piece.width / 2, piece.depth, piece.height
    what = rng.random()
    if what < 0.35:
        piece.new("mirror").box((-0.7 * x, 0.02, h), (0.7 * x, 0.06, h + 0.7), (190, 205, 215))
        piece.height += 0.7
    elif what < 0.6:
        screen(piece, 0.9 * min(x, 0.5), h, 0.1)
    names = ("box", "decoration", "book", "bottle", "hat", "object", "candle", "tissue box", "purse")
    strew(piece, rng, (-x, 0.16, x, d), h, names, int(rng.integers(0, 4)))
    return piece


def file_cabinet(rng: np.random.Generator) -> Piece:
    """A metal cabinet of two to four drawers."""
    rows = int(rng.integers(2, 5))
    piece = Piece(rng.uniform(0.4, 0.48), rng.uniform(0.5, 0.6), 0.33 * rows)
    x, d, h = piece.width / 2, piece.depth, piece.height
    color = pick(rng, (*palette.METALS, (190, 184, 168), (70, 72, 76)))
    solid = piece.new("file cabinet").box((-x, 0, 0), (x, d - 0.015, h), color)
    fronts(solid, (-x, x), d - 0.015, (0.02, h), (1, rows), shade(color, 1.06), (60, 60, 62))
    if rng.random() < 0.4:
        strew(piece, rng, (-x, 0, x, d), h, ("box", "book", "paper", "object", "decoration"), 1)
    return piece


def _cupboard(
    rng: np.random.Generator, category: str, size: tuple[float, float, float], grid: tuple[int, int], top: str
) -> Piece:
    w, d, h = size
    piece = Piece(w, d, h)
    wood = pick(rng, (*palette.WOODS, (226, 224, 218)))
    solid = piece.new(category).box((-w / 2, 0, 0), (w / 2, d - 0.02, h), wood, WOOD)
    fronts(solid, (-w / 2, w / 2), d - 0.02, (0.06, h - 0.02), grid, shade(wood, 1.08), (70, 66, 62))
    if top == "low" and h < 1.4:
        names = ("box", "decoration", "book", "vase", "speaker", "basket", "object", "printer", "container")
        strew(piece, rng, (-w / 2, 0, w / 2, d), h, names, int(rng.integers(0, 4)))
    return piece


def screen(piece: Piece, x: float, z: float, y: float) -> None:
    """A television of half width ``x`` standing at height ``z``."""
    tv = piece.new("tv")
    tv.box((-0.4 * x, y - 0.06, z), (0.4 * x, y + 0.1, z + 0.02), (30, 30, 32))
    tv.box((-0.03, y, z), (0.03, y + 0.03, z + 0.07), (30, 30, 32))
    tv.box((-x, y, z + 0.06), (x, y + 0.05, z + 0.06 + 1.15 * x), (24, 24, 28), bottom=True)
    tv.quad(
        (x - 0.02, y + 0.053, z + 0.08), (-2 * x + 0.04, 0, 0), (0, 0, 1.15 * x - 0.04), (34, 38, 46), two_sided=False
    )
