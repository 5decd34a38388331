"""Keyframes a second: raw nuScenes files -> stored drives, and stored drives -> training items.

    OMP_NUM_THREADS=1 python benchmarks/keyframes.py --workers 2

Writes synthetic drives whose keyframes are as large as real ones (34,688 points) to a temporary folder, then measures,
in ``--workers`` processes: ``preprocess`` (tables, sweeps, labels, boxes, hashes, store) and the training items of row
nuscenes_b12n3 at scale paper (reading, augmentation, voxels of 0.2 x 0.2 x 0.1 m, labels), without captions. The
baselines do it in the straightforward way, in as many processes: each box asks all points, voxels come from
``np.unique`` of rows and a loop over the points. Writes ``benchmarks/keyframes.json``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from regionzoo.artifacts import write_json
from regionzoo.config import Params, load_params
from regionzoo.evaluation.environment import peak_memory_gib
from regionzoo.scenes.drives import drive_metadata, load_drive
from regionzoo.scenes.lidarseg import fine_to_nuscenes16
from regionzoo.scenes.nuscenes_records import read_drive_record
from regionzoo.scenes.poses import inverse
from regionzoo.scenes.preprocess import preprocess
from regionzoo.scenes.raw_source import DriveSource
from regionzoo.scenes.shards import run_shards
from regionzoo.scenes.streets import StreetSettings, generate
from regionzoo.settings.train import TrainSettings
from regionzoo.text.table import TextTable
from regionzoo.training.sweeps import TrainingSweeps

VERSION = "v1.0-trainval"
ROW = "nuscenes_b12n3"


def plain_drive(source: DriveSource, scene: str) -> int:
    """Keyframes of a drive read one by one; every box is held against every point."""
    record = read_drive_record(source.opened.index, scene)
    for keyframe in record.keyframes:
        sweep = np.fromfile(source.root / keyframe.lidar.filename, np.float32).reshape(-1, 5)
        fine_to_nuscenes16(np.fromfile(source.root / keyframe.labels, np.uint8))
        boxes = keyframe.boxes.moved(inverse(keyframe.lidar.to_map))
        for center, size, rotation in zip(boxes.centers, boxes.sizes, boxes.rotations, strict=True):
            local = (sweep[:, :3] - center) @ rotation
            (np.abs(local) <= size[[1, 0, 2]] / 2).all(axis=1)
    return len(record.keyframes)


def plain_items(store: Path, cell: tuple[float, float, float], scene: str) -> int:
    """Keyframes of a stored drive augmented and voxelised with loops over voxels."""
    drive = load_drive(store / f"{scene}.safetensors")
    for k in range(drive.keyframes):
        rng = np.random.default_rng([k])
        points = drive.coords[drive.part(k)].astype(np.float64)
        angle = rng.uniform(-np.pi, np.pi)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        points[:, :2] = points[:, :2] @ turn
        cells = np.floor((points - points.min(axis=0)) / np.array(cell)).astype(np.int64)
        _, inverse_ = np.unique(cells, axis=0, return_inverse=True)
        members: dict[int, list[int]] = {}
        for i, voxel in enumerate(inverse_.ravel().tolist()):
            members.setdefault(voxel, []).append(i)
        chosen = [found[int(rng.integers(len(found)))] for found in members.values()]
        points[chosen]
    return drive.keyframes


def our_items(store: Path, settings: TrainSettings, scene: str) -> int:
    """Keyframes of a stored drive as the training prepares them."""
    samples = TrainingSweeps(store, [scene], None, TextTable((), np.zeros((0, 4), np.float32)), settings)
    for k in range(len(samples)):
        samples.collate([samples.item(0, k)], None, (0, k, 0))
    return len(samples)


def rate(task: Callable[[str], int], scenes: list[str], workers: int, repeats: int) -> dict[str, float]:
    """Keyframes a second: the median of the repeats and their spread."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        done = sum(int(answer) for _, answer in run_shards(task, scenes, workers))  # type: ignore[arg-type]
        found.append(done / (time.perf_counter() - start))
    found.sort()
    return {"median": round(found[len(found) // 2], 1), "low": round(found[0], 1), "high": round(found[-1], 1)}


def preprocessed(source: DriveSource, store: Path, workers: int, keyframes: int, repeats: int) -> dict[str, float]:
    """Keyframes a second of the whole of preprocess."""
    found = []
    for _ in range(repeats):
        shutil.rmtree(store, ignore_errors=True)
        start = time.perf_counter()
        preprocess(source, "synthetic-streets", store, store.with_name("work"), workers)
        found.append(keyframes / (time.perf_counter() - start))
    found.sort()
    return {"median": round(found[len(found) // 2], 1), "low": round(found[0], 1), "high": round(found[-1], 1)}


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--drives", type=int, default=4)
    parser.add_argument("--keyframes", type=int, default=40, help="of a drive, as of a real one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--params", type=Path, default=Path(__file__).parents[1] / "params.yaml")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    params = Params.check(load_params(args.params).model_dump(mode="json") | {"scale": "paper"}, str(args.params))
    settings = params.train(ROW)
    settings = settings.model_copy(update={"caption": settings.caption.model_copy(update={"weight": 0.0})})
    with tempfile.TemporaryDirectory() as folder:
        root, store = Path(folder) / "raw", Path(folder) / "scenes"
        generate(root, StreetSettings(args.drives - 1, 1, args.keyframes, 1), args.workers)
        index = Path(folder) / "index"
        source = DriveSource.open(root, VERSION, "nuscenes", {"train": None, "val": None}, (), index)
        scenes = [scene for names in source.splits.values() for scene in names]
        keyframes = len(scenes) * args.keyframes
        boxes = len(json.loads((root / VERSION / "sample_annotation.json").read_text())) / keyframes
        results: dict[str, Any] = {
            "preprocess": preprocessed(source, store, args.workers, keyframes, args.repeats),
            "preprocess, plain (without hashes and store)": rate(
                partial(plain_drive, source), scenes, args.workers, args.repeats
            ),
        }
        assert sum(int(drive_metadata(store / f"{scene}.safetensors")["keyframes"]) for scene in scenes) == keyframes
        cell = settings.recipe.voxel_size
        assert isinstance(cell, tuple)
        results["training items"] = rate(partial(our_items, store, settings), scenes, args.workers, args.repeats)
        results["training items, plain"] = rate(partial(plain_items, store, cell), scenes, args.workers, 1)
    facts = {
        "unit": "keyframes a second",
        "keyframes": keyframes,
        "points": 34_688,
        "boxes a keyframe": round(boxes, 1),
        "workers": args.workers,
        "cores": multiprocessing.cpu_count(),
        "peak_memory_gib": peak_memory_gib(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    for name, value in results.items():
        print(f"{name}: {value}")
    write_json(args.out, {"facts": facts, "results": results})


if __name__ == "__main__":
    main()
