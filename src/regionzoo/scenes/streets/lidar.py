"""A spinning lidar of 32 beams: one turn in 50 ms while the car moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.poses import inverse, pose_matrix
from regionzoo.scenes.streets.cast import GROUND, Hits, Leaves, cast_soft
from regionzoo.scenes.streets.ego import Ride
from regionzoo.scenes.streets.owncar import own_car
from regionzoo.scenes.streets.paint import ground_reflectance
from regionzoo.scenes.streets.rays import Beams
from regionzoo.scenes.streets.rig import Mounting
from regionzoo.scenes.streets.road import TERRAIN, Road
from regionzoo.scenes.streets.shapes import Shapes, hit_unit
from regionzoo.scenes.streets.things import Path, Stock, Thing, gather
from regionzoo.scenes.streets.windows import sweep_windows

COLUMNS, RINGS = 1084, 32
CYCLE, SLOT = 46.08e-6, 1.152e-6
"""Seconds from column to column, and from beam to beam within one: 0, 16, 1, 17, ..."""
TURN = 2 * np.pi / 0.05
"""Radians a second, clockwise seen from above."""
FIRST = np.radians(179.75)
"""Direction of the first column in the sensor's frame, from x (right) towards y (ahead)."""
ELEVATION = np.radians(-30.67 + 41.34 / 31 * np.arange(RINGS))
"""Ascending: ring 0 looks down most."""
RANGE = 100.0
"""Metres; nothing farther comes back."""
NOISE = 0.02
NOISE_CLASS, EGO_CLASS = 0, 31


@dataclass(frozen=True)
class Sweep:
    """One sweep of n = 34,688 points, column by column, ring by ring.

    points: float32 [n, 5]: x, y, z (metres, lidar frame at the end of the sweep), intensity 0..255, ring. labels:
    uint8 [n] fine classes. thing: int32 [n], what was hit: position in the stock, -1 for none. met: int64 [things],
    beams that would hit each thing if nothing stood before it.
    """

    points: np.ndarray
    labels: np.ndarray
    thing: np.ndarray
    met: np.ndarray


