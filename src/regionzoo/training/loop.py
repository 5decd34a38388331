"""The training loop: shards in turn, one averaged update a step, resumable at epoch boundaries."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from regionzoo.artifacts import stable_int
from regionzoo.errors import UserError
from regionzoo.models.batch import Batch
from regionzoo.models.network import RegionNet
from regionzoo.models.norm import frozen_running_stats
from regionzoo.progress import Meter
from regionzoo.settings.train import TrainSettings
from regionzoo.text.table import TextTable
from regionzoo.training.checkpoint import Progress, load_state, save_state
from regionzoo.training.dataset import steps_per_epoch
from regionzoo.training.delayed import DelayedReader
from regionzoo.training.distributed import World, sum_over_world, wait_for_all
from regionzoo.training.feed import feed
from regionzoo.training.gather import with_captions_of_all
from regionzoo.training.optim import Optimizer, rates
from regionzoo.training.overlap import OverlappedSum
from regionzoo.training.samples import Samples
from regionzoo.training.scaler import LossScaler
from regionzoo.training.steps import Shard, TrainingShards

TERMS = ("loss", "seg", "binary", "caption", "distill", "offset", "mask", "iou")
HISTORY = ("epoch", "steps", "lr", "skipped_steps", *TERMS, "seconds")
"""Columns of history.csv."""


@dataclass(frozen=True)
class Trainer:
    """A network, its data and where its resume state lives."""

    network: RegionNet
    optimizer: Optimizer
    scenes: Samples
    table: TextTable | None
    settings: TrainSettings
    state_path: Path
    key: str
    here: World
    workers: int = 0

    def run(self, on_epoch: Callable[[Progress], None] | None = None) -> Progress:
        """Train to the last epoch, from the resume state if there is one, and return what was done.

        Raises :class:`UserError` if the loss stops being a number.
        """
        recipe, here = self.settings.recipe, self.here
        if recipe.shards % here.size:
            raise UserError(f"{here.size} processes cannot share {recipe.shards} shards equally; use a divisor")
        batch = recipe.shards * recipe.scenes_per_shard
        steps = steps_per_epoch(len(self.scenes), batch)
        total = -(-len(self.scenes) // batch) * recipe.epochs
        done = load_state(self.state_path, self.key, self.network, self.optimizer)
        progress = done or Progress(0, 0, 0.0, ())
        if done and here.leader:
            print(f"{self.settings.row}: going on after epoch {done.epochs_done} of {recipe.epochs}", file=sys.stderr)
        elif self.state_path.exists() and here.leader:
            print(
                f"{self.settings.row}: {self.state_path} is not used (damaged, or of other settings, inputs or code); "
                "training from the beginning",
                file=sys.stderr,
            )
        scaler = LossScaler(recipe.amp and here.device.type == "cuda", here.device)
        with Meter(f"train {self.settings.row}", steps * recipe.epochs, quiet=not here.leader) as meter:
            meter.begin_at(progress.steps_done)
            with closing(self._feed(range(progress.epochs_done, recipe.epochs))) as shards, self._summing() as summed:
                for epoch in range(progress.epochs_done, recipe.epochs):
                    progress = self._epoch(epoch, progress, shards, scaler, summed, total, meter)
                    if here.leader:
                        save_state(self.state_path, self.key, self.network, self.optimizer, progress)
                        if on_epoch:
                            on_epoch(progress)
                    wait_for_all(here)
        return progress

    def _epoch(
        self,
        epoch: int,
        before: Progress,
        shards: Iterator[Shard],
        scaler: LossScaler,
        summed: OverlappedSum | None,
        total: int,
        meter: Meter,
    ) -> Progress:
        recipe, start, first = self.settings.recipe, time.monotonic(), before.steps_done
        steps = steps_per_epoch(len(self.scenes), recipe.shards * recipe.scenes_per_shard)
        scaler.restart()
        self.network.train()
        log = _Log(self.settings.row, epoch, first, start, meter)
        reader = DelayedReader[Step]()
        for done in range(first, first + steps):
            now = rates(recipe, self.settings.lr, done, epoch, total)
            self.optimizer.set_rates(now)
            own = islice(shards, recipe.shards // self.here.size)
            terms = self._gradients(own, scaler, epoch, done, summed)
            self.optimizer.step(scaler.unscale(self.optimizer.gradient))
            log.add(reader.put(Step(done + 1, now.lr), terms))
        log.add(reader.rest())
        means = (log.sums / steps).tolist()
        seconds = before.seconds + time.monotonic() - start
        row: dict[str, Any] = {"epoch": epoch + 1, "steps": first + steps, "lr": now.lr}
        row |= {"skipped_steps": int(scaler.skipped)}
        row |= dict(zip(TERMS, means, strict=True)) | {"seconds": round(seconds, 2)}
        return Progress(epoch + 1, first + steps, seconds, (*before.history, row))

    def _feed(self, epochs: range) -> Generator[Shard]:
        recipe, here = self.settings.recipe, self.here
        # What a GPU augments and voxelises itself leaves the loaders more time.
        shards = TrainingShards(self.scenes, self.table, here, late=here.device.type == "cuda")
        gathered = recipe.shards // here.size if self.settings.caption.gather else 1
        return feed(shards, epochs, self.workers, gathered, self._with_negatives, self.network.prepared)

    @contextmanager
    def _summing(self) -> Iterator[OverlappedSum | None]:
        """The sum over processes that runs beside the backward pass, for GPUs; it needs more than one process.

        A CPU has no time to give away, and sums of more than two numbers would have other bits in other buckets.
        """
        if self.here.size == 1 or self.here.device.type == "cpu":
            yield None
            return
        summed = OverlappedSum(self.optimizer)
        try:
            yield summed
        finally:
            summed.close()

    def _backward(self, summed: OverlappedSum | None) -> AbstractContextManager[None]:
        """What a backward pass runs in; ``summed`` for the last of a step of several processes."""
        if summed:
            return summed.during_backward()
        return self.optimizer.apart() if self.here.device.type == "cuda" else nullcontext()

    def _with_negatives(self, shards: list[Shard]) -> list[Shard]:
        """The shards with the captions of all of the step's, where the row says so. Every process takes part."""
        if self.table is None or not self.settings.caption.gather:
            return shards
        rows = [shard.texts for shard in shards if shard.texts is not None]
        joined = with_captions_of_all([shard.batch for shard in shards], rows, self.table, self.here)
        return [replace(shard, batch=batch) for shard, batch in zip(shards, joined, strict=True)]

    def _gradients(
        self,
        shards: Iterable[Shard],
        scaler: LossScaler,
        epoch: int,
        step: int,
        summed: OverlappedSum | None = None,
    ) -> torch.Tensor:
        """Mean gradient over all shards of all processes into the optimiser; returns float32 [terms], mean losses."""
        recipe, device = self.settings.recipe, self.here.device
        self.optimizer.gradient.zero_()
        terms = torch.zeros(len(TERMS), device=device)
        heads = self.settings.instances
        refine = heads is not None and epoch >= heads.warmup_epochs
        last = self.here.mine(recipe.shards)[-1]
        for shard in shards:
            assert isinstance(shard.batch, Batch)
            # Running statistics are those of shard 0 alone: that is what DDP's buffer broadcast leaves.
            with (
                frozen_running_stats(self.network) if shard.number else nullcontext(),
                torch.autocast(device.type, torch.float16, enabled=scaler.enabled),
            ):
                draws = _generator(self.settings.seed, step, shard.number)
                losses = self.network(shard.batch, refine, draws).losses
            with self._backward(summed if shard.number == last else None):
                scaler.scaled(losses.total / recipe.shards).backward()
            instance = losses.instance
            parts = torch.stack(
                [losses.total, losses.seg, losses.binary, losses.caption, losses.distill]
                + [part.float() for part in (instance.offset, instance.mask, instance.iou)]
            )
            terms += parts.detach().float() / recipe.shards
        sum_over_world((terms,) if summed else (self.optimizer.gradient, terms), self.here)
        return terms


