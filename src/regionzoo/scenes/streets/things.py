"""What stands and moves in a street: things built of parts, and how they move along the street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.lidarseg import FINE
from regionzoo.scenes.streets.road import Road
from regionzoo.scenes.streets.shapes import BALL, BOX, FRUSTUM, Shapes

Triple = tuple[float, float, float]

PLAIN, WINDOWS, LEAVES, STRIPES, BRICKS = 0, 1, 2, 3, 4
"""How a surface is painted in images."""


@dataclass(frozen=True)
class Finish:
    """A surface. color: RGB 0..255. reflectance: 0..1 of the lidar's light. pattern: how images paint it.

    soft: share of a part's depth within which beams end, 0 for all but leaves.
    """

    color: Triple
    reflectance: float = 0.2
    pattern: int = PLAIN
    soft: float = 0.0


@dataclass(frozen=True)
class Part:
    """A solid of a thing, in the thing's frame: x forward, y left, z up from the ground. Sizes are half extents."""

    kind: int
    centre: Triple
    half: Triple
    finish: Finish
    rotation: tuple[Triple, Triple, Triple] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    taper: float = 0.0


@dataclass(frozen=True)
class Path:
    """Where a thing is at time t: s + along * t, d + across * t (metres, m/s), turned by yaw from the street's heading.

    Its foot is on the ground there.
    """

    s: float
    d: float
    yaw: float = 0.0
    along: float = 0.0
    across: float = 0.0


@dataclass(frozen=True)
class Thing:
    """One object. category: fine class by name. attribute: name of an official attribute, "" for none."""

    category: str
    parts: tuple[Part, ...]
    path: Path
    attribute: str = ""

    @property
    def fine(self) -> int:
        """lidarseg's fine class."""
        return FINE.index(self.category)

    @property
    def boxed(self) -> bool:
        """Whether it gets a box: all but background has one."""
        return not self.category.startswith(("static.", "flat."))


