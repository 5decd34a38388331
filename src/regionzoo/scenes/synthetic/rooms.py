"""A furnished room from the plans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.synthetic.geometry import Solid
from regionzoo.scenes.synthetic.layout import clutter, fulfil, hang, overlook
from regionzoo.scenes.synthetic.plans import BASE, DAYLIGHT, EXTRA, FIRST, PLANS, Wish
from regionzoo.scenes.synthetic.shell import GAP, Zone, add_door, add_passage, add_window, build_shell


@dataclass(frozen=True)
class Room:
    """A furnished room: its objects in room coordinates (floor at z = 0), its zones and its type."""

    solids: list[Solid]
    zones: list[Zone]
    scene_type: str


def furnish(number: int, rng: np.random.Generator, order: np.random.Generator) -> Room:
    """Build room ``number``: ``order`` (the same for a whole cycle of plans) deals the plans, ``rng`` does the rest."""
    theme, extras, second, scene_type = PLANS[int(order.permutation(len(PLANS))[number % len(PLANS)])]
    height = rng.uniform(2.4, 2.8)
    zones = _zones(theme, second, height, rng)
    for index, zone in enumerate(zones):
        walls = _outer_walls(len(zones), index, rng)
        if index == 0:
            add_door(zone, walls[-1], rng)
        # What makes it that room goes first, then the extras, then windows where a wall is still free.
        base = BASE[zone.theme]
        wanted = [EXTRA[name] for name in extras] if index == 0 else []
        for wish in (*base[:FIRST], *wanted):
            _repeat(zone, wish, rng)
        _openings(zone, walls, index, rng)
        for wish in base[FIRST:]:
            _repeat(zone, wish, rng)
        build_shell(zone, rng)
        hang(zone, rng)
        clutter(zone, rng)
        overlook(zone, rng)
    if len(zones) > 1:
        # The two sides of a thin wall are one object to an annotator, and a depth test can hardly tell them apart.
        partition = zones[1].walls[3]
        zones[0].walls[1].absorb(partition)
        zones[1].solids = [solid for solid in zones[1].solids if solid is not partition]
    return Room([solid for zone in zones for solid in zone.solids], zones, scene_type)


def _zones(theme: str, second: str | None, height: float, rng: np.random.Generator) -> list[Zone]:
    if second is None:
        w, d = rng.uniform(3.5, 4.8), rng.uniform(3.3, 4.4)
        if theme == "bathroom":
            w, d = rng.uniform(2.4, 3.0), rng.uniform(2.3, 2.8)
        return [Zone(theme, (-w / 2, -d / 2, w / 2, d / 2), height)]
    d = rng.uniform(3.1, 3.8) if theme != "bathroom" else rng.uniform(2.5, 3.0)
    w0 = rng.uniform(3.2, 3.8) if theme != "bathroom" else rng.uniform(2.3, 2.8)
    w1 = rng.uniform(1.75, 2.15) if second == "bathroom" else rng.uniform(1.9, 2.4)
    left = -(w0 + w1 + GAP) / 2
    first = Zone(theme, (left, -d / 2, left + w0, d / 2), height)
    other = Zone(second, (left + w0 + GAP, -d / 2, left + w0 + GAP + w1, d / 2), height)
    width = rng.uniform(0.78, 0.88)
    start = 0.2 if rng.random() < 0.5 else d - width - 0.2
    add_passage(first, other, 1, start, width, rng)
    return [first, other]


def _outer_walls(zones: int, index: int, rng: np.random.Generator) -> list[int]:
    """The walls that do not lie between zones, in random order."""
    inner = {0: 1, 1: 3}[index] if zones > 1 else -1
    walls = [wall for wall in range(4) if wall != inner]
    rng.shuffle(walls)
    return walls


def _repeat(zone: Zone, wish: Wish, rng: np.random.Generator) -> None:
    for _ in range(int(wish.chance) + int(rng.random() < wish.chance % 1)):
        fulfil(zone, wish, rng)


def _openings(zone: Zone, walls: list[int], index: int, rng: np.random.Generator) -> None:
    """Windows and a closet on the outer walls."""
    if index == 0 and zone.theme in ("bedroom", "storage", "office") and rng.random() < 0.3:
        add_door(zone, walls[0], rng, closet=True)
    chance = {"bathroom": 0.45, "storage": 0.4, "kitchen": 0.8}.get(zone.theme, 1.0)
    curtains = {"bathroom": 0.2, "storage": 0.2, "kitchen": 0.4, "office": 0.4}.get(zone.theme, 0.75)
    wanted = int(rng.random() < chance) + int(zone.theme in DAYLIGHT and rng.random() < 0.4)
    for wall in walls:
        if wanted and add_window(zone, wall, rng, curtains):
            wanted -= 1