class Step(NamedTuple):
    """A step's number, counted from 1 over all epochs, and its learning rate."""

    number: int
    lr: float


class _Log:
    """What is said and kept of an epoch's steps: ``sums``, float64 [terms], of their losses."""

    def __init__(self, row: str, epoch: int, first: int, start: float, meter: Meter) -> None:
        self.row, self.epoch, self.first, self.start, self.meter = row, epoch, first, start, meter
        self.sums = torch.zeros(len(TERMS), dtype=torch.float64)

    def add(self, steps: list[tuple[Step, torch.Tensor]]) -> None:
        """Steps whose losses are known by now; :class:`UserError` for one that is not a number."""
        for step, values in steps:
            if not bool(torch.isfinite(values).all()):
                raise UserError(
                    f"{self.row}: the loss is not a number at epoch {self.epoch + 1}, step {step.number}; "
                    "lower rows.*.train.lr or look at the inputs"
                )
            self.sums += values
            pace = (time.monotonic() - self.start) / (step.number - self.first)
            note = f"epoch {self.epoch + 1}  {_shown(values)}  lr {step.lr:.2e}  {pace:.2f} s/step"
            self.meter.update(step.number, note)


def _generator(seed: int, step: int, shard: int) -> torch.Generator:
    """Draws of a shard's forward pass: a function of the seed, the step and the shard."""
    return torch.Generator().manual_seed(stable_int(f"{seed} {step} {shard}") >> 1)


def _shown(values: torch.Tensor) -> str:
    # A row does not have every loss.
    return "  ".join(f"{name} {value:.3f}" for name, value in zip(TERMS, values.tolist(), strict=True) if value)