@dataclass(frozen=True)
class Stock:
    """All things of a street, T things with P parts, as arrays.

    shapes: the parts in their things' frames. color: float64 [P, 3]; reflectance, soft: float64 [P]; pattern: int8 [P].
    fine: uint8 [T]. boxed: bool [T]. motion: float64 [T, 5], s, d, yaw, along, across.
    low, high: float64 [T, 3], the extent of each thing in its frame.
    """

    shapes: Shapes
    color: np.ndarray
    reflectance: np.ndarray
    soft: np.ndarray
    pattern: np.ndarray
    fine: np.ndarray
    boxed: np.ndarray
    motion: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __len__(self) -> int:
        return len(self.fine)

    def place(self, road: Road, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Poses in the street frame at times [T] or one time: yaw [T], rotation [T, 3, 3] and translation [T, 3]."""
        start_s, start_d, turn, along, across = self.motion.T
        s, d = start_s + along * seconds, start_d + across * seconds
        x, y = road.to_xy(s, d)
        yaw = road.heading(s) + turn
        rotation = np.zeros((len(self), 3, 3))
        rotation[:, 0, 0] = rotation[:, 1, 1] = np.cos(yaw)
        rotation[:, 1, 0] = np.sin(yaw)
        rotation[:, 0, 1] = -rotation[:, 1, 0]
        rotation[:, 2, 2] = 1
        return yaw, rotation, np.stack([x, y, road.level(s, d)], axis=1)


def gather(things: list[Thing]) -> Stock:
    """Things as arrays."""
    parts = [part for thing in things for part in thing.parts]
    shapes = Shapes(
        kind=np.array([part.kind for part in parts], np.int8),
        centre=np.array([part.centre for part in parts], float).reshape(-1, 3),
        rotation=np.array([part.rotation for part in parts], float).reshape(-1, 3, 3),
        half=np.array([part.half for part in parts], float).reshape(-1, 3),
        taper=np.array([part.taper for part in parts], float),
        thing=np.repeat(np.arange(len(things), dtype=np.int32), [len(thing.parts) for thing in things]),
    )
    low, high = extents(shapes, len(things))
    return Stock(
        shapes=shapes,
        color=np.array([part.finish.color for part in parts], float).reshape(-1, 3),
        reflectance=np.array([part.finish.reflectance for part in parts], float),
        soft=np.array([part.finish.soft for part in parts], float),
        pattern=np.array([part.finish.pattern for part in parts], np.int8),
        fine=np.array([thing.fine for thing in things], np.uint8),
        boxed=np.array([thing.boxed for thing in things], bool),
        motion=np.array([[t.path.s, t.path.d, t.path.yaw, t.path.along, t.path.across] for t in things], float).reshape(
            -1, 5
        ),
        low=low,
        high=high,
    )


def extents(shapes: Shapes, things: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest coordinates [T, 3] of the parts of each thing in its frame, tight for boxes and balls."""
    turned, half = shapes.rotation, shapes.half
    box = shapes.reach()
    ball = np.sqrt(np.einsum("pij,pj->pi", turned**2, half**2))
    # A cylinder reaches its rim's ellipse plus its axis.
    rim = np.sqrt(np.einsum("pij,pj->pi", turned[:, :, :2] ** 2, half[:, :2] ** 2))
    cylinder = rim + np.abs(turned[:, :, 2]) * half[:, 2:]
    kind = shapes.kind[:, None]
    reach = np.where(kind == BOX, box, np.where(kind == BALL, ball, np.where(kind == FRUSTUM, cylinder, box)))
    low, high = np.full((things, 3), np.inf), np.full((things, 3), -np.inf)
    np.minimum.at(low, shapes.thing, shapes.centre - reach)
    np.maximum.at(high, shapes.thing, shapes.centre + reach)
    return low, high


def box(centre: Triple, size: Triple, finish: Finish, yaw: float = 0.0, pitch: float = 0.0) -> Part:
    """A box of full ``size`` (length, width, height); pitch tilts its front down, then yaw turns it (radians)."""
    return Part(BOX, centre, _halves(size), finish, _turn(yaw, pitch))


def ball(centre: Triple, size: Triple, finish: Finish) -> Part:
    """An ellipsoid of full ``size``."""
    return Part(BALL, centre, _halves(size), finish)


def post(foot: Triple, radius: float, height: float, finish: Finish, taper: float = 0.0) -> Part:
    """An upright frustum on ``foot``; its top radius is (1 - taper) * radius."""
    centre = (foot[0], foot[1], foot[2] + height / 2)
    return Part(FRUSTUM, centre, (radius, radius, height / 2), finish, taper=taper)


def wheel(centre: Triple, radius: float, width: float, finish: Finish) -> Part:
    """A cylinder that lies across, its axis along y."""
    turn = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
    return Part(FRUSTUM, centre, (radius, radius, width / 2), finish, turn)


def rod(start: Triple, end: Triple, radius: float, finish: Finish) -> Part:
    """A cylinder between two points."""
    a, b = np.array(start), np.array(end)
    axis = (b - a) / np.linalg.norm(b - a)
    other = np.array([0.0, 0.0, 1.0]) if abs(axis[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    x = np.cross(other, axis)
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(axis, x), axis], axis=1)
    half = (radius, radius, float(np.linalg.norm(b - a)) / 2)
    return Part(FRUSTUM, _triple((a + b) / 2), half, finish, tuple(_triple(row) for row in turn))


def moved(parts: tuple[Part, ...], x: float, y: float = 0.0, z: float = 0.0) -> tuple[Part, ...]:
    """The same parts elsewhere."""
    return tuple(
        Part(p.kind, (p.centre[0] + x, p.centre[1] + y, p.centre[2] + z), p.half, p.finish, p.rotation, p.taper)
        for p in parts
    )


def _halves(size: Triple) -> Triple:
    return (size[0] / 2, size[1] / 2, size[2] / 2)


def _triple(values: np.ndarray) -> Triple:
    return (float(values[0]), float(values[1]), float(values[2]))


def _turn(yaw: float, pitch: float) -> tuple[Triple, Triple, Triple]:
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    rows = np.array([[cy * cp, -sy, cy * sp], [sy * cp, cy, sy * sp], [-sp, 0, cp]])
    first, second, third = (_triple(row) for row in rows)
    return first, second, third
