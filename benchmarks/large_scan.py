"""Label a building of ten million points on a CPU: time, memory, and what the borders of tiles cost.

    python benchmarks/large_scan.py --threads 2
    python benchmarks/large_scan.py --points 2e6 --borders --checkpoint results/scannet_b15n4/model.safetensors

The building is a storey of the synthetic rooms, scanned every 18 mm, straightened and put side by side with thick walls
between. The first call runs ``regionzoo predict --save logits`` on it in a process of its own, with a network of
the published size and random weights (or ``--checkpoint``), and writes the entry "run" of
``benchmarks/large_scan.json``. ``--borders`` compares tiles with one pass over the same building, for several margins:
how many points get the same label, of all and of those within half a metre of a tile's border. The tiles are about as
many as rooms. Its figures depend on the network: name a trained one. Writes the entry "borders".
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from regionzoo.apply.clouds import Cloud, read_cloud
from regionzoo.apply.grid import Voxels, make_voxels
from regionzoo.apply.ply import write_ply
from regionzoo.apply.question import Asked, make_question
from regionzoo.apply.score import Reader, run_network
from regionzoo.apply.tiles import Tile, tiles
from regionzoo.apply.weights import load_weights
from regionzoo.artifacts import write_json, write_safetensors
from regionzoo.config import load_params
from regionzoo.scenes.scannet import read_axis_alignment, read_mesh
from regionzoo.scenes.synthetic.generate import generate
from regionzoo.scenes.synthetic.settings import RoomSettings
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.table import TextTable
from regionzoo.training.build import build_network

ROW, VOXEL, SPACING, WALL = "scannet_b15n4", 0.02, 0.018, 0.12
COMMAND = "from regionzoo.cli_apply import own_scans; own_scans()"
MARGINS = (0, 8, 16, 32, 64, 96, 128, 192)
NEAR = 25
"""Voxels from a border that count as near it."""


def building(scans: Path, count: int) -> Cloud:
    """Rooms side by side in rows, mirrored when they come again."""
    rooms = []
    for folder in sorted(scans.iterdir()):
        coords, colors = read_mesh(folder / f"{folder.name}_vh_clean_2.ply", folder.name)
        straight = read_axis_alignment(folder / f"{folder.name}.txt", folder.name)
        assert straight is not None
        coords = coords @ straight[:3, :3].T
        rooms.append((coords - coords.min(axis=0), colors))
    side = int(np.ceil(np.sqrt(count / np.mean([len(coords) for coords, _ in rooms]))))
    places, colors, total, y = [], [], 0, 0.0
    while total < count:
        x = deepest = 0.0
        for _ in range(side):
            again, which = divmod(len(places), len(rooms))
            room, paint = rooms[which]
            size = room.max(axis=0)
            room = np.where([again & 1, again & 2, 0], size - room, room)
            places.append((room + [x, y, 0.0]).astype(np.float32))  # noqa: RUF005
            colors.append(paint)
            x, deepest, total = x + size[0] + WALL, max(deepest, size[1]), total + len(room)
        y += deepest + WALL
    return Cloud("building", np.concatenate(places)[:count], np.concatenate(colors)[:count])


def save_random(path: Path, params: Path) -> Path:
    """Weights of the published size as a training begins with them."""
    settings = load_params(params).model_copy(update={"scale": "paper"}).train(ROW)
    prompts = tuple(class_prompts(settings.classes.set, settings.template))
    vectors = np.random.default_rng(0).standard_normal((len(prompts), 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    write_safetensors(path, dict(build_network(settings, TextTable(prompts, vectors), "native").state_dict()))
    return path


def measure_run(source: Path, checkpoint: Path, params: Path, threads: int, work: Path) -> dict[str, object]:
    """One prediction in a process of its own."""
    out = work / "out.npz"
    command = [sys.executable, "-c", COMMAND, "predict", "--row", ROW, "--checkpoint", checkpoint, "--input", source]
    command += ["--output", out, "--save", "logits", "--params", params, "--device", "cpu", "--threads", threads]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "THP_MEM_ALLOC_ENABLE": "1"}
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"regionzoo predict ended with {os.waitstatus_to_exitcode(status)}")
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_memory_gib": round(used.ru_maxrss / (1 << 20), 2),
        "result_gib": round(out.stat().st_size / (1 << 30), 2),
    }


def grown(coords: np.ndarray, boxes: list[np.ndarray], margin: int) -> Iterator[Tile]:
    """Tiles of given inner voxels with another margin."""
    for inner in boxes:
        low, high = coords[inner].min(axis=0) - margin, coords[inner].max(axis=0) + margin
        rows = np.flatnonzero(((coords >= low) & (coords <= high)).all(axis=1))
        yield Tile(rows, np.isin(rows, inner))


def measure_borders(voxels: Voxels, checkpoint: Path, params: Path, rooms: int) -> dict[str, object]:
    """Shares of equal labels by margin."""
    weights = load_weights(ROW, checkpoint, params, Path("results"))
    network, coords = weights.network("native"), voxels.coords.numpy()
    reader = Reader(make_question(Asked(), weights), weights.dimension, frozenset(), False, torch.device("cpu"))
    boxes = [tile.rows[tile.inner] for tile in tiles(coords, 1 + len(voxels) // rooms, 0)]
    near = np.zeros(len(voxels), bool)
    owner = np.empty(len(voxels), np.int64)
    for number, inner in enumerate(boxes):
        owner[inner] = number
    for tile in grown(coords, boxes, NEAR):
        near[tile.rows[~tile.inner]] = True

    def labels(parts: list[Tile] | Iterator[Tile], title: str) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            found = run_network(
                network, voxels, parts, reader.columns, reader, Path(folder), title, torch.device("cpu")
            )
            return found.of_points("label", 0, len(voxels.v2p), -1)

    whole = labels(tiles(coords, len(voxels), 0), "one pass")
    shares = []
    for margin in MARGINS:
        start = time.process_time()
        same = labels(grown(coords, boxes, margin), f"margin {margin}") == whole
        shares.append(
            {
                "margin_voxels": margin,
                "same_percent": round(100 * float(same.mean()), 3),
                "same_near_borders_percent": round(100 * float(same[near[voxels.v2p]].mean()), 3),
                "processor_seconds": round(time.process_time() - start, 1),
            }
        )
        print(shares[-1], flush=True)
    return {
        "points": len(voxels.v2p),
        "voxels": len(voxels),
        "tiles": len(boxes),
        "points_near_borders_percent": round(100 * float(near[voxels.v2p].mean()), 1),
        "labels": len(np.unique(whole)),
        "margins": shares,
    }


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=float, default=1e7)
    parser.add_argument("--rooms", type=int, default=36, help="different rooms")
    parser.add_argument("--work", type=Path, default=Path("runs/large_scan"), help="keeps the rooms")
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--borders", action="store_true")
    parser.add_argument("--note", default="random weights", help="what the network is")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    generate(args.work / "rooms", RoomSettings(args.rooms, 0, 0, SPACING, 3), args.threads)
    cloud = building(args.work / "rooms" / "scans", int(args.points))
    checkpoint = args.checkpoint or save_random(args.work / "random" / "model.safetensors", args.params)
    if args.borders:
        rooms = int(np.ceil(len(cloud) / 165_000))
        result = {"borders": measure_borders(make_voxels(cloud, VOXEL), checkpoint, args.params, rooms)}
    else:
        source = args.work / "building.ply"
        write_ply(source, cloud, lambda a, b: cloud.colors[a:b], {}, "rooms side by side")
        again = read_cloud(source)
        assert np.array_equal(again.coords, cloud.coords)
        size = [round(float(side), 1) for side in np.ptp(cloud.coords, axis=0)]
        del cloud, again
        result = {"run": {"points": int(args.points), "metres": size}}
        result["run"] |= measure_run(source, checkpoint, args.params, args.threads, args.work)
    print(result)
    machine = {"device": platform.machine(), "threads": args.threads, "torch": torch.__version__, "network": args.note}
    name = next(iter(result))
    known = json.loads(args.out.read_text()) if args.out.exists() else {}
    write_json(args.out, known | {name: result[name] | {"facts": machine | {"python": platform.python_version()}}})


if __name__ == "__main__":
    main()
