"""Time the sparse convolution engines: forward and backward of SparseUNet16 on the surfaces of a random room at 2 cm.

    OPENBLAS_NUM_THREADS=1 python benchmarks/engines.py --voxels 29000 --threads 2

Index maps are built anew in every repeat, as in training. MinkowskiEngine takes part if it is installed; it is fastest
with OPENBLAS_NUM_THREADS=1, so the benchmark refuses to time it otherwise. Writes ``benchmarks/engines.json``.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

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


def measure(engine: SparseEngine, coords: torch.Tensor, repeats: int, half: bool) -> dict[str, float]:
    """Milliseconds of forward + backward with maps built anew: minimum and median."""
    torch.manual_seed(0)
    device = coords.device.type
    net = SparseUNet(6, WIDTHS, 2).train().to(device)
    feats = torch.randn(len(coords), 6).to(device)
    extent = spatial_shape(coords)
    times = []
    for _ in range(repeats + 1):
        net.zero_grad(set_to_none=True)
        start = time.perf_counter()
        with torch.autocast(device, torch.float16, enabled=half):
            out, _ = net(feats, Grid(Pyramid(coords, extent, len(WIDTHS)), engine))
        out.float().square().mean().backward()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    times = sorted(times[1:])  # the first run warms up
    return {"minimum_ms": round(times[0], 1), "median_ms": round(times[len(times) // 2], 1)}


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
    engines: dict[str, SparseEngine] = {
        "native": NativeEngine(),
        "native-pairs": NativeEngine("pairs"),
        "native-table": NativeEngine("table"),
    }
    try:
        if args.device == "cuda":
            raise UserError("it is built for CPU")
        engines["minkowski"] = make_engine("minkowski")
    except UserError as error:
        print(f"minkowski left out: {error}")
    if "minkowski" in engines and os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        parser.error("set OPENBLAS_NUM_THREADS=1: MinkowskiEngine is slower without, and the comparison unfair")
    results = []
    for voxels in args.voxels:
        rooms = [room(voxels, seed) for seed in range(args.scenes)]
        for scene, coords in enumerate(rooms):
            coords[:, 0] = scene
        coords = torch.cat(rooms).to(args.device)
        for name, engine in engines.items():
            row = {"engine": name, "voxels": len(coords)} | measure(engine, coords, args.repeats, args.half)
            print(row)
            results.append(row)
    facts = {
        "network": "SparseUNet16, 7 levels, 2 blocks, forward + backward, maps included",
        "device": torch.cuda.get_device_name() if args.device == "cuda" else platform.machine(),
        "half": args.half,
        "scenes": args.scenes,
        "threads": args.threads,
        "repeats": args.repeats,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    write_json(args.out, {"facts": facts, "results": results})


if __name__ == "__main__":
    main()
