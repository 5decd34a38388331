"""What stands behind the sidewalks: houses, gardens and parks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from regionzoo.scenes.streets.fixed import bush, garden_wall, hedge, house, island, mound, tree
from regionzoo.scenes.streets.plots import Ground, Plan, Strip
from regionzoo.scenes.streets.road import TERRAIN, Side
from regionzoo.scenes.streets.things import Path


def fill(plan: Plan, ground: Ground, rng: np.random.Generator) -> None:
    """Fill the stretches behind both sidewalks, each by what its ground is."""
    for strip in plan.behind:
        side = plan.road.left if strip.side > 0 else plan.road.right
        cuts = [plan.start, *(float(cut) for cut in side.cuts if plan.start < cut < plan.stop), plan.stop]
        for first, last in pairwise(cuts):
            for s0, s1 in _without_crossings(plan, first, last):
                grass = _behind(side, (first + last) / 2) == TERRAIN
                if grass and rng.random() < 0.5:
                    _park(ground, strip, rng, s0, s1)
                else:
                    _houses(ground, strip, rng, s0, s1, grass)


def islands(plan: Plan, ground: Ground, rng: np.random.Generator, d: float, width: float) -> None:
    """Traffic islands along the middle of the street, some with a tree or a bush."""
    s = plan.start + rng.uniform(0, 10)
    while s < plan.stop:
        length = rng.uniform(5, 16)
        middle = s + length / 2
        clear = [abs(middle - centre) > (plan.road.crossing_width + length) / 2 for centre in plan.road.crossings]
        clear += [middle + length / 2 < z or middle - length / 2 > z + plan.road.zebra_width for z in plan.road.zebras]
        if (
            all(clear)
            and ground.put("flat.other", island(length, width), Path(middle, d), margin=0.0)
            and rng.random() < 0.4
        ):
            make = tree if rng.random() < 0.5 and width > 1.4 else bush
            parts = tuple(part for part in make(rng) if make is tree or part.half[1] < width / 2)
            if parts:
                ground.lay("static.vegetation", parts, Path(middle, d))
        s += length + rng.uniform(3, 14)


def _behind(side: Side, s: float) -> int:
    return int(side.behind[np.searchsorted(side.cuts, s)])


def _without_crossings(plan: Plan, first: float, last: float) -> list[tuple[float, float]]:
    """The parts of a stretch that lie in no crossing street."""
    parts, start, gap = [], first, plan.road.crossing_width / 2 + 0.6
    for centre in sorted(plan.road.crossings):
        if centre + gap < first or centre - gap > last:
            continue
        if centre - gap - start > 4:
            parts.append((start, centre - gap))
        start = max(start, centre + gap)
    if last - start > 4:
        parts.append((start, last))
    return parts


def _houses(ground: Ground, strip: Strip, rng: np.random.Generator, s0: float, s1: float, grass: bool) -> None:
    """A row of houses, set back behind gardens where there is grass."""
    back = rng.uniform(2.5, 7) if grass else rng.uniform(0.1, 1.5)
    s = s0
    while s1 - s > 6:
        length = min(rng.uniform(8, 18), s1 - s)
        depth, d = rng.uniform(8, 14), strip.side * (strip.inner + back + rng.uniform(0, 0.5))
        # A house's front is at y = 0 and looks to -y: towards the street on its left side.
        turn = 0.0 if strip.side > 0 else np.pi
        ground.lay("static.manmade", house(rng, length - 0.2, depth), Path(s + length / 2, d, turn))
        if grass and rng.random() < 0.7:
            wide = length - 2.5
            make, name = (hedge, "static.vegetation") if rng.random() < 0.5 else (garden_wall, "static.manmade")
            ground.put(name, make(rng, wide), Path(s + wide / 2, strip.side * (strip.inner + 0.6)))
        s += length + (rng.uniform(1.5, 5) if rng.random() < 0.3 else 0.0)
    if grass:
        for s in np.arange(s0 + 1, s1 - 1, rng.uniform(3, 7)).tolist():
            make = bush if rng.random() < 0.75 else tree
            d = strip.side * (strip.inner + rng.uniform(1.2, max(1.3, back - 0.8)))
            ground.put("static.vegetation", make(rng), Path(s, d))


def _park(ground: Ground, strip: Strip, rng: np.random.Generator, s0: float, s1: float) -> None:
    """Grass with bumps, trees and bushes, sometimes behind a wall, and a row of houses far back."""
    if rng.random() < 0.4:
        ground.put(
            "static.manmade", garden_wall(rng, s1 - s0 - 1), Path((s0 + s1) / 2, strip.side * (strip.inner + 0.5))
        )
    area = (s1 - s0) * 22
    for _ in range(int(area / 90)):
        d = strip.side * (strip.inner + rng.uniform(4, 22))
        ground.lay("flat.terrain", mound(rng), Path(rng.uniform(s0, s1), d, rng.uniform(-3, 3)))
    for _ in range(int(area / 55)):
        make = tree if rng.random() < 0.6 else bush
        d = strip.side * (strip.inner + 1.5 + 20 * rng.random() ** 1.5)
        ground.put("static.vegetation", make(rng), Path(rng.uniform(s0 + 1, s1 - 1), d))
    s = s0
    while s < s1:
        length = rng.uniform(10, 22)
        turn = 0.0 if strip.side > 0 else np.pi
        d = strip.side * (strip.inner + rng.uniform(24, 34))
        if rng.random() < 0.6:
            ground.lay("static.manmade", house(rng, length - 1, 12.0), Path(s + length / 2, d, turn))
        s += length
