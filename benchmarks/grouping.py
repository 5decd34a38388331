"""Time grouping and refinement of instance proposals in a scene of 150,000 points.

    python benchmarks/grouping.py --points 150000 --threads 2
    python benchmarks/grouping.py --device cuda

The cloud is a room of boxes: 45% of the points on floor and walls, the others on the surfaces of objects of 17 classes,
sizes from a box to a sofa. One point in eight is a candidate of a second class. Points are shifted 92% of the way to
their object's centre, with noise (``--spread``: metres for the largest objects; small values make dense clusters, where
the limit of 1000 neighbours matters). The baseline is what a reader would write first: class by class, SciPy's
tree for the neighbour lists and a queue in Python for the search. Proposals of all paths must be equal.
Refinement is the head's evaluation with c = 16. Writes an entry of ``benchmarks/grouping.json``, "cpu" or "cuda".
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree

from regionzoo.artifacts import write_json
from regionzoo.models.grouping import group
from regionzoo.models.instance_head import InstanceHead
from regionzoo.models.instance_types import InstanceSettings, Proposals
from regionzoo.sparse.engine import make_engine

CLASSES, WIDTH = 20, 16


@dataclass(frozen=True)
class Cloud:
    """points, shifted: float32 [N, 3]; scores: float32 [N, 20]; feats: float32 [N, 16], all on one device."""

    points: torch.Tensor
    shifted: torch.Tensor
    scores: torch.Tensor
    feats: torch.Tensor


def on_box(corner: np.ndarray, extent: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """[count, 3]: points on the faces of a box, except the lower one, evenly by area."""
    areas = np.array([extent[1] * extent[2]] * 2 + [extent[0] * extent[2]] * 2 + [extent[0] * extent[1]])
    face = rng.choice(5, count, p=areas / areas.sum())
    place = rng.random((count, 3))
    place[np.arange(count), face // 2] = np.where(face == 4, 1, face % 2)
    return corner + place * extent


def make_cloud(count: int, spread: float, seed: int) -> Cloud:
    """The room described above."""
    rng = np.random.default_rng(seed)
    room = np.array([7.0, 5.5, 2.6])
    extents = rng.uniform((0.25, 0.2, 0.15), (1.9, 0.9, 1.1), (32, 3))
    areas = extents[:, 0] * extents[:, 1] + 2 * extents[:, 2] * (extents[:, 0] + extents[:, 1])
    shares = np.concatenate([[0.45], 0.55 * areas / areas.sum()])
    counts = (shares * count).astype(int)
    counts[0] += count - counts.sum()
    shell = room - on_box(np.zeros(3), room, counts[0], rng)  # upside down: the open face is the ceiling
    points, shifted, labels = [shell], [shell], [rng.integers(0, 2, counts[0])]
    for extent, inside in zip(extents, counts[1:], strict=True):
        corner = rng.uniform(0, 1, 3) * (room - extent) * (1, 1, 0)
        here = on_box(corner, extent, inside, rng)
        centre = here.mean(0)
        noise = spread * extent.max() / 1.9
        points.append(here)
        shifted.append(centre + 0.08 * (here - centre) + rng.normal(0, noise, here.shape))
        labels.append(np.full(inside, rng.integers(2, 19)))
    order = rng.permutation(count)
    label = np.concatenate(labels)[order]
    scores = np.full((count, CLASSES), 0.005, np.float32)
    scores[np.arange(count), label] = 0.6
    second = rng.random(count) < 0.125
    scores[second, rng.integers(0, CLASSES, second.sum())] = 0.3
    as_tensor = [np.concatenate(part)[order].astype(np.float32) for part in (points, shifted)]
    feats = rng.standard_normal((count, WIDTH)).astype(np.float32)
    return Cloud(*(torch.from_numpy(part) for part in (*as_tensor, scores, feats)))


def baseline(cloud: Cloud, settings: InstanceSettings) -> Proposals:
    """Neighbour lists of SciPy and a queue in Python, class by class; one scene."""
    points, scores = cloud.shifted.numpy(), cloud.scores.numpy()
    found: list[np.ndarray] = []
    limit = np.float32(settings.radius) ** 2
    for c in range(settings.shift, CLASSES):
        candidates = np.flatnonzero(scores[:, c] > np.float32(settings.score_threshold))
        if len(candidates) < settings.min_candidates:
            continue
        here = points[candidates]
        tree = cKDTree(here.astype(np.float64))
        visited = np.zeros(len(here), bool)
        for seed in range(len(here)):
            if visited[seed]:
                continue
            visited[seed] = True
            queue, reached = deque([seed]), [seed]
            while queue:
                u = queue.popleft()
                near = np.array(tree.query_ball_point(here[u], settings.radius * 1.00001, return_sorted=True))
                x, y, z = (here[near] - here[u]).T
                near = near[x * x + y * y + z * z < limit][: settings.max_neighbours]
                new = near[~visited[near]].tolist()
                visited[new] = True
                queue.extend(new)
                reached.extend(new)
            if len(reached) >= settings.min_points:
                found.append(candidates[np.sort(reached)])
    sizes = torch.tensor([0] + [len(ids) for ids in found])
    return Proposals(
        sizes.cumsum(0), torch.from_numpy(np.concatenate(found)), torch.zeros(len(found), dtype=torch.int64)
    )


def timed(work: Callable[[], object], repeats: int, device: str) -> dict[str, float]:
    """Seconds on the clock, minimum and median, and the processors' seconds, after one run that warms up."""
    clock, processors = [], []
    for _ in range(repeats + 1):
        start, used = time.perf_counter(), time.process_time()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        clock.append(time.perf_counter() - start)
        processors.append(time.process_time() - used)
    clock, processors = sorted(clock[1:]), sorted(processors[1:])
    middle = repeats // 2
    return {
        "minimum_s": round(clock[0], 4),
        "median_s": round(clock[middle], 4),
        "processors_median_s": round(processors[middle], 4),
    }


