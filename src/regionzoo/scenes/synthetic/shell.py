"""The shell of a room: floors, walls with holes, ceilings, doors, windows and what hangs at them.

A wall has a frame of its own: x along it, y into the room, z up; ``Zone.wall`` turns pieces into the room.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from regionzoo.scenes.synthetic import palette
from regionzoo.scenes.synthetic.geometry import CARPET, GLASS, PLAIN, STRIPES, TILES, WOOD, Color, Piece, Solid
from regionzoo.scenes.synthetic.hangings import drape
from regionzoo.scenes.synthetic.palette import pick, shade

GAP = 0.1
"""Thickness of the wall between two zones."""

Box = tuple[float, float, float, float, float, float]


@dataclass
class Zone:
    """A rectangular part of a room with walls of its own and the boxes that things in it occupy.

    rect: x0, y0, x1, y1 in metres. solids: its objects in room coordinates. boxes: lo and hi corners of what is
    taken; clear: of what must stay free for people. holes: openings of each of the four walls as (x0, x1, z0, z1).
    walls: the four wall objects once the shell is built.
    """

    theme: str
    rect: tuple[float, float, float, float]
    height: float
    solids: list[Solid] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    clear: list[Box] = field(default_factory=list)
    holes: tuple[list, list, list, list] = field(default_factory=lambda: ([], [], [], []))
    walls: list[Solid] = field(default_factory=list)

    def length(self, wall: int) -> float:
        """Length of wall 0 (south), 1 (east), 2 (north) or 3 (west)."""
        x0, y0, x1, y1 = self.rect
        return x1 - x0 if wall % 2 == 0 else y1 - y0

    def corner(self, wall: int) -> tuple[float, float]:
        """Where the wall's x axis starts."""
        x0, y0, x1, y1 = self.rect
        return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))[wall]

    def point(self, wall: int, x: float, y: float) -> tuple[float, float]:
        """Room coordinates of a point of the wall's frame."""
        (a, b), c, s = self.corner(wall), (1, 0, -1, 0)[wall], (0, 1, 0, -1)[wall]
        return a + c * x - s * y, b + s * x + c * y

    def box(self, wall: int, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> Box:
        """Room box of a box of the wall's frame."""
        (a, b), (c, d) = self.point(wall, x[0], y[0]), self.point(wall, x[1], y[1])
        return (min(a, c), min(b, d), z[0], max(a, c), max(b, d), z[1])

    def add(self, wall: int, piece: Piece, x: float, y: float = 0.0, z: float = 0.0) -> None:
        """Add a piece with its wall-side centre at (x, y, z) of the wall's frame; occupancy is the caller's."""
        a, b = self.point(wall, x, y)
        self.solids.extend(solid.moved(a, b, z, wall * math.pi / 2) for solid in piece.solids)

    def fits(self, box: Box, clear: Box | None = None) -> bool:
        """Whether a box lies inside the zone and touches nothing, nor keeps anything from being reached."""
        x0, y0, x1, y1 = self.rect
        if box[0] < x0 - 1e-6 or box[1] < y0 - 1e-6 or box[3] > x1 + 1e-6 or box[4] > y1 + 1e-6:
            return False
        if any(overlap(box, other) for other in self.boxes) or any(overlap(box, other) for other in self.clear):
            return False
        return clear is None or not any(overlap(clear, other) for other in self.boxes)

    def fits_flat(self, box: Box) -> bool:
        """Whether a flat thing on a wall touches nothing; what must stay free for people does not matter to it."""
        return not any(overlap(box, other) for other in self.boxes)


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes share more than a surface."""
    return a[0] < b[3] and b[0] < a[3] and a[1] < b[4] and b[1] < a[4] and a[2] < b[5] and b[2] < a[5]


def build_shell(zone: Zone, rng: np.random.Generator) -> None:
    """Floor, walls around the holes, ceiling with a lamp."""
    x0, y0, x1, y1 = zone.rect
    wet = zone.theme in ("bathroom", "kitchen")
    if wet or rng.random() < 0.15:
        color, texture = pick(rng, ((186, 176, 160), (150, 146, 140), (206, 200, 188))), TILES
    elif rng.random() < 0.5:
        color, texture = pick(rng, ((160, 118, 78), (128, 92, 62), (186, 150, 108))), WOOD
    else:
        color, texture = pick(rng, ((120, 108, 98), (104, 106, 116), (150, 134, 114))), CARPET
    zone.solids.append(
        Solid("floor").quad((x0, y0, 0), (x1 - x0, 0, 0), (0, y1 - y0, 0), color, texture, two_sided=False)
    )
    paint = pick(rng, palette.WALLS, 6)
    for wall in range(4):
        piece = Piece(0, 0, 0)
        solid = piece.new("wall")
        length = zone.length(wall)
        at = 0.0
        for a, b, low, high in [*sorted(zone.holes[wall]), (length, length, 0.0, 0.0)]:
            for p, q, r, s in ((at, a, 0.0, zone.height), (a, b, 0.0, low), (a, b, high, zone.height)):
                if q - p > 1e-6 and s - r > 1e-6:
                    solid.quad((q, 0, r), (p - q, 0, 0), (0, 0, s - r), paint, two_sided=False)
            at = b
        zone.add(wall, piece, 0.0)
        zone.walls.append(zone.solids[-1])
    ceiling = Solid("ceiling")
    ceiling.quad((x0, y1, zone.height), (x1 - x0, 0, 0), (0, y0 - y1, 0), (236, 235, 231), two_sided=False)
    zone.solids.append(ceiling)
    if rng.random() < 0.6:
        x, y, w = (x0 + x1) / 2, (y0 + y1) / 2, rng.uniform(0.16, 0.35)
        name = "ceiling light" if rng.random() < 0.6 else "light"
        light = Solid(name).box(
            (x - w, y - w / 2, zone.height - 0.08), (x + w, y + w / 2, zone.height), (250, 248, 236), bottom=True
        )
        zone.solids.append(light)


def _free_span(
    zone: Zone, wall: int, width: float, margin: float, rng: np.random.Generator, z: tuple[float, float]
) -> float | None:
    """A random start of a free stretch of the wall for an opening, or None."""
    room = zone.length(wall) - width - 2 * margin
    for _ in range(12):
        if room < 0:
            return None
        start = margin + rng.uniform(0, room)
        apart = all(start > b + 0.25 or start + width < a - 0.25 for a, b, _, _ in zone.holes[wall])
        if apart and zone.fits(zone.box(wall, (start, start + width), (0, 0.05), z)):
            return start
    return None


def add_door(zone: Zone, wall: int, rng: np.random.Generator, closet: bool = False) -> bool:
    """An entrance door, closed or standing open, with frame, handle and free floor before it."""
    w, h = (rng.uniform(1.1, 1.5) if closet else rng.uniform(0.82, 0.95)), rng.uniform(1.98, 2.08)
    start = _free_span(zone, wall, w, 0.15, rng, (0, h))
    if start is None:
        return False
    end = start + w
    zone.holes[wall].append((start, end, 0.0, h))
    color = pick(rng, (*palette.WOODS, *palette.DARK_WOODS, (228, 224, 216), (196, 170, 130)))
    piece = Piece(w, 0.1, h)
    _frame(piece, rng, start, end, h, shade(color, 0.85))
    leaf = piece.new("closet door" if closet else "door")
    steel = (150, 148, 142)
    opened = not closet and rng.random() < 0.25
    if opened:
        # Hinged on the left, turned inwards by a right angle; behind the opening nothing was scanned.
        leaf.box((start - 0.05, 0.02, 0.01), (start, w, h - 0.02), color, WOOD)
        leaf.box((start, w - 0.12, 0.98), (start + 0.05, w - 0.03, 1.02), steel, bottom=True)
        zone.boxes.append(zone.box(wall, (start - 0.06, start + 0.02), (0, w), (0, h)))
        hall = piece.new(None)
        hall.quad((start - 0.4, -1.1, 0), (w + 0.8, 0, 0), (0, 1.1, 0), (140, 132, 122), CARPET, two_sided=False)
        hall.quad((end + 0.6, -1.1, 0), (-w - 1.2, 0, 0), (0, 0, 2.4), (206, 202, 192), two_sided=False)
    elif closet:
        middle = (start + end) / 2
        for a, b in ((start, middle - 0.005), (middle + 0.005, end)):
            leaf.box((a, -0.07, 0.01), (b, -0.03, h), color, STRIPES)
        leaf.box((middle - 0.06, -0.03, 0.95), (middle - 0.04, 0.0, 1.15), steel).box(
            (middle + 0.04, -0.03, 0.95), (middle + 0.06, 0.0, 1.15), steel
        )
    else:
        leaf.box((start, -0.07, 0.01), (end, -0.03, h), color, WOOD)
        for z0, z1 in ((0.2, 0.9), (1.1, h - 0.2)):
            leaf.quad(
                (end - 0.15, -0.025, z0), (0.3 - w, 0, 0), (0, 0, z1 - z0), shade(color, 0.9), WOOD, two_sided=False
            )
        leaf.box((end - 0.1, -0.03, 0.92), (end - 0.04, 0.03, 1.06), steel).box(
            (end - 0.17, 0.01, 0.98), (end - 0.05, 0.04, 1.01), steel, bottom=True
        )
    zone.add(wall, piece, 0.0)
    zone.boxes.append(zone.box(wall, (start - 0.07, end + 0.07), (0, 0.05), (0, h + 0.07)))
    zone.clear.append(zone.box(wall, (start, end), (0, 0.85), (0, h)))
    return True


def _frame(piece: Piece, rng: np.random.Generator, start: float, end: float, h: float, color: Color) -> None:
    """Posts and lintel around an opening; annotators call it door or doorframe."""
    frame = piece.new("doorframe" if rng.random() < 0.6 else "door")
    for a, b in ((start - 0.07, start), (end, end + 0.07)):
        frame.box((a, -0.08, 0), (b, 0.02, h + 0.07), color)
    frame.box((start, -0.08, h), (end, 0.02, h + 0.07), color, bottom=True)


def add_passage(zone: Zone, other: Zone, wall: int, start: float, width: float, rng: np.random.Generator) -> None:
    """A doorway between two zones that face each other across a wall of thickness GAP."""
    h, end = rng.uniform(1.98, 2.08), start + width
    back, across = (wall + 2) % 4, other.length((wall + 2) % 4)
    # The facing wall runs the other way; both zones span the same stretch.
    zone.holes[wall].append((start, end, 0.0, h))
    other.holes[back].append((across - end, across - start, 0.0, h))
    color = pick(rng, (*palette.WOODS, (228, 224, 216)))
    piece = Piece(width, 0.1, h)
    frame = piece.new("doorframe" if rng.random() < 0.6 else "door")
    for a, b in ((start - 0.07, start), (end, end + 0.07)):
        frame.box((a, -GAP - 0.02, 0), (b, 0.02, h + 0.07), color)
    frame.box((start, -GAP - 0.02, h), (end, 0.02, h + 0.07), color, bottom=True)
    piece.new("floor").quad((start, -GAP, 0), (width, 0, 0), (0, GAP, 0), (150, 140, 130), two_sided=False)
    leaf_inside = rng.random() < 0.6
    if leaf_inside:
        leaf = piece.new("door").box((start - 0.05, 0.03, 0.01), (start, width, h - 0.02), shade(color, 1.05), WOOD)
        leaf.box((start, width - 0.12, 0.98), (start + 0.05, width - 0.03, 1.02), (150, 148, 142), bottom=True)
        zone.boxes.append(zone.box(wall, (start - 0.06, start + 0.02), (0, width), (0, h)))
    zone.add(wall, piece, 0.0)
    for side, where, a, b in ((zone, wall, start, end), (other, back, across - end, across - start)):
        side.boxes.append(side.box(where, (a - 0.07, b + 0.07), (0, 0.05), (0, h + 0.07)))
        side.clear.append(side.box(where, (a, b), (0, 0.7), (0, h)))


def add_window(zone: Zone, wall: int, rng: np.random.Generator, curtain_chance: float) -> bool:
    """A window: hole, frame with a cross bar, pale glass, sill; curtains or blinds before it."""
    w, low, high = rng.uniform(0.9, 1.7), rng.uniform(0.85, 1.0), rng.uniform(1.95, 2.15)
    if zone.theme == "bathroom":
        w, low = rng.uniform(0.6, 0.9), rng.uniform(1.2, 1.35)
    margin = 0.4 if zone.length(wall) > w + 0.9 else 0.15
    start = _free_span(zone, wall, w, margin, rng, (low, high))
    if start is None:
        return False
    end = start + w
    zone.holes[wall].append((start, end, low, high))
    piece = Piece(w, 0.1, high)
    white = pick(rng, ((238, 238, 234), (150, 120, 90), (210, 208, 202)))
    solid = piece.new("window")
    for a, b in ((start, start + 0.05), (end - 0.05, end)):
        solid.box((a, -0.1, low), (b, 0.015, high), white, bottom=True)
    for a, b in ((low, low + 0.05), (high - 0.05, high)):
        solid.box((start, -0.1, a), (end, 0.015, b), white, bottom=True)
    middle = (start + end) / 2
    solid.box((middle - 0.025, -0.08, low), (middle + 0.025, -0.02, high), white)
    glass = pick(rng, ((196, 222, 240), (210, 230, 240), (180, 208, 230)), 6)
    solid.quad((end, -0.06, low), (-w, 0, 0), (0, 0, high - low), glass, GLASS, two_sided=False)
    sill = piece.new("windowsill" if rng.random() < 0.4 else "window")
    sill.box((start - 0.05, -0.02, low - 0.04), (end + 0.05, 0.1, low), white, bottom=True)
    choice = rng.random()
    if choice < curtain_chance:
        _curtains(zone, wall, piece, rng, start, end, high)
    elif choice < curtain_chance + 0.25:
        bottom = low + rng.uniform(0.0, 0.6) * (high - low)
        blinds = piece.new("blinds")
        blinds.quad(
            (end - 0.03, 0.02, bottom),
            (0.06 - w, 0, 0),
            (0, 0, high - bottom),
            pick(rng, ((226, 222, 210), (180, 170, 150))),
            STRIPES,
        )
    zone.add(wall, piece, 0.0)
    zone.boxes.append(zone.box(wall, (start - 0.05, end + 0.05), (0, 0.11), (low - 0.04, high)))
    return True


def _curtains(
    zone: Zone, wall: int, piece: Piece, rng: np.random.Generator, start: float, end: float, high: float
) -> None:
    color = pick(rng, (*palette.FABRICS, *palette.LINEN))
    wide, length = rng.uniform(0.3, 0.5), zone.length(wall)
    bottoms = (0.03, 0.75, 1.0) if rng.random() < 0.6 else (0.75, 1.0)
    for a in (max(start - 0.15, 0.02), min(end + 0.15, length - 0.02) - wide):
        # Down to the floor, or to what stands below the window.
        for bottom in bottoms:
            box = zone.box(wall, (a, a + wide), (0.02, 0.17), (bottom, high + 0.1))
            if zone.fits_flat(box):
                drape(piece, "curtain", a, wide, 0.13, (bottom, high + 0.1), color)
                zone.boxes.append(box)
                break
    piece.new(None).box(
        (start - 0.2, 0.11, high + 0.1), (end + 0.2, 0.14, high + 0.125), (90, 80, 70), PLAIN, bottom=True
    )
