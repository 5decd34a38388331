"""Where things go: against walls, in the open, on walls and on the floor."""

from __future__ import annotations

import math

import numpy as np

from regionzoo.scenes.synthetic import hangings, household
from regionzoo.scenes.synthetic.geometry import Piece
from regionzoo.scenes.synthetic.plans import CLUTTER, HANGINGS, Wish
from regionzoo.scenes.synthetic.shell import Zone, overlap
from regionzoo.scenes.synthetic.small import SMALL, small

OVERLOOKED = 0.05
"""Share of the small things without annotation."""


def fulfil(zone: Zone, wish: Wish, rng: np.random.Generator) -> bool:
    """Try three instances of a wish, the later ones with less room before them."""
    if any(_try(zone, wish.make(rng), wish.where, wish.front * ease, rng) for ease in (1.0, 0.7, 0.4)):
        return True
    return wish.fallback is not None and _try(zone, wish.fallback(rng), wish.where, 0.0, rng)


def _try(zone: Zone, piece: Piece, where: str, front: float, rng: np.random.Generator) -> bool:
    if where == "floor":
        x0, y0, x1, y1 = zone.rect
        a, b = piece.width / 2 + 0.3, piece.depth + 0.3
        if x1 - x0 > 2 * a and y1 - y0 > b + 0.3:
            x, y = rng.uniform(x0 + a, x1 - a), rng.uniform(y0 + 0.3, y1 - b)
            zone.solids.extend(solid.moved(x, y, 0.002, 0) for solid in piece.solids)
        return True
    return _stand(zone, piece, front, rng) if where == "wall" else _free(zone, piece, rng)


def _stand(zone: Zone, piece: Piece, front: float, rng: np.random.Generator, tries: int = 60) -> bool:
    """Put a piece against a wall where it fits; corners are tried often."""
    lengths = np.array([zone.length(wall) for wall in range(4)])
    for _ in range(tries):
        wall = int(rng.choice(4, p=lengths / lengths.sum()))
        room = lengths[wall] - piece.width - 0.06
        if room < 0:
            continue
        corner = rng.random()
        x = piece.width / 2 + 0.03 + (0.0 if corner < 0.25 else room if corner < 0.5 else rng.uniform(0, room))
        gap = 0.02
        span = (x - piece.width / 2, x + piece.width / 2)
        box = zone.box(wall, span, (gap, gap + piece.depth), (0.0, piece.height))
        clear = zone.box(wall, span, (gap + piece.depth, gap + piece.depth + front), (0.0, 1.8)) if front else None
        if zone.fits(box, clear):
            zone.add(wall, piece, x, gap)
            zone.boxes.append(box)
            if clear is not None:
                zone.clear.append(clear)
            return True
    return False


def _free(zone: Zone, piece: Piece, rng: np.random.Generator, tries: int = 40) -> bool:
    """Put a piece in the open, turned by a right angle and a little."""
    x0, y0, x1, y1 = zone.rect
    for _ in range(tries):
        angle = int(rng.integers(4)) * math.pi / 2 + rng.uniform(-0.1, 0.1)
        c, s = abs(math.cos(angle)), abs(math.sin(angle))
        w, d = c * piece.width + s * piece.depth, s * piece.width + c * piece.depth
        margin = 0.12
        if w + 2 * margin > x1 - x0 or d + 2 * margin > y1 - y0:
            continue
        # Drawn towards the middle of the zone.
        x = (x0 + x1) / 2 + (rng.uniform(-1, 1) * rng.uniform(0.2, 1)) * ((x1 - x0 - w) / 2 - margin)
        y = (y0 + y1) / 2 + (rng.uniform(-1, 1) * rng.uniform(0.2, 1)) * ((y1 - y0 - d) / 2 - margin)
        box = (x - w / 2, y - d / 2, 0.0, x + w / 2, y + d / 2, piece.height)
        around = (box[0] - margin, box[1] - margin, 0.0, box[3] + margin, box[4] + margin, piece.height)
        if any(overlap(around, other) for other in zone.boxes):
            continue
        if any(overlap(box, other) for other in zone.clear[:2]):
            continue
        ox, oy = x + math.sin(angle) * piece.depth / 2, y - math.cos(angle) * piece.depth / 2
        zone.solids.extend(solid.moved(ox, oy, 0.0, angle) for solid in piece.solids)
        zone.boxes.append(box)
        return True
    return False


def hang(zone: Zone, rng: np.random.Generator) -> None:
    """Hang pictures, boards, clocks, switches where the wall is free."""
    low = {"light switch": 1.1, "power outlet": 0.25, "vent": 2.05, "fire alarm": 1.9, "clock": 1.85, "towel": 0.85}
    wanted = [
        name for name, chance in HANGINGS[zone.theme] for _ in range(int(chance) + int(rng.random() < chance % 1))
    ]
    wanted += ["light switch"] * int(rng.random() < 0.6) + ["power outlet"] * int(rng.random() < 0.5)
    for name in wanted:
        piece = hangings.towel(rng) if name == "towel" else hangings.hung(name, rng)
        for _ in range(25):
            wall = int(rng.integers(4))
            room = zone.length(wall) - piece.width - 0.1
            if room < 0:
                continue
            x = 0.05 + piece.width / 2 + rng.uniform(0, room)
            z = low.get(name, 0.95 if name in ("whiteboard", "blackboard", "projector screen") else 1.25)
            z += rng.uniform(0.0, 0.2) if name != "mirror" else -0.6
            if z + piece.height > zone.height - 0.05:
                continue
            box = zone.box(
                wall, (x - piece.width / 2 - 0.03, x + piece.width / 2 + 0.03), (0.0, 0.06), (z, z + piece.height)
            )
            if zone.fits_flat(box):
                zone.add(wall, piece, x, 0.0, z)
                zone.boxes.append(box)
                break


def clutter(zone: Zone, rng: np.random.Generator) -> None:
    """Leave small things on the floor along the walls."""
    names = CLUTTER[zone.theme]
    x0, y0, x1, y1 = zone.rect
    for _ in range(int(rng.integers(2, 4 + round((x1 - x0) * (y1 - y0) / 4)))):
        name = names[int(rng.integers(len(names)))]
        piece = household.fan(rng) if name == "fan" else small(name, rng)
        _stand(zone, piece, 0.0, rng, 12)


def overlook(zone: Zone, rng: np.random.Generator) -> None:
    """Take the annotation from a few things, as annotators overlook some."""
    for solid in zone.solids:
        if solid.category in SMALL and rng.random() < OVERLOOKED:
            solid.category = None