def measure(cloud: Cloud, device: str, repeats: int, slow: bool) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Facts of the cloud and one result a path."""
    settings, engine = InstanceSettings(), make_engine("native")
    torch.manual_seed(0)
    head = InstanceHead(WIDTH).eval().to(device)
    moved = Cloud(*(getattr(cloud, name).to(device) for name in ("points", "shifted", "scores", "feats")))
    scene = torch.zeros(len(cloud.points), dtype=torch.int64, device=device)
    v2p = torch.arange(len(cloud.points), device=device)

    def grouped(path: str) -> Proposals:
        return group(moved.scores, range(CLASSES), moved.shifted, scene, settings, path=path)

    def refined(proposals: Proposals) -> None:
        with torch.no_grad():
            head.refine(moved.feats, v2p, moved.points, proposals, settings, engine)

    path = "cells" if device == "cuda" else "tree"
    proposals = grouped(path)
    results: list[dict[str, object]] = [
        {"step": "group", "path": path} | timed(lambda: grouped(path), repeats, device),
        {"step": "refine"} | timed(lambda: refined(proposals), repeats, device),
        {"step": "group and refine"} | timed(lambda: refined(grouped(path)), repeats, device),
    ]
    others = {"baseline": lambda: baseline(cloud, settings)} if slow else {}
    if device == "cpu":
        others["cells"] = lambda: grouped("cells")
    for name, work in others.items():
        start, used = time.perf_counter(), time.process_time()
        other = work()
        row = {"once_s": round(time.perf_counter() - start, 2), "processors_s": round(time.process_time() - used, 2)}
        results.append({"step": "group", "path": name} | row)
        same = [torch.equal(getattr(other, part), getattr(proposals, part).cpu()) for part in ("offsets", "point_ids")]
        if not all(same):
            raise SystemExit(f"{name} and {path} do not agree")
    facts = {
        "points": len(cloud.points),
        "candidates": int((cloud.scores[:, 2:] > settings.score_threshold).sum()),
        "proposals": len(proposals),
        "points_in_proposals": len(proposals.point_ids),
    }
    return facts, results


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=150_000)
    parser.add_argument("--spread", type=float, nargs="+", default=[0.05, 0.02])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-baseline", action="store_true", help="leave the slow path out")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = []
    for spread in args.spread:
        cloud = make_cloud(args.points, spread, args.seed)
        facts, rows = measure(cloud, args.device, args.repeats, not args.no_baseline)
        print({"spread": spread} | facts)
        for row in rows:
            print("  ", row)
        results.append({"spread": spread, "cloud": facts, "times": rows})
    machine = {
        "device": torch.cuda.get_device_name() if args.device == "cuda" else platform.machine(),
        "threads": args.threads,
        "repeats": args.repeats,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    # Measurements of the other device are kept.
    known = json.loads(args.out.read_text()) if args.out.exists() else {}
    write_json(args.out, known | {args.device: {"facts": machine, "results": results}})


if __name__ == "__main__":
    main()
