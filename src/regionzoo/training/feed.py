"""Shards on their way to the device: made by loader processes, copied and prepared while the device works on others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice

import torch
from torch.utils.data import DataLoader

from regionzoo.errors import UserError
from regionzoo.models.batch import Batch, with_tensors
from regionzoo.training.point_batch import PointBatch
from regionzoo.training.steps import Shard, TrainingShards

Load = list[Shard]
"""Shards that are handed over together: one, or all of a step where their captions are gathered."""
AHEAD = 2
"""Shards that each loader process makes ahead."""


def feed(
    shards: TrainingShards,
    epochs: range,
    loaders: int,
    at_once: int,
    join: Callable[[Load], Load],
    prepare: Callable[[Batch], Batch],
) -> Iterator[Shard]:
    """This process' shards of ``epochs`` in their order, voxelised and on the device; close it to end its processes.

    loaders: processes that make them, 0 for none. at_once: shards that ``join`` is called with, and are then handed
    over one by one. prepare: what is done with a batch on a GPU before its turn. Items depend on their place alone, so
    that nothing of this changes a bit.
    """
    device = shards.here.device
    gpu = device.type == "cuda"
    loader: DataLoader[Shard | UserError] = DataLoader(
        shards,
        batch_size=None,
        sampler=list(shards.places(epochs)),
        num_workers=loaders,
        pin_memory=gpu,
        prefetch_factor=AHEAD if loaders else None,
        worker_init_fn=_step_back if gpu else None,
    )
    loads = (join(load) for load in _loads(loader, at_once))
    for load in prepared_ahead(loads, device, prepare) if gpu else loads:
        yield from load


def _step_back(worker: int) -> None:
    """Let the process that launches a GPU's kernels go first where there are fewer cores than work."""
    os.nice(5)


def _loads(shards: Iterable[Shard | UserError], size: int) -> Iterator[Load]:
    load: Load = []
    for shard in shards:
        if isinstance(shard, UserError):
            raise shard
        load.append(shard)
        if len(load) == size:
            yield load
            load = []


def prepared_ahead(loads: Iterator[Load], device: torch.device, prepare: Callable[[Batch], Batch]) -> Iterator[Load]:
    """Loads on a GPU, ready to be worked on by the current stream.

    While the GPU works on one, the next is voxelised and prepared in a stream of its own, and the one after that is
    copied. Ask for a load when all work on the one before is queued: then the preparation runs beside that work, and
    what it waits for (how many voxels there are) is not waited for by the GPU.
    """
    main = torch.cuda.current_stream(device)
    side = torch.cuda.Stream(device, priority=-1)

    def copied(load: Load) -> Load:
        with torch.cuda.stream(side):
            return [with_tensors(shard, lambda tensor: tensor.to(device, non_blocking=True)) for shard in load]

    def finished(load: Load) -> tuple[Load, torch.cuda.Event]:
        with torch.cuda.stream(side):
            return [replace(shard, batch=prepare(voxelised(shard.batch))) for shard in load], side.record_event()

    kept: Load = []
    before: torch.cuda.Event | None = None
    arriving = [copied(load) for load in islice(loads, 1)]
    while arriving:
        load, event = finished(arriving.pop())
        arriving += [copied(later) for later in islice(loads, 1)]
        main.wait_event(event)
        yield load
        # What the load before this one leaves is free for the side stream once the work on it is done, and not sooner:
        # hence it is kept until the side stream waits for that.
        done = main.record_event()
        if before is not None:
            side.wait_event(before)
        kept, before = load, done
    del kept


def voxelised(batch: Batch | PointBatch) -> Batch:
    """The batch in voxels."""
    return batch.voxelised() if isinstance(batch, PointBatch) else batch
