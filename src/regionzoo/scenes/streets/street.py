"""Lay out a street: its road, what stands along it and what moves on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.streets import behind, traffic, walk
from regionzoo.scenes.streets.ego import Ride
from regionzoo.scenes.streets.plots import Ground, Plan, Strip
from regionzoo.scenes.streets.road import SIDEWALK, TERRAIN, Road, Side
from regionzoo.scenes.streets.things import Thing
from regionzoo.scenes.streets.works import scattered, works

MARGIN = 95.0
"""Metres of street before the first and behind the last place of the car: as far as its sensors see."""


@dataclass(frozen=True)
class Street:
    """A drive's world: the ground, the things on it, and how the recording car goes through it."""

    road: Road
    things: list[Thing]
    ride: Ride
    description: str


def lay_out(rng: np.random.Generator, number: int, seconds: float) -> Street:
    """Draw the street of drive ``number`` of its split for a ride of ``seconds``.

    The number deals what is rare, so that any three drives in a row hold every trained class.
    """
    deal = number % 3
    speed = 0.0 if rng.random() < 0.15 else float(rng.uniform(3, 12))
    middle = _middle(rng, deal)
    plan = _plan(rng, deal, speed, seconds, middle)
    lane = plan.lanes[0]
    ride = Ride(
        speed=speed,
        start=0.0,
        lane=lane.middle + float(rng.normal(0, 0.1)),
        sway=float(rng.uniform(0, 0.15)),
        lean=(float(rng.normal(0, 0.008)), float(rng.normal(0, 0.004))),
        phase=tuple(rng.uniform(0, 2 * np.pi, 3).tolist()),
    )
    ground = Ground()
    # The recording car's own way.
    ground.take(-3.0, plan.travel + 6.0, *sorted((lane.at(0.1), lane.at(0.9))))
    if middle[0] == "islands":
        behind.islands(plan, ground, rng, 0.0, middle[1] - 0.5)
    _set_pieces(plan, ground, rng, deal)
    walk.corners(plan, ground, rng)
    for start in plan.road.zebras if speed == 0 else ():
        # Who waits, waits before it.
        ground.take(start - 0.5, start + plan.road.zebra_width + 0.5, -plan.road.right.edge, plan.road.left.edge)
    traffic.drive(plan, ground, rng, _speeds(plan, rng))
    traffic.park(plan, ground, rng)
    traffic.cross(plan, ground, rng)
    walk.furniture(plan, ground, rng)
    walk.people(plan, ground, rng)
    behind.fill(plan, ground, rng)
    return Street(plan.road, ground.things, ride, _describe(ground, plan))


def _middle(rng: np.random.Generator, deal: int) -> tuple[str, float]:
    """What parts the two directions, and how wide it is."""
    kinds = ["rails", "islands", "line"]
    kind = str(rng.choice(kinds[:2] if deal == 1 else kinds, p=(0.5, 0.5) if deal == 1 else (0.3, 0.35, 0.35)))
    return kind, float({"rails": rng.uniform(2.6, 5.2), "islands": rng.uniform(1.6, 2.8), "line": 0.0}[kind])


def _plan(rng: np.random.Generator, deal: int, speed: float, seconds: float, middle: tuple[str, float]) -> Plan:
    curvature = 0.0 if rng.random() < 0.35 else float(rng.uniform(-1, 1)) / 160
    mine = int(rng.choice([-1, 1], p=[0.6, 0.4]))
    lane, parking = rng.uniform(3.1, 3.6), 2.6
    ahead, back = int(rng.choice([1, 2], p=[0.6, 0.4])), int(rng.choice([1, 2], p=[0.65, 0.35]))
    half, travel = middle[1] / 2, speed * seconds
    lanes = [Strip(mine, half + k * lane, half + (k + 1) * lane) for k in range(ahead)]
    lanes += [Strip(-mine, half + k * lane, half + (k + 1) * lane, False) for k in range(back)]
    own = int(rng.integers(ahead))
    lanes.insert(0, lanes.pop(own))
    strips, edges = [], []
    for side, count, chance in ((mine, ahead, 0.85), (-mine, back, 0.7)):
        edge = half + count * lane + 0.3
        # One side at least has room to stand: sites and rare vehicles need it.
        if rng.random() < chance or (side == -mine and not strips):
            strips.append(Strip(side, edge - 0.2, edge - 0.2 + parking, side == mine))
            edge += parking
        edges.append(edge)
    start, stop = -MARGIN, travel + MARGIN
    sides = [_side(rng, edge, start, stop, deal == 2 and k == 0) for k, edge in enumerate(edges)]
    left, right = sides if mine > 0 else sides[::-1]
    crossings = (float(rng.uniform(14, 40) + travel),) if rng.random() < 0.5 else ()
    zebra = (8.0,) if speed == 0 else (float(rng.uniform(-20, -8)),) if rng.random() < 0.4 else ()
    width = float(rng.uniform(7, 11))
    if crossings:
        zebra = (*zebra, crossings[0] - width / 2 - 5.5)
    lines = [(side * (half + k * lane), True) for side, n in ((mine, ahead), (-mine, back)) for k in range(1, n)]
    lines += [(strip.at(0.0), False) for strip in strips]
    lines += [(-half, False), (half, False)] if half else [(-0.12, False), (0.12, False)]
    road = Road(
        curvature=curvature,
        kerb=float(rng.uniform(0.12, 0.2)),
        left=left,
        right=right,
        crossings=crossings,
        crossing_width=width,
        rails=(0.0, middle[1]) if middle[0] == "rails" else None,
        lines=tuple(lines),
        zebras=zebra,
    )
    walks = tuple(Strip(s, side.edge + side.verge, side.back) for s, side in zip((mine, -mine), sides, strict=True))
    rear = tuple(Strip(s, side.back, side.back + 40) for s, side in zip((mine, -mine), sides, strict=True))
    return Plan(
        road,
        mine,
        tuple(lanes),
        tuple(strips),
        (walks[0], walks[1]),
        (rear[0], rear[1]),
        start,
        stop,
        seconds,
        travel,
        speed,
    )


