"""A building site at the edge of the carriageway."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.streets.lorries import any_machine
from regionzoo.scenes.streets.people import worker
from regionzoo.scenes.streets.plots import Ground, Strip
from regionzoo.scenes.streets.small import bag, barrier, bin_on_wheels, cone, rubble
from regionzoo.scenes.streets.things import Path


def works(ground: Ground, strip: Strip, rng: np.random.Generator, s: float, length: float, machine: bool) -> None:
    """Close a strip from s on for ``length`` metres: cones and barriers towards traffic, people and machines within.

    The strip is taken as a whole, so nobody parks in what is left free.
    """
    edge, side = 0.2, strip.side
    if machine:
        path = Path(s + 0.62 * length, strip.at(0.58), strip.yaw + rng.normal(0, 0.03))
        ground.put("vehicle.construction", any_machine(rng), path, "vehicle.parked", margin=0.0)
    # The taper and the long row of cones along the open lane.
    for k in range(3):
        _cone(ground, rng, s + 1.2 * k, side * (strip.outer - (strip.width - edge) * (k + 0.4) / 3.4))
    at, barriers, style = s + 4.5, rng.random() < 0.75, int(rng.integers(3))
    row = side * (strip.inner + edge)
    while at < s + length:
        if barriers and rng.random() < 0.5:
            for _ in range(int(rng.integers(1, 4))):
                # Their long side runs along the street.
                turn = np.pi / 2 + rng.normal(0, 0.06)
                ground.put("movable_object.barrier", barrier(rng, style), Path(at + 1, row, turn), margin=0.02)
                at += 2.3
        else:
            _cone(ground, rng, at, row + rng.normal(0, 0.06))
            at += rng.uniform(1.6, 3.0)
    for share in (0.3, 0.7):
        turn = rng.normal(0, 0.1)
        ground.put(
            "movable_object.barrier", barrier(rng, style), Path(s + length + 0.8, strip.at(share), turn), margin=0.02
        )
    for _ in range(int(rng.integers(2, 5))):
        path = Path(s + rng.uniform(0.2, 0.95) * length, strip.at(rng.uniform(0.4, 0.9)), rng.uniform(-3, 3))
        ground.put("human.pedestrian.construction_worker", worker(rng, False), path, "pedestrian.standing")
    for make, category in ((rubble, "debris"), (bag, "debris"), (bin_on_wheels, "pushable_pullable")):
        if rng.random() < 0.6:
            path = Path(s + rng.uniform(0.2, 0.9) * length, strip.at(rng.uniform(0.45, 0.85)), rng.uniform(-3, 3))
            ground.put(f"movable_object.{category}", make(rng), path)
    ground.take(s - 1, s + length + 1.5, *sorted((side * strip.inner, side * strip.outer)))


def scattered(ground: Ground, strip: Strip, rng: np.random.Generator, s: float) -> None:
    """A few cones or barriers that someone has left at the kerb."""
    if rng.random() < 0.5:
        for k in range(int(rng.integers(1, 4))):
            _cone(ground, rng, s + 1.5 * k, strip.at(rng.uniform(0.0, 0.3)))
        return
    style = int(rng.integers(3))
    for k in range(int(rng.integers(1, 5))):
        path = Path(s + 2.2 * k, strip.at(0.1), np.pi / 2 + rng.normal(0, 0.08))
        ground.put("movable_object.barrier", barrier(rng, style), path, margin=0.02)


def _cone(ground: Ground, rng: np.random.Generator, s: float, d: float) -> None:
    ground.put("movable_object.trafficcone", cone(rng), Path(s, d, rng.uniform(-3, 3)), margin=0.02)
