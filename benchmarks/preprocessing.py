"""Seconds a scan: raw files -> stored scene, boxes of frames -> points, and fusion of two sources of regions.

    OMP_NUM_THREADS=1 python benchmarks/preprocessing.py

Writes synthetic rooms with frames to a temporary folder; the boxes are the simulated captioners'. The baseline,
``plain_scene.py``, is what a script for one scene does; it runs in the same process and in turn, one process each, and
must find the same. ``preprocess`` of ours includes what the baseline leaves out: hashes of the raw files and checks.
``triangles`` is the baseline with plyfile told what the faces are. ``association`` is of two sources, each of which
projects for itself, with the depth images in memory. Memory: largest sum of what Python and NumPy hold at a time, of
one scan. Writes ``benchmarks/preprocessing.json``.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import plain_scene

from regionzoo.artifacts import write_json
from regionzoo.captions.associate import project, region_points
from regionzoo.captions.captioner import Box
from regionzoo.captions.fuse import fuse
from regionzoo.captions.simulated import SimulatedSettings
from regionzoo.captions.store import RegionCaptions, from_regions
from regionzoo.classes import class_set
from regionzoo.scenes.frames import Frame, list_frames
from regionzoo.scenes.preprocess import preprocess
from regionzoo.scenes.raw_layout import LABEL_TABLE_FILE
from regionzoo.scenes.raw_source import RoomSource
from regionzoo.scenes.scannet import pointgroup_instances
from regionzoo.scenes.store import Scene, load_scene
from regionzoo.scenes.synthetic import RoomSettings, generate

LISTS = {"train": "scannetv2_train.txt", "val": "scannetv2_val.txt"}
IOU_HIGH = 0.2


@dataclass(frozen=True)
class View:
    """A frame, its depth image, and the boxes that two captioners put into it."""

    frame: Frame
    depth: np.ndarray
    boxes: tuple[list[Box], list[Box]]


def views_of(root: Path, scene_id: str) -> list[View]:
    """All frames of a scan."""
    first, second = (SimulatedSettings(style, 0.1, 0.03, 0.03, 0).make() for style in ("template", "grounded"))
    return [
        View(
            frame,
            frame.load_depth(),
            ([region.box for region in first.describe(frame)], [region.box for region in second.describe(frame)]),
        )
        for frame in list_frames(root, scene_id)
    ]


def our_regions(coords: np.ndarray, views: Sequence[View]) -> list[list[np.ndarray]]:
    """Points of all boxes, one list a source."""
    found: list[list[np.ndarray]] = []
    for source in range(2):
        found.append([])
        for view in views:
            seen = project(coords, view.frame.pose, view.frame.intrinsics.depth, view.depth)
            sizes = view.frame.color_size, view.depth.shape
            found[source] += [region_points(*seen, box, *sizes) for box in view.boxes[source]]
    return found


def plain_regions(coords: np.ndarray, views: Sequence[View]) -> list[list[np.ndarray]]:
    """The same in the straightforward way."""
    found: list[list[np.ndarray]] = []
    for source in range(2):
        found.append([])
        for view in views:
            camera = view.frame.pose, view.frame.intrinsics.depth, view.depth
            found[source] += plain_scene.regions(coords, *camera, view.boxes[source], view.frame.color_size)
    return found


def packed(scene: Scene, regions: Sequence[np.ndarray]) -> RegionCaptions:
    """Regions of a source with numbers for names."""
    names = [str(k) for k in range(len(regions))]
    return from_regions(scene.scene_id, scene.coords_sha256, len(scene), names, names, regions)


def require_equal(scene: Scene, source: RoomSource, plain: tuple[np.ndarray, ...]) -> None:
    """Fail unless the stored scene is what the plain script made."""
    ours = (
        scene.centred(),
        scene.colors.astype(np.float32) / 127.5 - 1,
        scene.labels["scannet20"],
        scene.labels["scannet200"],
        pointgroup_instances(scene, source.opened.table),
    )
    for name, own, other in zip(("xyz", "rgb", "20", "200", "instances"), ours, plain, strict=True):
        if not np.array_equal(own, other):
            raise SystemExit(f"{scene.scene_id}: {name} differs from the plain script's")


def peak_mib(work: Callable[[], Any]) -> float:
    """Largest sum of allocations that Python and NumPy hold at a time, MiB."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 2**20, 1)


