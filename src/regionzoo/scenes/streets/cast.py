"""Cast a grid of rays at shapes and ground: what the lidar's beams and the pixels of a camera meet first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.streets.rays import Rays, Window
from regionzoo.scenes.streets.road import Road
from regionzoo.scenes.streets.shapes import Shapes, Vector, hit_unit

NOTHING, GROUND = -1, -2
THROUGH = 0.8
"""Share of the beams that end in leaves; the others go through."""


@dataclass(frozen=True)
class Hits:
    """What the rays of a grid [A, B] meet.

    t: ray parameter, inf for nothing. shape: int32 position of the shape, GROUND or NOTHING. s, d: street coordinates
    of hits on the ground (elsewhere junk). face: True on the vertical face of a kerb. met: int64 [things], how many
    rays meet each thing, be it hidden or not (only if asked for).
    """

    t: np.ndarray
    shape: np.ndarray
    s: np.ndarray
    d: np.ndarray
    face: np.ndarray
    met: np.ndarray


def cast(road: Road, shapes: Shapes, rays: Rays, windows: list[Window]) -> Hits:
    """Meet ground and shapes with a grid of rays; all shapes are hard."""
    return _cast(road, shapes, rays, windows, None)


@dataclass(frozen=True)
class Leaves:
    """How a lidar's beams go into leaves.

    soft: float64 [P], share of the chord within which a beam ends in a shape of leaves, 0 for hard shapes. chance:
    [A, B] in 0..1, how deep each beam goes in; above THROUGH it goes through. things: number of things, to count
    which beams meet each.
    """

    soft: np.ndarray
    chance: np.ndarray
    things: int


def cast_soft(road: Road, shapes: Shapes, rays: Rays, windows: list[Window], leaves: Leaves) -> Hits:
    """Meet ground and shapes, some of them leaves, and count the rays that meet each thing."""
    return _cast(road, shapes, rays, windows, leaves)


def _cast(road: Road, shapes: Shapes, rays: Rays, windows: list[Window], leaves: Leaves | None) -> Hits:
    t, s, d, face = _ground(road, rays)
    shape = np.where(np.isfinite(t), GROUND, NOTHING).astype(np.int32)
    met, last = np.zeros(leaves.things if leaves else 0, np.int64), np.full(rays.size, -1, np.int32)
    soft = leaves.soft.tolist() if leaves else []
    kinds, tapers, owners = shapes.kind.tolist(), shapes.taper.tolist(), shapes.thing.tolist()
    aim = rays.aim(shapes)
    for window in windows:
        p, part = window.shape, window.part
        near, far = hit_unit(kinds[p], tapers[p], *aim.window(window))
        if leaves:
            if soft[p]:
                near = _within(near, far, soft[p], leaves.chance[part])
            fresh = np.isfinite(near) & (last[part] != owners[p])
            met[owners[p]] += np.count_nonzero(fresh)
            last[part][fresh] = owners[p]
        front = t[part]
        closer = near < front
        np.copyto(front, near, where=closer)
        np.copyto(shape[part], p, where=closer)
    return Hits(t, shape, s, d, face, met)


def _within(near: np.ndarray, far: np.ndarray, soft: float, chance: np.ndarray) -> np.ndarray:
    met = np.isfinite(near)
    deep = near.copy()
    deep[met] += (soft / THROUGH) * chance[met] * (far[met] - near[met])
    deep[chance > THROUGH] = np.inf
    return deep


def _ground(road: Road, rays: Rays) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    origin, direction = rays.flat()
    flat = np.flatnonzero(direction[2] < -1e-6)
    start: Vector = _picked(origin, rays.size, flat)
    ray: Vector = _picked(direction, rays.size, flat)
    t, s, d = (np.full(rays.size, fill, rays.dtype) for fill in (np.inf, 0, 0))
    face = np.zeros(rays.size, bool)
    t.reshape(-1)[flat], s.reshape(-1)[flat], d.reshape(-1)[flat], face.reshape(-1)[flat] = road.hit(start, ray)
    return t, s, d, face


def _picked(axes: Vector, size: tuple[int, int], flat: np.ndarray) -> Vector:
    x, y, z = (np.broadcast_to(axis, size).reshape(-1)[flat] for axis in axes)
    return x, y, z
