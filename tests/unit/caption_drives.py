"""Small drives for the tests of captions: a lidar that casts rays at a street of boxes, and drives of random points."""

from __future__ import annotations

import numpy as np

from regionzoo.classes import class_set
from regionzoo.scenes.drives import Drive
from regionzoo.scenes.lidarseg import FINE, fine_to_nuscenes16
from regionzoo.scenes.nuscenes_layout import CAMERAS

K = np.array([[1266.4, 0.0, 816.3], [0.0, 1266.4, 491.5], [0.0, 0.0, 1.0]])
YAWS = np.radians([0, -55, -110, 180, 110, 55])
# Lidar frame: x right, y forward, z up. Camera frame: x right, y down, z forward.
FORWARD = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
HEIGHT = 1.84

CATEGORY = {
    "barrier": "movable_object.barrier",
    "bicycle": "vehicle.bicycle",
    "bus": "vehicle.bus.rigid",
    "car": "vehicle.car",
    "construction_vehicle": "vehicle.construction",
    "motorcycle": "vehicle.motorcycle",
    "pedestrian": "human.pedestrian.adult",
    "traffic_cone": "movable_object.trafficcone",
    "trailer": "vehicle.trailer",
    "truck": "vehicle.truck",
    "animal": "animal",
    "debris": "movable_object.debris",
}
SIZES = {
    "barrier": (2.0, 0.5, 1.0),
    "bicycle": (0.6, 1.7, 1.3),
    "bus": (3.0, 11.0, 3.5),
    "car": (1.9, 4.6, 1.7),
    "construction_vehicle": (2.8, 6.5, 3.2),
    "motorcycle": (0.8, 2.1, 1.5),
    "pedestrian": (0.7, 0.7, 1.8),
    "traffic_cone": (0.4, 0.4, 1.0),
    "trailer": (2.9, 12.0, 3.9),
    "truck": (2.5, 6.9, 2.8),
    "animal": (0.4, 0.8, 0.6),
    "debris": (0.6, 0.6, 0.5),
}


def label_of(kind: str) -> int:
    names = class_set("nuscenes16").names
    return names.index(kind) if kind in names else -100


def lidar_to_cameras() -> np.ndarray:
    """float64 [6, 4, 4]: six cameras around the lidar, a little below and beside it."""
    matrices = np.zeros((6, 4, 4))
    for matrix, yaw in zip(matrices, YAWS, strict=True):
        c, s = np.cos(yaw), np.sin(yaw)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        where = np.linalg.inv(turn) @ [0.0, 0.75, -0.33]
        matrix[:3, :3] = FORWARD @ turn
        matrix[:3, 3] = -matrix[:3, :3] @ where
        matrix[3, 3] = 1
    return matrices


def pack(keyframes, categories, scene_id="scene-0001") -> Drive:
    """A drive of (coords, labels, group) per keyframe; groups count through ``categories`` of the drive."""
    coords, labels, group = (np.concatenate([frame[k] for frame in keyframes]) for k in range(3))
    count = len(keyframes)
    return Drive(
        scene_id=scene_id,
        split="train",
        source="synthetic-streets",
        coords=coords.astype(np.float32),
        intensity=np.zeros(len(coords), np.float32),
        labels={"nuscenes16": labels.astype(np.int16)},
        group=group.astype(np.int32),
        offsets=np.cumsum([0] + [len(frame[0]) for frame in keyframes]),
        tokens=tuple(f"{scene_id}-{k}" for k in range(count)),
        categories=tuple(categories),
        images=tuple(tuple(f"samples/{camera}/{k}.jpg" for camera in CAMERAS) for k in range(count)),
        intrinsics=np.tile(K, (count, 6, 1, 1)),
        lidar_to_camera=np.tile(lidar_to_cameras(), (count, 1, 1, 1)),
    )