def in_turn(tasks: dict[str, Callable[[], Any]], scenes: int, repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds a scan of each task, all in every repeat: median and spread."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            times[name].append((time.perf_counter() - start) * 1e3 / scenes)
    return {
        name: {"median_ms": round(median(found), 2), "spread_ms": [round(min(found), 2), round(max(found), 2)]}
        for name, found in times.items()
    }


def measure(folder: Path, rooms: RoomSettings, repeats: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """(facts, results): stage -> ours and plain."""
    root = folder / "raw"
    generate(root, rooms, 1)
    source = RoomSource.open(root, "scannet", LISTS)
    scene_ids = source.splits["train"]
    one = RoomSource.open(root, "scannet", {"train": LISTS["train"]}, scene_ids[1:])
    table = plain_scene.PlainTable(root / LABEL_TABLE_FILE)
    sets = [class_set(name).raw_ids for name in ("scannet20", "scannet200")]

    def convert(scene_id: str, triangles: bool = False) -> tuple[np.ndarray, ...]:
        place = source.opened.folder(scene_id), scene_id
        return plain_scene.convert(*place, table, sets, folder / "plain.npz", triangles)

    def store(of: RoomSource) -> None:
        preprocess(of, "synthetic-rooms", folder / "scenes", folder / "work")

    everything = [scene_id for names in source.splits.values() for scene_id in names]
    times = {
        "preprocess": in_turn(
            {
                "ours": lambda: store(source),
                "plain": lambda: [convert(scene_id) for scene_id in everything],
                "plain, triangles": lambda: [convert(scene_id, triangles=True) for scene_id in everything],
            },
            len(everything),
            repeats,
        )
    }
    scenes = {scene_id: load_scene(folder / "scenes" / f"{scene_id}.safetensors") for scene_id in everything}
    for scene_id, scene in scenes.items():
        require_equal(scene, source, convert(scene_id))

    train = [(scenes[scene_id], views_of(root, scene_id)) for scene_id in scene_ids]
    times["association"] = in_turn(
        {
            "ours": lambda: [our_regions(scene.coords, views) for scene, views in train],
            "plain": lambda: [plain_regions(scene.coords, views) for scene, views in train],
        },
        len(train),
        repeats,
    )
    regions = [our_regions(scene.coords, views) for scene, views in train]
    for (scene, views), own in zip(train, regions, strict=True):
        other = plain_regions(scene.coords, views)
        if not all(np.array_equal(a, b) for x, y in zip(own, other, strict=True) for a, b in zip(x, y, strict=True)):
            raise SystemExit(f"{scene.scene_id}: regions differ from the plain script's")
    sources = [[packed(scene, part) for part in own] for (scene, _), own in zip(train, regions, strict=True)]

    def our_fusion() -> list[list[int]]:
        joined = [(len(first), fuse(first, [second], [IOU_HIGH], [0.0])) for first, second in sources]
        return [[int(text) for text in whole.texts[count:]] for count, whole in joined]

    def plain_fusion() -> list[list[int]]:
        return [plain_scene.fused(*own, IOU_HIGH) for own in regions]

    times["fusion"] = in_turn({"ours": our_fusion, "plain": plain_fusion}, len(train), repeats)
    if our_fusion() != plain_fusion():
        raise SystemExit("fusion keeps other regions than the plain script")

    (scene, views), own, pair = train[0], regions[0], sources[0]
    first = {
        ("preprocess", "ours"): lambda: store(one),
        ("preprocess", "plain"): lambda: convert(scene_ids[0]),
        ("preprocess", "plain, triangles"): lambda: convert(scene_ids[0], triangles=True),
        ("association", "ours"): lambda: our_regions(scene.coords, views),
        ("association", "plain"): lambda: plain_regions(scene.coords, views),
        ("fusion", "ours"): lambda: fuse(pair[0], [pair[1]], [IOU_HIGH], [0.0]),
        ("fusion", "plain"): lambda: plain_scene.fused(*own, IOU_HIGH),
    }
    results: dict[str, Any] = times
    for (stage, name), work in first.items():
        results[stage][name]["peak_mib"] = peak_mib(work)
    counts = [sum(map(len, own)) for own in regions]
    facts = {
        "scenes": len(everything),
        "scenes_with_frames": len(train),
        "points_a_scene": round(sum(map(len, scenes.values())) / len(scenes)),
        "frames_a_scene": len(views),
        "regions_a_scene": round(sum(counts) / len(counts)),
    }
    return facts, results


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--spacing", type=float, default=0.02, help="metres between vertices")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rooms = RoomSettings(args.scenes, 1, args.frames, args.spacing, 1)
        sizes, results = measure(Path(folder), rooms, args.repeats)
    facts = {
        "data": "synthetic rooms",
        "device": platform.machine(),
        "cores": os.cpu_count(),
        "processes": 1,
        "repeats": args.repeats,
        **sizes,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    for stage, methods in results.items():
        print(stage, methods)
    write_json(args.out, {"facts": facts, "results": results})


if __name__ == "__main__":
    main()
