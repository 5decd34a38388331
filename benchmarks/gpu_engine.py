"""Time the GPU engine: forward and backward of SparseUNet16 and 32, float16 autocast or float32, index maps included.

    python benchmarks/gpu_engine.py
    python benchmarks/gpu_engine.py --voxels 50000 --repeats 50

Two batches: ``rooms``, surfaces of 4 random rooms of that many voxels each, and ``points``, 4 rooms of 150,000 points
(``--points``) a few millimetres off the surfaces, turned by a random angle as in training and voxelised at 2 cm.
Engines take turns, step by step: ``native`` (the fused kernels), its plain path ``table``, in float32 ``minkowski`` if
there is a build of it for CUDA, and spconv if it is installed, as a network of the same layers. Every step builds its
index maps anew. First steps are measured in processes of their own, with Triton's cache empty and full. Writes
``benchmarks/gpu_engine.json``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import itertools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import numpy as np
import torch
import typer
from engines import VOXEL, room
from spconv_unet import SpconvUNet
from torch.profiler import ProfilerActivity, profile

from regionzoo.artifacts import write_json
from regionzoo.errors import UserError
from regionzoo.models.blocks import Grid
from regionzoo.models.unet import SparseUNet
from regionzoo.sparse.engine import SparseEngine, make_engine
from regionzoo.sparse.native import NativeEngine
from regionzoo.sparse.pyramid import Pyramid, spatial_shape

WIDTHS = {16: (16, 32, 48, 64, 80, 96, 112), 32: (32, 64, 96, 128, 160, 192, 224)}
SCENES = 4
WARM_UP = 3
OUT = Path(__file__).with_suffix(".json")

Step = Callable[[], None]


def together(scenes: list[np.ndarray]) -> torch.Tensor:
    """int32 [V, 4] on the GPU, rows (scene, x, y, z), of the scenes' voxels [V_i, 3]."""
    numbered = [np.concatenate([np.full((len(cells), 1), i), cells], 1) for i, cells in enumerate(scenes)]
    return torch.from_numpy(np.concatenate(numbered).astype(np.int32)).cuda()


def turned_points(points: int, seed: int) -> np.ndarray:
    """int64 [V, 3]: voxels of a room's points, turned about the vertical by a random angle."""
    rng = np.random.default_rng([seed, points])
    cells = room(int(points * 0.9), seed).numpy()[:, 1:]
    # Within 6 mm of the middle of a surface's voxel, which is what a scanner's noise and a mesh's vertices come to.
    place = cells[rng.integers(0, len(cells), points)] + 0.5 + rng.uniform(-0.3, 0.3, (points, 3))
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    place = place @ turn.T
    return np.unique(np.floor(place - place.min(0)).astype(np.int64), axis=0)


def own_step(width: int, half: bool, coords: torch.Tensor, engine: SparseEngine) -> Step:
    """A training step of the network alone, with an engine of this package."""
    torch.manual_seed(0)
    net = SparseUNet(6, WIDTHS[width], 2).train().cuda()
    feats = torch.randn(len(coords), 6, device="cuda")
    extent = spatial_shape(coords)

    def step() -> None:
        net.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.float16, enabled=half):
            out, _ = net(feats, Grid(Pyramid(coords, extent, len(WIDTHS[width])), engine))
        out.float().square().mean().backward()

    return step


def spconv_step(package: ModuleType, width: int, half: bool, coords: torch.Tensor) -> Step:
    """The same step with spconv."""
    torch.manual_seed(0)
    net = SpconvUNet(package, 6, WIDTHS[width], 2).train().cuda()
    feats = torch.randn(len(coords), 6, device="cuda")
    extent = spatial_shape(coords)

    def step() -> None:
        net.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.float16, enabled=half):
            out = net(package.SparseConvTensor(feats, coords, list(extent), SCENES))
        out.float().square().mean().backward()

    return step


