"""Time and memory of scoring predicted instances: simulated scenes and predictions of ScanNet's validation set's size.

    OMP_NUM_THREADS=1 python benchmarks/instance_evaluation.py

Scenes and predictions are written to a temporary folder as the workflow would (about 1.5 GB), then scored under both
protocols by a process of its own, whose largest resident memory is reported. Every proposal is predicted under all 17
classes, which is the worst case. The baseline does what the benchmark's script does for a scene: a dense mask for each
prediction, held against each object of its class. Writes ``benchmarks/instance_evaluation.json``.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from regionzoo.artifacts import read_json, tree_hashes, write_json
from regionzoo.evaluation.environment import peak_memory_gib
from regionzoo.evaluation.instance_ap import instance_scores
from regionzoo.evaluation.instance_matches import instance_truth, scene_matches
from regionzoo.evaluation.instance_protocols import instance_protocols
from regionzoo.evaluation.instance_score import match_scenes
from regionzoo.evaluation.instance_store import SUFFIX, InstancePredictions, load_instances, save_instances
from regionzoo.evaluation.run_length import Masks
from regionzoo.scenes.store import Scene, load_scene, save_scene

CLASSES = tuple(range(2, 19))
NOVEL = (5, 9, 12, 16)
OBJECTS = 35
RUN = 30  # neighbouring vertices of one object, on average


def simulated_scene(index: int, points: int) -> Scene:
    """Objects of all classes whose vertices come in short runs, three objects in turn."""
    rng = np.random.default_rng([17, index])
    lengths = rng.geometric(1 / RUN, 2 * points // RUN)
    window = np.minimum(lengths.cumsum() * OBJECTS // points, OBJECTS - 1)
    group = np.repeat((window + rng.integers(0, 3, len(lengths))) % OBJECTS, lengths)[:points].astype(np.int32)
    label = rng.choice([0, 1, 19, -100, *CLASSES, *CLASSES], OBJECTS)
    return Scene(
        scene_id=f"scene{index:04}_00",
        split="val",
        source="synthetic-rooms",
        coords=rng.random((points, 3), np.float32),
        colors=np.zeros((points, 3), np.uint8),
        superpoint=np.zeros(points, np.int32),
        group=group,
        labels={"scannet20": label[group].astype(np.int16)},
        categories=("thing",) * OBJECTS,
    )


def simulated_instances(scene: Scene, proposals: int) -> InstancePredictions:
    """Proposals near objects or across two of them, each under all classes with random scores."""
    rng = np.random.default_rng([23, int(scene.scene_id[5:9])])
    of_object = [np.flatnonzero(scene.group == number) for number in range(OBJECTS)]
    masks = []
    for _ in range(proposals):
        ids = np.concatenate([of_object[k] for k in rng.choice(OBJECTS, rng.choice([1, 1, 1, 2]), replace=False)])
        # Whole stretches are missing, not single points.
        ids = np.sort(ids)
        kept = np.repeat(rng.random(len(ids) // 20 + 1) < rng.uniform(0.4, 1), 20)[: len(ids)]
        masks.append(ids[kept])
    return InstancePredictions(
        scene.scene_id,
        scene.coords_sha256,
        Masks.of(masks, len(scene)),
        np.repeat(np.arange(proposals), len(CLASSES)),
        np.tile(CLASSES, proposals),
        rng.random(proposals * len(CLASSES), np.float32),
    )


def write(folder: Path, scenes: int, points: int, proposals: int) -> None:
    """Scene store and predictions below ``folder``."""
    for index in range(scenes):
        scene = simulated_scene(index, points)
        save_scene(folder / "scenes" / f"{scene.scene_id}.safetensors", scene)
        save_instances(folder / "predictions" / f"{scene.scene_id}{SUFFIX}", simulated_instances(scene, proposals))
    write_json(folder / "hashes.json", tree_hashes(folder / "predictions"))


def score(folder: Path) -> dict[str, float]:
    """Score all scenes below ``folder`` in this process."""
    ids = sorted(path.stem for path in (folder / "scenes").iterdir())
    start, used = time.perf_counter(), time.process_time()
    matches, points = match_scenes(
        folder / "predictions", read_json(folder / "hashes.json"), folder / "scenes", ids, "scannet20", CLASSES, "score"
    )
    read = time.perf_counter() - start
    base = tuple(c for c in CLASSES if c not in NOVEL)
    found = {name: instance_scores(matches, base, NOVEL, rules).summary for name, rules in instance_protocols().items()}
    return {
        "points": points,
        "predictions": len(matches.label),
        "pairs": len(matches.pair_points),
        "scenes_seconds": round(read, 2),
        "protocols_seconds": round(time.perf_counter() - start - read, 2),
        "cpu_seconds": round(time.process_time() - used, 2),
        "peak_memory_gib": peak_memory_gib(),
        "hAP50": {name: round(100 * summary["hAP50"], 3) for name, summary in found.items()},
    }


def compare(folder: Path, scenes: int) -> dict[str, float]:
    """CPU seconds a scene for the overlaps of all predictions: as here, and with dense masks."""
    ours = dense = 0.0
    for index in range(scenes):
        scene = load_scene(folder / "scenes" / f"scene{index:04}_00.safetensors")
        path = folder / "predictions" / f"{scene.scene_id}{SUFFIX}"
        found = load_instances(path, scene.coords_sha256, len(scene))
        start = time.process_time()
        truth = instance_truth(scene.labels["scannet20"], scene.group, CLASSES)
        matches = scene_matches(truth, found.masks, found.mask, found.label, found.score)
        ours += time.process_time() - start
        start = time.process_time()
        void = truth.of_point == len(truth.label)
        total = 0
        for m, c in zip(found.mask.tolist(), found.label.tolist(), strict=True):
            mask = found.masks.mask(m)
            total += int(np.count_nonzero(mask & void))
            for k in np.flatnonzero(truth.label == c):
                total += int(np.count_nonzero(mask & (truth.of_point == k)))
        dense += time.process_time() - start
        assert total == int(matches.void.sum()) + int(matches.pair_points.sum())
    return {"scenes": scenes, "ours_seconds": round(ours / scenes, 3), "dense_seconds": round(dense / scenes, 3)}


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=312)
    parser.add_argument("--points", type=int, default=150_000)
    parser.add_argument("--proposals", type=int, default=200)
    parser.add_argument("--compare", type=int, default=2, help="scenes that the baseline goes through")
    parser.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    if args.score:
        print(json.dumps(score(args.score)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, args.scenes, args.points, args.proposals)
        size = sum(path.stat().st_size for path in (folder / "predictions").iterdir())
        command = [sys.executable, __file__, "--score", name]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        told |= {"overlaps": compare(folder, args.compare), "predictions_mib": round(size / (1 << 20), 1)}
    facts = {
        "scenes": args.scenes,
        "points_each": args.points,
        "proposals_each": args.proposals,
        "objects_each": OBJECTS,
        "device": platform.machine(),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    print(json.dumps(told, indent=1))
    write_json(args.out, {"facts": facts, "results": told})


if __name__ == "__main__":
    main()
