"""Time the sparse convolution engines: forward and backward of SparseUNet16 on the surfaces of a random room at 2 cm.

    OPENBLAS_NUM_THREADS=1 python benchmarks/engines.py --voxels 29000 --threads 2

Index maps are built anew in every repeat, as in training, and the engines take turns. MinkowskiEngine takes part if it
is installed; it is fastest with OPENBLAS_NUM_THREADS=1, so the benchmark refuses to time it otherwise. Memory is that
of a process for each engine (Linux). Writes ``benchmarks/engines.json``.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from regionzoo.artifacts import write_json
from regionzoo.errors import UserError
from regionzoo.models.blocks import Grid
from regionzoo.models.unet import SparseUNet
from regionzoo.sparse.engine import SparseEngine, make_engine
from regionzoo.sparse.native import NativeEngine
from regionzoo.sparse.pyramid import Pyramid, spatial_shape

WIDTHS = (16, 32, 48, 64, 80, 96, 112)
VOXEL = 0.02

Step = Callable[[], None]


def box_surface(low: np.ndarray, high: np.ndarray, skip_top: bool = False) -> np.ndarray:
    """int64 [n, 3]: voxels of the faces of an axis-aligned box."""
    axes = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    faces = []
    for axis in range(3):
        for side in (low, high)[: 1 if skip_top and axis == 2 else 2]:
            grids = [axes[i] if i != axis else np.array([side[axis]]) for i in range(3)]
            faces.append(np.stack(np.meshgrid(*grids, indexing="ij"), -1).reshape(-1, 3))
    return np.concatenate(faces)


def room(voxels: int, seed: int) -> torch.Tensor:
    """int32 [about ``voxels``, 4]: floor, walls and furniture of a room of matching size, sites in key order."""
    rng = np.random.default_rng([seed, voxels])
    # Floor + walls + furniture come to about 2.6 floors' worth of voxels; 2.5 m high.
    height = 2.5
    side = np.sqrt(voxels * VOXEL**2)
    for _ in range(20):
        size = np.array([side, side * 0.8, height])
        parts = [box_surface(np.zeros(3, int), (size / VOXEL).astype(int), skip_top=True)]
        for _ in range(max(2, int(side * 3))):
            extent = rng.uniform((0.3, 0.3, 0.3), (1.2, 0.8, 1.1)).clip(max=size * 0.8)
            corner = rng.uniform(0, size - extent) * (1, 1, 0)
            parts.append(box_surface(*(np.stack([corner, corner + extent]) / VOXEL).astype(int)))
        coords = np.unique(np.concatenate(parts), axis=0)
        if abs(len(coords) - voxels) < 0.02 * voxels:
            break
        side *= (voxels / len(coords)) ** 0.7
    coords = np.concatenate([np.zeros((len(coords), 1), int), coords], axis=1)
    return torch.from_numpy(coords.astype(np.int32))


def stepper(engine: SparseEngine, coords: torch.Tensor, half: bool) -> Step:
    """One forward and backward pass, maps built anew."""
    torch.manual_seed(0)
    device = coords.device.type
    net = SparseUNet(6, WIDTHS, 2).train().to(device)
    feats = torch.randn(len(coords), 6).to(device)
    extent = spatial_shape(coords)

    def step() -> None:
        net.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.float16, enabled=half):
            out, _ = net(feats, Grid(Pyramid(coords, extent, len(WIDTHS)), engine))
        out.float().square().mean().backward()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def measure(steps: dict[str, Step], repeats: int) -> dict[str, dict[str, Any]]:
    """Milliseconds of each engine's step, all in turn in every repeat: minimum, median, spread."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append((time.perf_counter() - start) * 1e3)
    result = {}
    for name, all_of in times.items():
        found = sorted(all_of[1:])  # the first run warms up
        spread = [round(found[0], 1), round(found[-1], 1)]
        result[name] = {"minimum_ms": spread[0], "median_ms": round(median(found), 1), "spread_ms": spread}
    return result


def chosen(name: str) -> SparseEngine:
    """The engine of that name in the results."""
    if name == "minkowski":
        return make_engine("minkowski")
    return NativeEngine({"native": None, "native-pairs": "pairs", "native-table": "table"}[name])  # type: ignore[arg-type]


def peak_mib(name: str, coords: torch.Tensor, threads: int) -> float:
    """What two steps on the CPU add to the resident memory of a process that does nothing else, MiB."""
    torch.set_num_threads(threads)
    step = stepper(chosen(name), coords, False)
    before = most_resident()
    for _ in range(2):
        step()
    return round(most_resident() - before)


def most_resident() -> float:
    """Largest resident memory of this process so far, MiB; getrusage would count the parent's, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, nargs="+", default=[29_000, 99_000])
    parser.add_argument("--scenes", type=int, default=1, help="rooms of that many voxels in a batch")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--half", action="store_true", help="float16 autocast (cuda)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    names = ["native", "native-pairs", "native-table", "minkowski"]
    try:
        make_engine("minkowski")
    except UserError as error:
        print(f"minkowski left out: {error}")
        names.remove("minkowski")
    if "minkowski" in names and os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        parser.error("set OPENBLAS_NUM_THREADS=1: MinkowskiEngine is slower without, and the comparison unfair")
    results = []
    for voxels in args.voxels:
        rooms = [room(voxels, seed) for seed in range(args.scenes)]
        for scene, coords in enumerate(rooms):
            coords[:, 0] = scene
        coords = torch.cat(rooms)
        moved = coords.to(args.device)
        found = measure({name: stepper(chosen(name), moved, args.half) for name in names}, args.repeats)
        for name, figures in found.items():
            row = {"engine": name, "voxels": len(coords)} | figures
            if args.device == "cpu":
                with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                    row["peak_mib"] = alone.submit(peak_mib, name, coords, args.threads).result()
            print(row)
            results.append(row)
    facts = {
        "network": "SparseUNet16, 7 levels, 2 blocks, forward + backward, maps included",
        "device": torch.cuda.get_device_name() if args.device == "cuda" else platform.machine(),
        "half": args.half,
        "scenes": args.scenes,
        "cores": os.cpu_count(),
        "threads": args.threads,
        "openblas_threads": os.environ.get("OPENBLAS_NUM_THREADS"),
        "repeats": args.repeats,
        "torch": torch.__version__,
        "minkowskiengine": version("MinkowskiEngine") if "minkowski" in names else None,
        "python": platform.python_version(),
    }
    write_json(args.out, {"facts": facts, "results": results})


if __name__ == "__main__":
    main()
