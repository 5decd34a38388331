"""The whole training step of two rows on a GPU, from stored scenes to updated weights, sustained with the real loader.

    python benchmarks/train_step.py --loaders 16
    torchrun --standalone --nproc-per-node 2 benchmarks/train_step.py --loaders 16 --only whole

Writes rooms of 150,000 points to a folder once, then trains with the settings of scale paper, 4 rooms a step on each
GPU, 2 cm voxels, half precision. ``whole`` is the loop of ``regionzoo train``; ``no loader`` the same with batches
that wait in pinned memory, so the difference is what the loader is waited for; ``before`` a straightforward loop on the
same network and as many loader processes: voxels made in the loader, batches copied in the step, the region loss as its
formula is written, GradScaler, the loss read in every step. ``parts`` are single operations with the GPU waited for in
between. A step is the time between the starts of two forward passes; ``first_step_s`` is that from the start of the
loader to the end of the first step's launches: Triton's cache is empty when the first row begins. Writes an entry of
``benchmarks/train_step.json``, named after the number of GPUs; several need ``--folder``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from large_rooms import write_rooms
from region_loss import Case, plain
from torch import Tensor, nn
from torch.utils.data import DataLoader

from regionzoo.artifacts import write_json
from regionzoo.config import load_params
from regionzoo.launch import choose_loaders
from regionzoo.models.batch import Batch, with_tensors
from regionzoo.models.network import RegionNet
from regionzoo.settings.train import TrainSettings
from regionzoo.sparse.engine import EngineName
from regionzoo.text.table import TextTable, load_table
from regionzoo.training.build import build_network
from regionzoo.training.dataset import TrainingScenes
from regionzoo.training.distributed import World, wait_for_all, world
from regionzoo.training.loop import Trainer
from regionzoo.training.optim import Optimizer
from regionzoo.training.point_batch import PointBatch
from regionzoo.training.scaler import LossScaler
from regionzoo.training.steps import EpochSteps, TrainingShards

ROWS = ("scannet_b15n4", "scannet_zs_unet32")
SCENES = 4


@dataclass(frozen=True)
class Bench:
    """What all measurements of a row share; ``warm``: steps at the start that are not counted."""

    settings: TrainSettings
    folder: Path
    table: TextTable
    here: World
    engine: EngineName
    loaders: int
    warm: int

    def scenes(self, steps: int) -> TrainingScenes:
        """Samples for an epoch of ``steps`` and the warm-up."""
        names = json.loads((self.folder / "scenes" / "splits.json").read_text())["train"]
        # The last batch of an epoch is left out.
        repeat = -(-(steps + self.warm + 2) * SCENES * self.here.size // len(names))
        settings = with_recipe(self.settings, repeat=repeat)
        return TrainingScenes(self.folder / "scenes", names, self.folder / "captions", None, self.table, settings)

    def network(self) -> tuple[RegionNet, Optimizer]:
        """A fresh network in training mode and its optimiser."""
        network = build_network(self.settings, self.table, self.engine).to(self.here.device).train()
        return network, Optimizer(network, self.settings.recipe, self.settings.lr)


class Canned:
    """Samples that are batches already, in pinned memory."""

    def __init__(self, scenes: TrainingScenes, table: TextTable, batches: int) -> None:
        self.settings, self.length = scenes.settings, len(scenes)
        steps = EpochSteps(scenes, table, 0, World(0, 1, torch.device("cuda")), late=True)
        self.batches = [with_tensors(steps.shard(k, 0).batch, Tensor.pin_memory) for k in range(batches)]

    def __len__(self) -> int:
        return self.length

    def item(self, epoch: int, sample: int, late: bool = False) -> int:
        """Nothing is made."""
        return sample

    def collate(
        self, items: Sequence[int], table: TextTable | None, place: tuple[int, int, int], late: bool = False
    ) -> Batch | PointBatch:
        """One of the batches in turn."""
        return self.batches[place[1] % len(self.batches)]


def with_recipe(settings: TrainSettings, **recipe: object) -> TrainSettings:
    """The same settings with another recipe."""
    return settings.model_copy(update={"recipe": settings.recipe.model_copy(update=recipe)})


def summary(times: list[float]) -> dict[str, Any]:
    """Median, mean, 5th and 95th percentile of milliseconds."""
    ordered = sorted(times)
    low, high = ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]
    mean = sum(ordered) / len(ordered)
    return {
        "median_ms": round(median(ordered), 2),
        "mean_ms": round(mean, 2),
        "spread_ms": [round(low, 2), round(high, 2)],
        "steps": len(ordered),
    }


class Clock:
    """Marks the start of every forward pass on the device."""

    def __init__(self, network: nn.Module) -> None:
        self.events: list[torch.cuda.Event] = []
        self.walls: list[float] = []
        network.register_forward_pre_hook(lambda *_: self.mark())

    def mark(self) -> None:
        """Now."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.events.append(event)
        self.walls.append(time.perf_counter())

    def times(self, warm: int) -> list[float]:
        """Milliseconds between the marks, those of the first ``warm`` left out."""
        torch.cuda.synchronize()
        return [a.elapsed_time(b) for a, b in zip(self.events[warm:-1], self.events[warm + 1 :], strict=True)]