def random_drive(seed, keyframes=2, points=3000, boxes=6, scene_id="scene-0001") -> Drive:
    """Points of random labels; boxes of random fine categories, most points of each with the label of its category."""
    rng = np.random.default_rng(seed)
    frames, categories = [], []
    for _ in range(keyframes):
        first = len(categories)
        categories += [FINE[rng.integers(len(FINE))] for _ in range(boxes)]
        fine = np.array([FINE.index(name) for name in categories], np.uint8)
        labels = rng.integers(-1, 16, points).astype(np.int16)
        labels[labels < 0] = -100
        group = np.where(rng.random(points) < 0.3, rng.integers(first, len(categories), points), -100)
        coords = rng.uniform((-20, -20, -3), (20, 20, 3), (points, 3))
        boxed = np.flatnonzero((group >= 0) & (rng.random(points) < 0.8))
        labels[boxed] = fine_to_nuscenes16(fine[group[boxed]])
        # The points of a box lie together.
        places = rng.uniform((-15, -15, -1), (15, 15, 1), (len(categories), 3))
        coords[group >= 0] = places[group[group >= 0]] + rng.normal(size=(np.count_nonzero(group >= 0), 3)) * 0.5
        frames.append((coords, labels, group))
    return pack(frames, categories, scene_id)


def street(things, first_group=0, beams=32, turns=1084, rng=None):
    """(coords, labels, group) of a sweep over a straight street with sidewalks, grass, trees and house fronts.

    things: (kind, x, y, yaw) each, standing on the ground; one box and group each, in their order.
    """
    up = np.radians(np.linspace(-30.67, 10.67, beams))[:, None]
    around = np.linspace(0, 2 * np.pi, turns, endpoint=False)[None] + (0 if rng is None else rng.uniform(0, 0.006))
    rays = np.stack([np.cos(up) * np.sin(around), np.cos(up) * np.cos(around), np.sin(up) + 0 * around], -1)
    rays = rays.reshape(-1, 3)
    best = np.full(len(rays), 80.0)
    labels, group = np.full(len(rays), -100), np.full(len(rays), -100)

    def hit(distance, label, box=-100):
        nearer = (distance > 1) & (distance < best)
        best[nearer], labels[nearer], group[nearer] = distance[nearer], label[nearer], box

    with np.errstate(divide="ignore", invalid="ignore"):
        ground = np.where(rays[:, 2] < 0, -HEIGHT / rays[:, 2], np.inf)
        across = np.abs(rays[:, 0] * ground)
        bands = np.select(
            [across < 7, across < 10, across < 14],
            [label_of("driveable_surface"), label_of("sidewalk"), label_of("terrain")],
            label_of("manmade"),
        )
        hit(ground, bands)
        for side in (-14, 14):
            front = side / rays[:, 0]
            hit(np.where(rays[:, 2] * front < 8, front, np.inf), np.full(len(rays), label_of("manmade")))
        scenery = [("vegetation", x, y, 0.0, (2.0, 2.0, 6.0)) for x in (-12, 12) for y in range(-40, 41, 16)]
        scenery += [("manmade", x, y, 0.0, (0.25, 0.25, 6.0)) for x in (-9.5, 9.5) for y in range(-32, 41, 24)]
        boxes = [(*thing, SIZES[thing[0]]) for thing in things] + scenery
        for number, (kind, x, y, yaw, size) in enumerate(boxes):
            c, s = np.cos(yaw), np.sin(yaw)
            turned = rays @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
            origin = -np.array([x * c + y * s, -x * s + y * c, size[2] / 2 - HEIGHT])
            half = np.array(size) / 2
            near, far = np.sort([(-half - origin) / turned, (half - origin) / turned], axis=0)
            enter, leave = near.max(axis=1), far.min(axis=1)
            boxed = number + first_group if number < len(things) else -100
            hit(np.where(enter < leave, enter, np.inf), np.full(len(rays), label_of(kind)), boxed)
    found = best < 80
    return rays[found] * best[found, None], labels[found], group[found]


def street_drive(seed, keyframes=2, things=30, kinds=tuple(SIZES), scene_id="scene-0001", turns=1084) -> Drive:
    """A drive down the street with things at random places; every keyframe has its own."""
    rng = np.random.default_rng(seed)
    frames, categories = [], []
    for _ in range(keyframes):
        placed: list[tuple[str, float, float, float]] = []
        while len(placed) < things:
            kind, x, y = kinds[rng.integers(len(kinds))], rng.uniform(-12, 12), rng.uniform(-45, 45)
            size = max(SIZES[kind])
            free = all(np.hypot(x - a, y - b) > (size + max(SIZES[other])) / 2 for other, a, b, _ in placed)
            if free and np.hypot(x, y) > 3 + size / 2:
                placed.append((kind, x, y, rng.uniform(-np.pi, np.pi)))
        frames.append(street(placed, len(categories), turns=turns, rng=rng))
        categories += [CATEGORY[kind] for kind, *_ in placed]
    return pack(frames, categories, scene_id)
