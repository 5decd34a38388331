"""Sidewalks: who walks there and what stands at the kerb."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.streets.cycles import bicycle, motorcycle
from regionzoo.scenes.streets.fixed import bollard, cabinet, lamp, shelter, sign, traffic_light, tree
from regionzoo.scenes.streets.people import adult, child, officer
from regionzoo.scenes.streets.plots import Ground, Plan, Strip
from regionzoo.scenes.streets.small import bag, bin_on_wheels, dog, rack
from regionzoo.scenes.streets.things import Path
from regionzoo.scenes.streets.traffic import EMPTY, RIDDEN

KERB_ZONE = 0.55
"""Metres from the kerb to the middle of lamps and signs."""


def people(plan: Plan, ground: Ground, rng: np.random.Generator) -> None:
    """People on the sidewalks, most of them near the recording car's way."""
    for walk, count in zip(plan.walks, (rng.integers(12, 22), rng.integers(8, 18)), strict=True):
        for _ in range(int(count)):
            s = rng.uniform(-14, plan.travel + 26) if rng.random() < 0.75 else rng.uniform(plan.start, plan.stop)
            _group(plan, ground, walk, rng, s)
        for _ in range(int(rng.integers(0, 3))):
            s, d = rng.uniform(-10, plan.travel + 22), walk.at(rng.uniform(0.45, 0.8))
            along = rng.uniform(2, 4.5) * rng.choice([-1, 1])
            path = Path(s, d, 0.0 if along > 0 else np.pi, along)
            ground.put("vehicle.bicycle", bicycle(rng, True), path, RIDDEN, plan.seconds)


def _group(plan: Plan, ground: Ground, walk: Strip, rng: np.random.Generator, s: float) -> None:
    walking = rng.random() < 0.7
    along = rng.uniform(0.8, 1.7) * rng.choice([-1, 1]) if walking else 0.0
    turn = (0.0 if along > 0 else np.pi) if walking else rng.uniform(-3, 3)
    d = walk.at(rng.uniform(0.35, 0.85))
    for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))):
        draw = rng.random()
        if draw < 0.1:
            category, parts = "human.pedestrian.child", child(rng, walking)
        elif draw < 0.13:
            category, parts = "human.pedestrian.police_officer", officer(rng, walking)
        else:
            category, parts = "human.pedestrian.adult", adult(rng, walking)
        facing = turn + rng.normal(0, 0.1 if walking else 1.0)
        state = "pedestrian.moving" if walking else "pedestrian.standing"
        ground.put(category, parts, Path(s, d, facing, along), state, plan.seconds)
        s, d = s + rng.uniform(-0.3, 0.3), d + rng.uniform(0.65, 0.9) * rng.choice([-1, 1])
    if rng.random() < 0.05:
        ground.put("animal", dog(rng), Path(s - 0.8, d, turn, along), "", plan.seconds)


def furniture(plan: Plan, ground: Ground, rng: np.random.Generator) -> None:
    """Lamps, signs, trees, parked bicycles and motorcycles along the kerb."""
    every = rng.uniform(18, 30)
    with_trees = rng.random(2) < 0.55
    for number, walk in enumerate(plan.walks):
        d = walk.at(KERB_ZONE / walk.width)
        # Arms reach over the carriageway: along -y on the left side of the street, along y on the right.
        inward = np.pi if walk.side > 0 else 0.0
        for s in np.arange(plan.start + rng.uniform(0, every), plan.stop, every).tolist():
            if not plan.road.in_crossing(np.array(s)):
                ground.put("static.manmade", lamp(rng), Path(s, d, inward))
        s = plan.start + rng.uniform(0, 8)
        while s < plan.stop:
            if not plan.road.in_crossing(np.array(s)):
                _piece(ground, walk, rng, s, d, bool(with_trees[number]))
            s += rng.uniform(3, 9)


def _piece(ground: Ground, walk: Strip, rng: np.random.Generator, s: float, d: float, with_trees: bool) -> None:
    draw, turn = rng.random(), rng.normal(0, 0.05)
    if with_trees and draw < 0.45:
        ground.put("static.vegetation", tree(rng), Path(s, d), margin=0.4)
    elif draw < 0.55:
        ground.put("static.manmade", sign(rng), Path(s, d, turn + rng.choice([0, np.pi])))
    elif draw < 0.63:
        ground.put("static.manmade", bollard(rng), Path(s, d))
    elif draw < 0.70:
        ground.put("static.manmade", cabinet(rng), Path(s, d, np.pi / 2 if rng.random() < 0.5 else 0.0))
    elif draw < 0.76:
        ground.put("static_object.bicycle_rack", rack(rng), Path(s, walk.at(0.2), np.pi / 2))
    elif draw < 0.80:
        make, name = (bag, "debris") if rng.random() < 0.5 else (bin_on_wheels, "pushable_pullable")
        ground.put(f"movable_object.{name}", make(rng), Path(s, d, turn))
    elif draw < 0.92:
        for k in range(int(rng.integers(1, 4))):
            lean = Path(s + 0.9 * k, d + 0.1 * walk.side, rng.choice([-1, 1]) * rng.uniform(1.0, 1.5))
            ground.put("vehicle.bicycle", bicycle(rng, False), lean, EMPTY)
    else:
        for k in range(int(rng.integers(1, 3))):
            path = Path(s + 1.3 * k, walk.at(0.3), rng.choice([-1, 1]) * rng.uniform(1.0, 1.5))
            ground.put("vehicle.motorcycle", motorcycle(rng, False), path, EMPTY)


def corners(plan: Plan, ground: Ground, rng: np.random.Generator) -> None:
    """Traffic lights at crossings, and people who cross before a car that waits."""
    for centre in plan.road.crossings:
        for walk in plan.walks:
            inward = np.pi if walk.side > 0 else 0.0
            before = -1 if walk is plan.walks[0] else 1
            s = centre + before * (plan.road.crossing_width / 2 + 0.8)
            arm = rng.uniform(3.5, 6.0) if rng.random() < 0.6 else 0.0
            # Lights look against the traffic of their side, which is where their x points.
            facing = inward if before < 0 else inward + np.pi
            arm = arm if facing == inward else -arm
            ground.put("static.manmade", traffic_light(rng, arm), Path(s, walk.at(KERB_ZONE / walk.width), facing))
    for start in plan.road.zebras if plan.speed == 0 else ():
        for _ in range(int(rng.integers(2, 6))):
            across = rng.uniform(0.9, 1.6) * rng.choice([-1, 1])
            d = rng.uniform(-plan.road.right.edge, plan.road.left.edge)
            path = Path(
                start + rng.uniform(0.5, plan.road.zebra_width - 0.5), d, np.copysign(np.pi / 2, across), 0.0, across
            )
            parts = adult(rng, True) if rng.random() < 0.85 else child(rng, True)
            name = "adult" if max(part.centre[2] for part in parts) > 1.37 else "child"
            ground.put(f"human.pedestrian.{name}", parts, path, "pedestrian.moving", plan.seconds)


def bus_stop(ground: Ground, walk: Strip, rng: np.random.Generator, s: float) -> None:
    """A shelter at the back of the sidewalk and people who wait before it."""
    turn = np.pi if walk.side < 0 else 0.0
    ground.put("static.manmade", shelter(rng), Path(s, walk.at(0.82), turn))
    for _ in range(int(rng.integers(1, 5))):
        path = Path(s + rng.uniform(-2.5, 2.5), walk.at(rng.uniform(0.25, 0.5)), rng.uniform(-3, 3))
        ground.put("human.pedestrian.adult", adult(rng, False), path, "pedestrian.standing")