def _side(rng: np.random.Generator, edge: float, start: float, stop: float, grass: bool) -> Side:
    cuts = [start]
    while cuts[-1] < stop:
        cuts.append(cuts[-1] + rng.uniform(22, 48))
    kinds = np.where(rng.random(len(cuts) + 1) < 0.6, TERRAIN, SIDEWALK).astype(np.uint8)
    verge = float(rng.uniform(1.0, 2.2)) if grass or rng.random() < 0.3 else 0.0
    return Side(edge, verge, float(rng.uniform(2.6, 4.6)), np.array(cuts), kinds)


def _speeds(plan: Plan, rng: np.random.Generator) -> tuple[float, ...]:
    """m/s of each lane. Where the recording car waits, all wait, for people may cross."""
    if plan.speed == 0:
        return (0.0,) * len(plan.lanes)
    others = [float(plan.speed * rng.uniform(0.7, 1.2) if lane.forward else rng.uniform(3, 11)) for lane in plan.lanes]
    return (plan.speed, *others[1:])


def _set_pieces(plan: Plan, ground: Ground, rng: np.random.Generator, deal: int) -> None:
    """Building sites and rare vehicles, near the recording car's way and before all else."""
    strips = list(plan.parking)
    site = strips[0] if strips[0].side == plan.mine or rng.random() < 0.8 else None
    at = float(rng.uniform(2, 10) + 0.4 * plan.travel)
    length = float(rng.uniform(14, 26))
    machine = deal == 2 or rng.random() < 0.45
    if site or machine:
        works(ground, site or strips[0], rng, at, length, machine)
    rare = (("bus", "truck"), ("trailer", "truck"), ("bus", "trailer"))[deal]
    where = strips[-1]
    s = (
        float(rng.uniform(-14, -6))
        if where is site or len(strips) == 1
        else float(rng.uniform(-8, 6)) + 0.5 * plan.travel
    )
    behind_site = len(strips) == 1
    for name in rare:
        if behind_site:
            # The site lies ahead in the same strip: the vehicles stand behind it, the nearest one first.
            traffic.stand(ground, where, rng, name, s - 12.5)
            s -= 14
        else:
            s += traffic.stand(ground, where, rng, name, s) + float(rng.uniform(0.8, 3))
    if rng.random() < 0.6:
        walk.bus_stop(ground, plan.walks[int(rng.integers(2))], rng, float(rng.uniform(-5, 20) + plan.travel / 2))
    for strip in plan.walks:
        for _ in range(int(rng.integers(2, 5))):
            scattered(ground, strip, rng, float(rng.uniform(-10, plan.travel + 20)))


def _describe(ground: Ground, plan: Plan) -> str:
    """A line as annotators write them: what there is to see."""
    words = {
        "vehicle.construction": "construction vehicle",
        "movable_object.trafficcone": "traffic cones",
        "vehicle.bus.rigid": "bus",
        "vehicle.trailer": "trailer",
        "vehicle.motorcycle": "motorcycles",
        "vehicle.bicycle": "bicycles",
        "human.pedestrian.adult": "pedestrians",
    }
    present = {thing.category for thing in ground.things}
    found = [word for category, word in words.items() if category in present]
    manner = "Wait at crossing" if plan.speed == 0 else "Straight road" if plan.road.curvature == 0 else "Bend"
    return ", ".join([manner, *found])
