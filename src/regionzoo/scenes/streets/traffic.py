"""Vehicles in the lanes and at the kerb."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.streets.cars import car
from regionzoo.scenes.streets.cycles import bicycle, motorcycle
from regionzoo.scenes.streets.lorries import any_machine, bendy_bus, bus, tractor, trailer, truck
from regionzoo.scenes.streets.plots import Ground, Plan, Strip
from regionzoo.scenes.streets.things import Path

RIDDEN, EMPTY = "cycle.with_rider", "cycle.without_rider"
SLOW = 7.0
"""m/s up to which bicycles ride among cars."""

_MOVING = (
    ("car", 0.6),
    ("truck", 0.1),
    ("bus", 0.06),
    ("motorcycle", 0.1),
    ("bicycle", 0.08),
    ("trailer", 0.06),
)


def drive(plan: Plan, ground: Ground, rng: np.random.Generator, speeds: tuple[float, ...]) -> None:
    """Fill the lanes; all vehicles of a lane are equally fast, so none meets another. speeds: m/s of each lane."""
    names, chances = [name for name, _ in _MOVING], [chance for _, chance in _MOVING]
    for number, (lane, speed) in enumerate(zip(plan.lanes, speeds, strict=True)):
        along = speed if lane.forward else -speed
        # Where the queue starts and ends so that the stretch is full all the time.
        first, last = sorted((plan.start, plan.start - along * plan.seconds))[0], plan.stop
        s = first + rng.uniform(0, 20)
        while s < max(last, last - along * plan.seconds):
            # Beside the recording car only what it can look past.
            near = -14 < s < plan.travel + 26
            name = str(
                rng.choice(["car", "motorcycle", "bicycle"], p=[0.5, 0.3, 0.2])
                if near
                else rng.choice(names, p=chances)
            )
            if name == "bicycle" and speed > SLOW:
                name = "motorcycle"
            # The recording car: from its tail 1 m behind the rear axle to its nose 3.3 m before it, and a gap.
            blocked = number == 0 and -14 < s < 16
            if not blocked:
                s += _vehicle(plan, ground, lane, rng, name, s, along)
            s += rng.uniform(4, 9) if speed == 0 else rng.uniform(14, 45) if near else rng.uniform(9, 40)


def park(plan: Plan, ground: Ground, rng: np.random.Generator) -> None:
    """Fill the parking strips with standing vehicles, some in groups."""
    for strip in plan.parking:
        s = plan.start + rng.uniform(0, 6)
        while s < plan.stop:
            draw = rng.random()
            if draw < 0.16:
                for k in range(int(rng.integers(1, 5))):
                    two = motorcycle if rng.random() < 0.65 else bicycle
                    name = "vehicle.motorcycle" if two is motorcycle else "vehicle.bicycle"
                    turn = strip.yaw + rng.choice([-1, 1]) * rng.uniform(0.9, 1.5)
                    ground.put(name, two(rng, False), Path(s + 1.0 * k, strip.at(0.5), turn), EMPTY)
                s += 5.0
            elif draw < 0.86:
                name = str(rng.choice(["car", "truck", "trailer"], p=[0.88, 0.08, 0.04]))
                s += stand(ground, strip, rng, name, s) + rng.uniform(0.6, 1.6)
            else:
                s += rng.uniform(4, 12)


def cross(plan: Plan, ground: Ground, rng: np.random.Generator) -> None:
    """Cars that wait in the crossing streets."""
    for centre in plan.road.crossings:
        for side in (-1, 1):
            edge = plan.road.left.edge if side > 0 else plan.road.right.edge
            d = side * (edge + rng.uniform(5, 8))
            for _ in range(int(rng.integers(0, 3))):
                # They face the street and keep to the driver's own side of the crossing one.
                s = centre + plan.mine * side * plan.road.crossing_width / 4
                ground.put("vehicle.car", car(rng), Path(s, d, -side * np.pi / 2), "vehicle.stopped")
                d += side * rng.uniform(6, 8)


def stand(ground: Ground, strip: Strip, rng: np.random.Generator, name: str, s: float) -> float:
    """Park one vehicle from s on; returns how far the next one must be."""
    if name == "bus":
        parts = bus(rng)
    elif name == "truck":
        parts = truck(rng)
    elif name == "trailer":
        parts = trailer(rng)
    elif name == "construction":
        parts = any_machine(rng)
    else:
        parts = car(rng)
    category = _CATEGORY[name]
    half = max(abs(part.centre[0]) + max(part.half) for part in parts)
    turn = strip.yaw if rng.random() < 0.93 else strip.yaw + np.pi
    path = Path(s + half, strip.middle + rng.normal(0, 0.06), turn + rng.normal(0, 0.02))
    ground.put(category, parts, path, "vehicle.parked")
    return 2 * half


_CATEGORY = {
    "car": "vehicle.car",
    "truck": "vehicle.truck",
    "bus": "vehicle.bus.rigid",
    "trailer": "vehicle.trailer",
    "construction": "vehicle.construction",
}


def _vehicle(
    plan: Plan, ground: Ground, lane: Strip, rng: np.random.Generator, name: str, s: float, along: float
) -> float:
    """Put one moving vehicle with its near end at s; returns its length."""
    state = "vehicle.moving" if along else "vehicle.stopped"
    facing = 1 if lane.forward else -1

    def put(category: str, parts: tuple, middle: float, attribute: str, d: float = lane.middle) -> None:
        path = Path(middle, d, lane.yaw + rng.normal(0, 0.015), along)
        ground.put(category, parts, path, attribute, plan.seconds, 0.05)

    if name in ("motorcycle", "bicycle"):
        d = lane.at(rng.uniform(0.35, 0.75))
        parts = motorcycle(rng, True) if name == "motorcycle" else bicycle(rng, True)
        put(f"vehicle.{name}", parts, s + 1.1, RIDDEN, d)
        return 2.2
    if name == "trailer":
        parts = trailer(rng)
        half = max(part.half[0] for part in parts)
        # The tractor is in front, so its place depends on the way of the lane.
        at = s + half if lane.forward else s + half + 5.5
        put("vehicle.trailer", parts, at, state)
        put("vehicle.truck", tractor(rng), at + facing * (half + 2.2), state)
        return 2 * half + 6
    if name == "bus" and rng.random() < 0.4:
        front, rear, behind = bendy_bus(rng)
        at = s + 13 if lane.forward else s + 6
        put("vehicle.bus.bendy", front, at, state)
        put("vehicle.bus.bendy", rear, at - facing * behind, state)
        return 20.0
    parts = bus(rng) if name == "bus" else truck(rng) if name == "truck" else car(rng)
    half = max(abs(part.centre[0]) + part.half[0] for part in parts)
    put(_CATEGORY[name], parts, s + half, state, lane.middle + rng.normal(0, 0.12))
    return 2 * half
