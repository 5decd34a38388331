"""Kitchen rows, refrigerators and washing machines."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.synthetic import palette
from regionzoo.scenes.synthetic.geometry import (
    DISC,
    Piece,
)
from regionzoo.scenes.synthetic.palette import pick, shade
from regionzoo.scenes.synthetic.small import small, strew
from regionzoo.scenes.synthetic.storage import fronts

COUNTER_HEIGHT = 0.9


def kitchen_row(rng: np.random.Generator) -> Piece:
    """Base cabinets under a counter with a sink, wall cabinets above, stove and dishwasher in the row."""
    stove = rng.random() < 0.75
    base = rng.uniform(1.3, 1.9)
    w, d = base + (0.62 if stove else 0.0), 0.62
    piece = Piece(w, d, 2.2)
    wood = pick(rng, (*palette.WOODS, (228, 226, 220), (180, 190, 196)))
    x0 = -w / 2
    mid = x0 + base / 2
    category = "kitchen cabinet" if rng.random() < 0.6 else "cabinet"
    run = Piece(base, d, 0)
    lower = run.new(category).box((-base / 2, 0, 0.08), (base / 2, d - 0.05, COUNTER_HEIGHT - 0.04), wood, top=False)
    washer = 0.6 if base > 1.6 and rng.random() < 0.6 else 0.0
    right = base / 2 - washer
    fronts(
        lower,
        (-base / 2, right),
        d - 0.05,
        (0.1, COUNTER_HEIGHT - 0.06),
        (2 if right < 0.5 else 3, 1),
        shade(wood, 1.06),
        (90, 88, 84),
    )
    if washer:
        machine = run.new("dishwasher").box(
            (right, d - 0.06, 0.1), (base / 2, d - 0.02, COUNTER_HEIGHT - 0.05), pick(rng, palette.METALS)
        )
        machine.box((right + 0.06, d - 0.02, 0.72), (base / 2 - 0.06, d + 0.01, 0.75), (70, 70, 72))
    hole = (-base / 4, 0.32, 0.46, 0.38)
    slab = "counter" if rng.random() < 0.6 else "kitchen counter"
    slab_with_hole(
        run,
        slab,
        base,
        d,
        COUNTER_HEIGHT,
        hole,
        pick(rng, ((70, 66, 64), (200, 190, 172), (120, 112, 104), (224, 222, 216))),
    )
    basin(run, hole[0], hole[1], COUNTER_HEIGHT, hole[2], hole[3], True, rng)
    names = (
        "toaster",
        "coffee maker",
        "bottle",
        "cup",
        "bowl",
        "dish rack",
        "paper towel roll",
        "plate",
        "toaster oven",
        "water pitcher",
        "cutting board",
        "container",
    )
    strew(
        run,
        rng,
        (0.05, 0.05, base / 2, d - 0.05),
        COUNTER_HEIGHT,
        (*names, "coffee kettle", "tray", "soap dispenser"),
        int(rng.integers(2, 6)),
    )
    if rng.random() < 0.35:
        run.put(small("microwave", rng), base / 2 - 0.3, 0.05, COUNTER_HEIGHT)
    upper = run.new(category).box((-base / 2, 0, 1.45), (base / 2, 0.33, 2.15), wood, bottom=True)
    fronts(
        upper, (-base / 2, base / 2), 0.33, (1.46, 2.14), (4 if base > 1.5 else 3, 1), shade(wood, 1.06), (90, 88, 84)
    )
    piece.put(run, mid, 0)
    if stove:
        _stove(piece, rng, w / 2 - 0.31)
    return piece


def _stove(piece: Piece, rng: np.random.Generator, x: float) -> None:
    color = pick(rng, (*palette.METALS, (60, 60, 62), (232, 232, 228)))
    solid = piece.new("stove").box((x - 0.3, 0, 0.02), (x + 0.3, 0.62, COUNTER_HEIGHT), color)
    for a, b in ((-0.14, 0.18), (0.14, 0.18), (-0.14, 0.45), (0.14, 0.45)):
        solid.prism((x + a, b), COUNTER_HEIGHT, COUNTER_HEIGHT + 0.015, 0.1, (36, 36, 38), 8)
    solid.box((x - 0.3, 0, COUNTER_HEIGHT), (x + 0.3, 0.06, COUNTER_HEIGHT + 0.16), shade(color, 0.8))
    door = piece.new("oven") if rng.random() < 0.6 else solid
    door.box((x - 0.27, 0.62, 0.2), (x + 0.27, 0.645, 0.74), (46, 46, 50)).box(
        (x - 0.22, 0.645, 0.68), (x + 0.22, 0.67, 0.71), (180, 180, 182)
    )
    if rng.random() < 0.5:
        hood = piece.new("range hood").box(
            (x - 0.3, 0, 1.5), (x + 0.3, 0.45, 1.62), pick(rng, palette.METALS), bottom=True
        )
        hood.box((x - 0.12, 0, 1.62), (x + 0.12, 0.25, 2.15), pick(rng, palette.METALS))
    else:
        piece.put(small("microwave", rng), x, 0.0, 1.4)


def refrigerator(rng: np.random.Generator) -> Piece:
    """A tall two-door refrigerator with long handles."""
    w, d, h = rng.uniform(0.62, 0.8), rng.uniform(0.66, 0.74), rng.uniform(1.65, 1.85)
    piece = Piece(w, d, h)
    x, color = w / 2, pick(rng, ((238, 238, 236), (240, 240, 240), (186, 190, 194)))
    solid = piece.new("refrigerator").box((-x, 0, 0.03), (x, d - 0.05, h), color)
    split = 0.68 * h
    for z0, z1 in ((0.05, split - 0.01), (split + 0.01, h)):
        solid.box((-x, d - 0.05, z0), (x, d, z1), shade(color, 1.02))
        solid.box((x - 0.1, d, z0 + 0.3 * (z1 - z0)), (x - 0.06, d + 0.035, z1 - 0.06), (120, 122, 124))
    if rng.random() < 0.3:
        strew(piece, rng, (-x, 0.05, x, d), h, ("box", "container", "bowl", "basket"), 2, 0.3)
    return piece


def mini_fridge(rng: np.random.Generator) -> Piece:
    """A knee-high refrigerator."""
    piece = Piece(0.48, 0.5, 0.84)
    color = pick(rng, ((236, 236, 234), (60, 60, 64)))
    solid = piece.new("mini fridge").box((-0.24, 0, 0.02), (0.24, 0.45, 0.84), color)
    solid.box((-0.24, 0.45, 0.03), (0.24, 0.5, 0.83), shade(color, 1.03)).box(
        (0.14, 0.5, 0.5), (0.18, 0.53, 0.76), (120, 120, 122)
    )
    if rng.random() < 0.5:
        piece.put(small("microwave", rng), 0, 0.05, 0.84)
    return piece


def washing_machine(rng: np.random.Generator) -> Piece:
    """A washing machine or dryer with a round door, sometimes side by side."""
    pair = rng.random() < 0.4
    piece = Piece(1.24 if pair else 0.6, 0.62, 0.9)
    for k, name in enumerate(("washing machine", "clothes dryer") if pair else ("washing machine",)):
        x = (-0.31 if k == 0 else 0.31) if pair else 0.0
        color = pick(rng, ((236, 236, 234), (200, 202, 206)), 5)
        solid = piece.new(name).box((x - 0.3, 0, 0), (x + 0.3, 0.6, 0.88), color)
        solid.quad((x + 0.2, 0.604, 0.2), (-0.4, 0, 0), (0, 0, 0.4), (66, 72, 82), shape=DISC, two_sided=False)
        solid.box((x - 0.28, 0.6, 0.74), (x + 0.28, 0.61, 0.86), shade(color, 0.8))
    if rng.random() < 0.6:
        x = piece.width / 2
        strew(piece, rng, (-x, 0.05, x, 0.55), 0.88, ("laundry detergent", "basket", "clothes", "box", "bottle"), 2)
    return piece


def slab_with_hole(
    piece: Piece, category: str, w: float, d: float, z: float, hole: tuple[float, float, float, float] | None, color
) -> None:
    """A counter top of thickness 4 cm whose upper side is at ``z``; ``hole`` = centre x, y and size of a basin."""
    solid, x = piece.new(category), w / 2
    if hole is None:
        solid.box((-x, 0, z - 0.04), (x, d, z), color, bottom=True)
    else:
        hx, hy, hw, hd = hole
        for lo, hi in (
            ((-x, 0), (hx - hw / 2, d)),
            ((hx + hw / 2, 0), (x, d)),
            ((hx - hw / 2, 0), (hx + hw / 2, hy - hd / 2)),
            ((hx - hw / 2, hy + hd / 2), (hx + hw / 2, d)),
        ):
            solid.box((*lo, z - 0.04), (*hi, z), color)
    solid.box((-x, 0, z), (x, 0.02, z + 0.1), color)


def basin(
    piece: Piece, x: float, y: float, z: float, w: float, d: float, steel: bool, rng: np.random.Generator
) -> None:
    """A basin let into a slab whose top is at ``z``: rim, dark inside, tap."""
    color = pick(rng, palette.METALS if steel else palette.CERAMICS)
    solid = piece.new("sink")
    x0, x1, y0, y1, low = x - w / 2, x + w / 2, y - d / 2, y + d / 2, z - 0.14
    for origin, u in (
        ((x0, y0, low), (w, 0, 0)),
        ((x0, y1, low), (w, 0, 0)),
        ((x0, y0, low), (0, d, 0)),
        ((x1, y0, low), (0, d, 0)),
    ):
        solid.quad(origin, u, (0, 0, 0.15), shade(color, 0.85))
    solid.quad((x0, y0, low), (w, 0, 0), (0, d, 0), shade(color, 0.75))
    r = 0.025
    for a, b, dx, dy in (
        (x0 - r, y0 - r, w + 2 * r, r),
        (x0 - r, y1, w + 2 * r, r),
        (x0 - r, y0, r, d),
        (x1, y0, r, d),
    ):
        solid.box((a, b, z), (a + dx, b + dy, z + 0.015), color)
    tap = (190, 192, 196)
    solid.box((x - 0.02, y0 - 0.07, z), (x + 0.02, y0 - 0.03, z + 0.2), tap)
    solid.box((x - 0.02, y0 - 0.07, z + 0.18), (x + 0.02, y0 + 0.12, z + 0.21), tap, bottom=True)