def beams() -> np.ndarray:
    """float64 [columns, rings, 3]: unit directions in the sensor's frame (x right, y ahead, z up)."""
    ring = np.arange(RINGS)
    delay = SLOT * (2 * (ring % 16) + ring // 16)
    azimuth = FIRST - TURN * (CYCLE * np.arange(COLUMNS)[:, None] + delay)
    level = np.cos(ELEVATION)
    return np.stack([np.cos(azimuth) * level, np.sin(azimuth) * level, np.sin(ELEVATION) + 0 * azimuth], axis=-1)


def column_times(end: float) -> np.ndarray:
    """Seconds [columns] at which the columns fire in a sweep that ends at ``end``."""
    return end - CYCLE * (COLUMNS - 1 - np.arange(COLUMNS))


def sensor_poses(road: Road, ride: Ride, lidar: Mounting, seconds: np.ndarray) -> np.ndarray:
    """float64 [..., 4, 4] from the lidar to the street frame."""
    mounted = pose_matrix(lidar.rotation, lidar.translation)
    return np.einsum("...ij,jk->...ik", ride.matrix(road, seconds), mounted)


def seen_at(road: Road, ride: Ride, stock: Stock, end: float) -> np.ndarray:
    """Seconds [T] at which the turning beam passes each thing."""
    s, d = ride.at(end)
    x, y = road.to_xy(s, d)
    _, _, where = stock.place(road, np.full(len(stock), end))
    ahead = np.arctan2(where[:, 1] - y, where[:, 0] - x) - road.heading(s)
    # Columns start at the left, pi / 2 from ahead, and turn clockwise.
    return end - 0.05 + ((np.pi / 2 - ahead) % (2 * np.pi)) / TURN


def sweep(road: Road, stock: Stock, ride: Ride, lidar: Mounting, end: float, rng: np.random.Generator) -> Sweep:
    """Scan the street in the 50 ms before ``end`` (seconds of the ride).

    Each column starts from where the car is when it fires, each thing stands where it is when the beam passes it, and
    all points are told in the sensor's frame at ``end``. A beam that nothing sends back gives the sensor's own place at
    its time, as the real files have it.
    """
    poses = sensor_poses(road, ride, lidar, column_times(end))
    directions = np.einsum("cij,crj->cri", poses[:, :3, :3], beams())
    _, rotation, translation = stock.place(road, seen_at(road, ride, stock, end))
    shapes = stock.shapes.placed(rotation, translation)
    # The margin of the windows: how far the sensor and its axes go from those of the middle column.
    path, middle = poses[:, :3, 3], COLUMNS // 2
    moved = float(np.abs(path - path[middle]).max()) + 1e-3
    tilt = float(np.arccos(np.clip(poses[:, 2, 2].min(), -1, 1))) + 0.012
    heading = np.unwrap(np.arctan2(directions[:, 16, 1], directions[:, 16, 0]))
    windows = sweep_windows(shapes, path[middle], heading, ELEVATION, RANGE, moved, tilt)
    leaves = Leaves(stock.soft, rng.random((COLUMNS, RINGS)), len(stock))
    hits = cast_soft(road, shapes, Beams(path, directions), windows, leaves)
    own = own_range(lidar)
    hidden = own < hits.t
    points = path[:, None, :] + directions * np.where(np.isfinite(hits.t), hits.t, 0.0)[..., None]
    cosine, reflectance, fuzz, labels, thing = _surface(road, stock, shapes, hits, points, directions)
    cosine[hidden], reflectance[hidden], fuzz[hidden], labels[hidden], thing[hidden] = 0.5, 0.08, 0.3, EGO_CLASS, -1

    reached = np.minimum(hits.t, own)
    weak = 0.004 + 0.3 * (np.minimum(reached, RANGE) / RANGE) ** 2 * np.clip(1 - 2 * cosine, 0, 1)
    lost = (reached >= RANGE) | (rng.random(weak.shape) < np.minimum(weak, 1))
    noise = rng.standard_normal(reached.shape) * NOISE * fuzz
    length = np.where(lost, 0.0, np.where(lost, 0.0, reached) + noise)
    back = inverse(sensor_poses(road, ride, lidar, np.array(end)))
    told = np.einsum("ij,crj->cri", back[:3, :3], path[:, None, :] + directions * length[..., None]) + back[:3, 3]
    light = 255 * reflectance * (0.3 + 0.7 * cosine) * rng.uniform(0.6, 1.4, reached.shape)
    stray = rng.exponential(9.0, reached.shape)
    intensity = np.clip(np.round(np.where(lost, stray, light)), 1, 255)
    ring = np.broadcast_to(np.arange(RINGS), reached.shape)
    labels[lost], thing[lost] = NOISE_CLASS, -1
    values = np.concatenate([told, intensity[..., None], ring[..., None]], axis=-1)
    return Sweep(
        points=values.reshape(-1, 5).astype(np.float32),
        labels=labels.reshape(-1),
        thing=thing.reshape(-1),
        met=hits.met,
    )


def own_range(lidar: Mounting) -> np.ndarray:
    """float64 [columns, rings] distance to the car's own body, inf where a beam clears it."""
    mounted = inverse(pose_matrix(lidar.rotation, lidar.translation))
    body = gather([Thing("vehicle.ego", own_car(), Path(0.0, 0.0))]).shapes
    shapes = body.placed(mounted[None, :3, :3], mounted[None, :3, 3])
    unit = np.swapaxes(shapes.rotation, 1, 2) / shapes.half[:, :, None]
    # The sensor is above its car: none of it is seen by beams that look up.
    down = ELEVATION < 0
    directions, nearest = beams()[:, down], np.full((COLUMNS, RINGS), np.inf)
    for p in range(len(shapes)):
        start = -np.einsum("ij,j->i", unit[p], shapes.centre[p])
        ray = np.einsum("ij,crj->icr", unit[p], directions)
        origin = (np.full((1, 1), start[0]), np.full((1, 1), start[1]), np.full((1, 1), start[2]))
        near, _ = hit_unit(int(shapes.kind[p]), float(shapes.taper[p]), origin, (ray[0], ray[1], ray[2]))
        nearest[:, down] = np.minimum(nearest[:, down], near)
    return nearest


def _surface(
    road: Road, stock: Stock, shapes: Shapes, hits: Hits, points: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of every beam: cosine of incidence, reflectance, noise factor, fine class and thing of what it meets."""
    size = hits.t.shape
    cosine, reflectance, fuzz = np.ones(size), np.zeros(size), np.ones(size)
    labels, thing = np.zeros(size, np.uint8), np.full(size, -1, np.int32)
    on = hits.shape >= 0
    shape = hits.shape[on]
    thing[on] = shapes.thing[shape]
    labels[on] = stock.fine[shapes.thing[shape]]
    reflectance[on] = stock.reflectance[shape]
    cosine[on] = np.abs(np.einsum("mi,mi->m", shapes.normals(shape, points[on]), directions[on]))
    fuzz[on] = np.where(stock.soft[shape] > 0, 1.5, 1.0)

    ground = hits.shape == GROUND
    s, d = hits.s[ground], hits.d[ground]
    labels[ground] = road.ground_class(s, d)
    reflectance[ground] = ground_reflectance(road, labels[ground], s, d)
    cosine[ground] = np.where(hits.face[ground], 0.7, np.abs(directions[ground][:, 2]))
    # Blades of grass: the ground is no plane there.
    fuzz[ground] = np.where(labels[ground] == TERRAIN, 2.0, 1.0)
    return cosine, reflectance, fuzz, labels, thing