def trained(bench: Bench, scenes: Any, loaders: int) -> dict[str, Any]:
    """An epoch of the real loop."""
    network, optimizer = bench.network()
    clock = Clock(network)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as state:
        progress = Trainer(
            network, optimizer, scenes, bench.table, scenes.settings, Path(state) / "state.safetensors", "benchmark",
            bench.here, loaders,
        ).run()  # fmt: skip
    found = summary(clock.times(bench.warm))
    found["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    found["reserved_gib"] = round(torch.cuda.max_memory_reserved() / 2**30, 2)
    # The second forward pass begins when the first step is launched, its kernels compiled.
    found["first_step_s"] = round(clock.walls[1] - start, 1)
    found["all_seconds"] = round(time.perf_counter() - start, 1)
    found["loss"] = round(progress.history[0]["loss"], 4)
    found["skipped_steps"] = progress.history[0]["skipped_steps"]
    found["samples_per_second"] = round(SCENES * bench.here.size / found["mean_ms"] * 1000, 2)
    return found


class PlainHead(nn.Module):
    """The caption loss as its formula is written."""

    def __init__(self, network: RegionNet) -> None:
        super().__init__()
        self.settings = network.settings.caption

    def forward(self, feats: Tensor, v2p: Tensor, captions: Any, binary: Tensor | None) -> Tensor:
        """As :class:`regionzoo.models.caption_head.CaptionHead`."""
        assert self.settings is not None
        case = Case(feats, v2p, binary if binary is not None else v2p, captions, self.settings)
        return plain(case, feats, picked=True)


def before(bench: Bench, steps: int) -> dict[str, Any]:
    """A straightforward loop."""
    network, optimizer = bench.network()
    network.caption_head = PlainHead(network)  # type: ignore[assignment]
    clock, scaler = Clock(network), torch.amp.GradScaler()
    shards = TrainingShards(bench.scenes(steps), bench.table, bench.here, late=False)
    places = [place for place, _ in zip(shards.places(range(1)), range(steps + bench.warm + 1), strict=False)]
    torch.cuda.reset_peak_memory_stats()
    losses = []
    for shard in DataLoader(shards, batch_size=None, sampler=places, num_workers=bench.loaders):
        batch = shard.batch.to(bench.here.device)
        optimizer.gradient.zero_()
        with torch.autocast("cuda", torch.float16):
            loss = network(batch).losses.total
        scaler.scale(loss).backward()
        scaler.step(optimizer.adam)
        scaler.update()
        losses.append(loss.item())
    found = summary(clock.times(bench.warm))
    return found | {"peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2)}


def parts(bench: Bench, canned: Canned, repeats: int) -> dict[str, float]:
    """Median milliseconds of the parts of a step, each waited for."""
    network, optimizer = bench.network()
    scaler, device = LossScaler(True, "cuda"), bench.here.device
    names = ("copy", "voxels", "sites", "network", "losses", "backward", "optimiser")
    times: dict[str, list[float]] = {name: [] for name in names}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        torch.cuda.synchronize()
        start = time.perf_counter()
        result = work()
        torch.cuda.synchronize()
        times[name].append((time.perf_counter() - start) * 1e3)
        return result

    def update() -> None:
        optimizer.step(scaler.unscale(optimizer.gradient))
        optimizer.gradient.zero_()

    for k in range(repeats + 3):
        points = canned.batches[k % len(canned.batches)]
        moved = timed("copy", lambda p=points: with_tensors(p, lambda t: t.to(device, non_blocking=True)))
        batch = timed("voxels", moved.voxelised)
        batch = timed("sites", lambda b=batch: network.prepared(b))
        with torch.autocast("cuda", torch.float16):
            timed("network", lambda b=batch: network.encode(b))
            losses = timed("losses", lambda b=batch: network(b).losses.total)
        timed("backward", scaler.scaled(losses).backward)
        timed("optimiser", update)
    medians = {name: median(values[3:]) for name, values in times.items()}
    # The forward pass with its losses, less the one without.
    medians["losses"] -= medians["network"]
    return {name: round(value, 2) for name, value in medians.items()}


def loader_alone(bench: Bench, batches: int) -> dict[str, float]:
    """Milliseconds a batch of the loader with nobody behind it, and of one process for an item and for a batch."""
    scenes = bench.scenes(batches)
    shards = TrainingShards(scenes, bench.table, bench.here, late=True)
    places = [place for place, _ in zip(shards.places(range(1)), range(batches + bench.loaders), strict=False)]
    start, count = 0.0, 0
    made = DataLoader(shards, batch_size=None, sampler=places, num_workers=bench.loaders, pin_memory=True)
    for k, _ in enumerate(made):
        if k == bench.loaders:
            start, count = time.perf_counter(), 0
        count += 1
    rate = (time.perf_counter() - start) / (count - 1) * 1e3
    torch.set_num_threads(1)
    begin = time.perf_counter()
    items = [scenes.item(0, k) for k in range(SCENES)]
    between = time.perf_counter()
    scenes.collate(items, bench.table, (0, 0, 0), late=True)
    return {
        "batch_ms": round(rate, 2),
        "item_on_one_core_ms": round((between - begin) / SCENES * 1e3, 1),
        "collate_on_one_core_ms": round((time.perf_counter() - between) * 1e3, 1),
    }


def measure(bench: Bench, steps: int, only: list[str], batches: int) -> dict[str, Any]:
    """All that is asked for, of one row."""
    found: dict[str, Any] = {}
    if "whole" in only:
        found["whole"] = trained(bench, bench.scenes(steps), bench.loaders)
    if "no loader" in only or "parts" in only:
        canned = Canned(bench.scenes(min(steps, 100)), bench.table, batches)
        voxels = [len(batch.voxelised().voxel_coords) for batch in canned.batches]
        found["voxels"] = round(sum(voxels) / len(voxels))
        found["captions"] = len(canned.batches[0].captions)
        found["incidences"] = len(canned.batches[0].captions.point_ids)
        if "no loader" in only:
            found["no loader"] = trained(bench, canned, 0)
        if "parts" in only:
            found["parts_ms"] = parts(bench, canned, 12)
    if "loader" in only:
        found["loader"] = loader_alone(bench, 4 * bench.loaders)
    if "before" in only:
        found["before"] = before(bench, max(20, steps // 10))
    return found


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=list(ROWS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--warm", type=int, default=12)
    parser.add_argument("--rooms", type=int, default=32)
    parser.add_argument("--points", type=int, default=150_000)
    parser.add_argument("--captions", type=int, default=600, help="of a batch")
    parser.add_argument("--loaders", type=int, default=choose_loaders(None, 0, 1, "cuda"), help="of all processes")
    parser.add_argument("--engine", choices=("native", "minkowski"), default="native")
    kinds = ("whole", "no loader", "parts", "loader", "before")
    parser.add_argument("--only", nargs="+", choices=kinds, default=list(kinds))
    parser.add_argument("--folder", type=Path, help="where the rooms are, or will be; a temporary one otherwise")
    parser.add_argument("--params", type=Path, default=Path(__file__).parents[1] / "params.yaml")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    if "WORLD_SIZE" in os.environ and not args.folder:
        parser.error("several processes need one folder; give --folder")
    params = load_params(args.params).model_copy(update={"scale": "paper"})
    place = nullcontext(args.folder) if args.folder else tempfile.TemporaryDirectory()
    with world("cuda") as here, place as chosen, tempfile.TemporaryDirectory() as cache:
        os.environ["TRITON_CACHE_DIR"] = cache
        folder = Path(chosen)
        results: dict[str, Any] = {}
        known = json.loads(args.out.read_text()) if args.out.exists() else {}
        facts = {
            "scenes": f"{SCENES} of {args.points} points a GPU and step",
            "device": torch.cuda.get_device_name(),
            "gpus": here.size,
            "cores": len(os.sched_getaffinity(0)),
            "loaders": args.loaders,
            "engine": args.engine,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        for row in args.rows:
            settings = with_recipe(params.train(row), shards=here.size, scenes_per_shard=SCENES, epochs=1)
            if here.leader and not (folder / "scenes" / "splits.json").exists():
                stored = round(args.captions / SCENES / settings.caption.ratio)
                write_rooms(folder, args.rooms, args.points, stored, args.loaders)
            wait_for_all(here)
            table = load_table(folder / "text.safetensors")
            bench = Bench(settings, folder, table, here, args.engine, args.loaders // here.size, args.warm)
            results[row] = measure(bench, args.steps, args.only, batches=4)
            if here.leader:
                print(json.dumps({row: results[row]}), flush=True)
                write_json(args.out, known | {f"{here.size} gpu": {"facts": facts, "results": results}})


if __name__ == "__main__":
    main()