def milliseconds(step: Step) -> float:
    """Wall time of one step, from an idle GPU to an idle GPU."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def busy_milliseconds(step: Step, steps: int = 3) -> float:
    """Time that the GPU spends in kernels and copies of one step."""
    with profile(activities=[ProfilerActivity.CUDA]) as prof:
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
    return sum(event.self_device_time_total for event in prof.key_averages()) / 1e3 / steps


def compare(steps: dict[str, Step], repeats: int) -> list[dict[str, Any]]:
    """Median, quartiles, peak memory and busy time of each, taking turns."""
    peaks = {}
    for name, step in steps.items():
        for _ in range(WARM_UP):
            step()
        torch.cuda.synchronize()
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        peaks[name] = torch.cuda.max_memory_allocated() - held
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            times[name].append(milliseconds(step))
    rows = []
    for name, step in steps.items():
        low, median, high = statistics.quantiles(times[name], n=4)
        figures = {"median_ms": median, "quartiles_ms": [low, high], "gpu_busy_ms": busy_milliseconds(step)}
        rounded = {key: np.round(value, 1).tolist() for key, value in figures.items()}
        rows.append({"engine": name} | rounded | {"peak_gib": round(peaks[name] / 2**30, 2)})
    return rows


def first_steps(width: int, voxels: int) -> dict[str, float]:
    """Seconds of the first step of a new process, imports of the kernels included: Triton's cache empty, then full."""
    command = [sys.executable, __file__, "--voxels", str(voxels), "--first", str(width)]
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"TRITON_CACHE_DIR": cache}
        outputs = [
            subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
            for _ in range(2)
        ]
    return dict(zip(("cold_s", "warm_s"), (float(output.split()[-1]) for output in outputs), strict=True))


def spconv_package() -> ModuleType | None:
    """spconv's modules, if it is installed."""
    try:
        return importlib.import_module("spconv.pytorch")
    except ImportError as error:
        print(f"spconv left out: {error}")
        return None


def minkowski_engine() -> SparseEngine | None:
    """The engine over MinkowskiEngine, if a build of it for CUDA is installed."""
    try:
        engine = make_engine("minkowski")
        engine.subm3(
            torch.ones(1, 4, device="cuda"),
            torch.ones(4, 3, 3, 3, 4, device="cuda"),
            Pyramid(torch.zeros(1, 4, dtype=torch.int32, device="cuda"), (4, 4, 4), 1),
            0,
        )
    except UserError as error:
        print(f"MinkowskiEngine left out: {error}")
        return None
    return engine


def main(
    voxels: Annotated[int, typer.Option(help="Voxels of a room.")] = 100_000,
    points: Annotated[int, typer.Option(help="Points of a turned room.")] = 150_000,
    repeats: int = 30,
    batch: Annotated[list[str], typer.Option(help="Batches to measure.")] = ["rooms", "points"],  # noqa: B006
    out: Path = OUT,
    first: Annotated[int, typer.Option(help="Only print the seconds of this width's first step.", hidden=True)] = 0,
) -> None:
    """Measure, print and write."""
    rooms = together([room(voxels, seed).numpy()[:, 1:] for seed in range(SCENES)])
    if first:
        step = own_step(first, True, rooms, NativeEngine())
        print(milliseconds(step) / 1e3)
        return
    spconv, minkowski = spconv_package(), minkowski_engine()
    batches = {"rooms": rooms}
    if "points" in batch:
        batches["points"] = together([turned_points(points, seed) for seed in range(SCENES)])
    facts = {
        "step": "forward + backward of the U-Net (7 levels, 2 blocks a level), index maps included",
        "device": torch.cuda.get_device_name(),
        "processors": os.cpu_count(),
        "scenes": SCENES,
        "voxel_m": VOXEL,
        "repeats": repeats,
        "torch": torch.__version__,
        "triton": importlib.metadata.version("triton"),
        "spconv": None if spconv is None else getattr(sys.modules["spconv"], "__version__", "unknown"),
        "python": platform.python_version(),
    }
    results: list[dict[str, Any]] = []
    firsts: list[dict[str, Any]] = []
    for half in (True, False):
        for name, width in itertools.product(batch, WIDTHS):
            coords = batches[name]
            steps = {
                "native": own_step(width, half, coords, NativeEngine()),
                "native-table": own_step(width, half, coords, NativeEngine("table")),
            }
            if minkowski is not None and not half:
                steps["minkowski"] = own_step(width, half, coords, minkowski)
            if spconv is not None:
                steps["spconv"] = spconv_step(spconv, width, half, coords)
            case = {"batch": name, "voxels": len(coords), "network": f"SparseUNet{width}"}
            for row in compare(steps, repeats if half else max(5, repeats // 4)):
                results.append(case | {"precision": "float16 autocast" if half else "float32"} | row)
                print(results[-1], flush=True)
            # An interrupted run leaves what it has measured.
            write_json(out, {"facts": facts, "results": results, "first_steps": firsts})
        if half:
            firsts += [{"network": f"SparseUNet{width}"} | first_steps(width, voxels) for width in WIDTHS]
            print(firsts, flush=True)
    write_json(out, {"facts": facts, "results": results, "first_steps": firsts})


if __name__ == "__main__":
    typer.run(main)
