"""Rooms as large as real scans, with captions and a text table, for benchmarks of training.

A room is 85 m^2 of floor, walls and boxes of 17 classes, with points evenly on all of it. Captioned regions are boxes
in the room, from a few hundred to some ten thousand points; every caption is a text of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from regionzoo.captions.store import from_regions, save_captions
from regionzoo.classes import class_set
from regionzoo.scenes.store import Scene, save_scene
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.table import TextTable, save_table

AREA, HEIGHT = 85.0, 2.4


def on_box(extent: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """[count, 3]: points on the faces of a box at the origin, except the lower one, evenly by area."""
    areas = np.array([extent[1] * extent[2]] * 2 + [extent[0] * extent[2]] * 2 + [extent[0] * extent[1]])
    face = rng.choice(5, count, p=areas / areas.sum())
    place = rng.random((count, 3))
    place[np.arange(count), face // 2] = np.where(face == 4, 1, face % 2)
    return place * extent


def room(number: int, points: int) -> Scene:
    """A room of ``points`` points, its classes and its objects."""
    rng = np.random.default_rng([11, number])
    twenty = class_set("scannet20")
    boxes = [rng.uniform((0.3, 0.3, 0.3), (1.6, 0.9, 1.6)) for _ in range(12)]
    outside = [2 * (b[0] + b[1]) * b[2] + b[0] * b[1] for b in boxes]
    # Floor of side s x 0.8 s and four walls have what the boxes leave.
    side = (-3.6 * HEIGHT + np.sqrt((3.6 * HEIGHT) ** 2 + 4 * 0.8 * (AREA - sum(outside)))) / 1.6
    shell = np.array([side, 0.8 * side, HEIGHT])
    parts = [shell * (0, 0, 1) - on_box(shell, 1, rng)[:0]]
    shares = rng.multinomial(points, np.array([AREA - sum(outside), *outside]) / AREA)
    inner = on_box(shell, shares[0], rng)
    inner[:, 2] = HEIGHT - inner[:, 2]  # upside down: the open face is the ceiling
    parts = [inner]
    labels = [np.where(inner[:, 2] == 0, twenty.index("floor"), twenty.index("wall"))]
    for box, share in zip(boxes, shares[1:], strict=True):
        parts.append(rng.uniform((0, 0, 0), shell - box) * (1, 1, 0) + on_box(box, share, rng))
        labels.append(np.full(share, rng.integers(2, 19)))
    group = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    coords = np.concatenate(parts) + rng.normal(0, 0.003, (points, 3))
    return Scene(
        scene_id=f"scene{number:04}_00",
        split="train",
        source="synthetic-rooms",
        coords=coords.astype(np.float32),
        colors=rng.integers(0, 256, (points, 3)).astype(np.uint8),
        superpoint=np.arange(points, dtype=np.int32) // 50,
        group=group.astype(np.int32),
        labels={"scannet20": np.concatenate(labels).astype(np.int16)},
        categories=tuple(f"object {k}" for k in range(len(parts))),
    )


def regions(scene: Scene, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Point ids of ``count`` boxes of the room, each around one of its points."""
    found = []
    for centre in scene.coords[rng.integers(0, len(scene), count)]:
        reach = np.exp(rng.uniform(np.log(0.15), np.log(0.9), 3))
        found.append(np.flatnonzero((np.abs(scene.coords - centre) < reach).all(axis=1)))
    return found


def write_room(folder: Path, points: int, captions: int, number: int) -> int:
    """One room and its captions; returns the captions' points."""
    scene, rng = room(number, points), np.random.default_rng([12, number])
    save_scene(folder / "scenes" / f"{scene.scene_id}.safetensors", scene)
    texts = [f"caption {number:04} {k:04}" for k in range(captions)]
    made = from_regions(scene.scene_id, scene.coords_sha256, points, texts, texts, ids := regions(scene, captions, rng))
    save_captions(folder / "captions" / f"{scene.scene_id}.safetensors", made)
    return sum(map(len, ids))


def write_rooms(folder: Path, rooms: int, points: int, captions: int, workers: int, dim: int = 512) -> float:
    """Write ``scenes/``, ``captions/`` and ``text.safetensors``; returns the mean points of a caption."""
    task: Callable[[int], int] = partial(write_room, folder, points, captions)
    with get_context("spawn").Pool(workers) as pool:
        sizes = pool.map(task, range(rooms))
    prompts = class_prompts("scannet20", "identity")
    strings = sorted({*prompts, *(f"caption {r:04} {k:04}" for r in range(rooms) for k in range(captions))})
    vectors = np.random.default_rng(13).standard_normal((len(strings), dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    save_table(folder / "text.safetensors", TextTable(tuple(strings), vectors, {"encoder": "random"}))
    (folder / "scenes" / "splits.json").write_text(json.dumps({"train": [f"scene{r:04}_00" for r in range(rooms)]}))
    return sum(sizes) / (rooms * captions)
