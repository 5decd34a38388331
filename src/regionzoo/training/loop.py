"""The training loop: shards in turn, one averaged update a step, resumable at epoch boundaries."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from regionzoo.artifacts import stable_int
from regionzoo.errors import UserError
from regionzoo.models.batch import Batch
from regionzoo.models.network import RegionNet
from regionzoo.models.norm import frozen_running_stats
from regionzoo.progress import Meter
from regionzoo.settings.train import TrainSettings
from regionzoo.text.table import TextTable
from regionzoo.training.checkpoint import Progress, load_state, save_state
from regionzoo.training.collate import caption_rows
from regionzoo.training.dataset import epoch_order, step_samples, steps_per_epoch
from regionzoo.training.distributed import World, sum_over_world, wait_for_all
from regionzoo.training.gather import with_captions_of_all
from regionzoo.training.optim import Optimizer, rates
from regionzoo.training.samples import Samples
from regionzoo.training.scaler import LossScaler

TERMS = ("loss", "seg", "binary", "caption", "distill", "offset", "mask", "iou")
HISTORY = ("epoch", "steps", "lr", "skipped_steps", *TERMS, "seconds")
"""Columns of history.csv."""


@dataclass(frozen=True)
class Shard:
    """One process' share of a step in the original: its number and its batch.

    texts: int64 [U], rows of the text table that the batch' unique captions are; None if they are not gathered.
    """

    number: int
    batch: Batch
    texts: np.ndarray | None = None


class EpochSteps(Dataset[list[Shard]]):
    """The steps of an epoch: entry ``i`` holds this process' shards of step ``i``."""

    def __init__(self, scenes: Samples, table: TextTable | None, epoch: int, here: World) -> None:
        recipe = scenes.settings.recipe
        self.scenes, self.table, self.epoch, self.recipe = scenes, table, epoch, recipe
        self.gather = scenes.settings.caption.gather
        self.order = epoch_order(scenes.settings.seed, epoch, len(scenes))
        self.shards = list(here.mine(recipe.shards))
        self.steps = steps_per_epoch(len(scenes), recipe.shards * recipe.scenes_per_shard)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> list[Shard]:
        samples = step_samples(self.order, step, self.recipe.shards, self.recipe.scenes_per_shard)
        return [self._shard(step, number, samples[number]) for number in self.shards]

    def _shard(self, step: int, number: int, samples: np.ndarray) -> Shard:
        items = [self.scenes.item(self.epoch, int(k)) for k in samples]
        batch = self.scenes.collate(items, self.table, (self.epoch, step, number))
        return Shard(number, batch, caption_rows(items)[0] if self.gather else None)


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
        scaler = LossScaler(recipe.amp and here.device.type == "cuda")
        with Meter(f"train {self.settings.row}", steps * recipe.epochs, quiet=not here.leader) as meter:
            meter.begin_at(progress.steps_done)
            for epoch in range(progress.epochs_done, recipe.epochs):
                progress = self._epoch(epoch, progress, scaler, total, meter)
                if here.leader:
                    save_state(self.state_path, self.key, self.network, self.optimizer, progress)
                    if on_epoch:
                        on_epoch(progress)
                wait_for_all(here)
        return progress

    def _epoch(self, epoch: int, before: Progress, scaler: LossScaler, total: int, meter: Meter) -> Progress:
        start, done = time.monotonic(), before.steps_done
        scaler.restart()
        self.network.train()
        sums = torch.zeros(len(TERMS), dtype=torch.float64)
        skipped = 0
        steps = EpochSteps(self.scenes, self.table, epoch, self.here)
        for own in self._loader(steps):
            shards = self._with_negatives(own)
            now = rates(self.settings.recipe, self.settings.lr, done, epoch, total)
            self.optimizer.set_rates(now)
            terms = self._gradients(shards, scaler, epoch, done)
            if scaler.unscale(self.optimizer.gradient):
                self.optimizer.step()
            else:
                skipped += 1
            values = terms.double().cpu()
            if not bool(torch.isfinite(values).all()):
                raise UserError(
                    f"{self.settings.row}: the loss is not a number at epoch {epoch + 1}, step {done + 1}; "
                    "lower rows.*.train.lr or look at the inputs"
                )
            sums += values
            done += 1
            spent = time.monotonic() - start
            pace = spent / (done - before.steps_done)
            meter.update(done, f"epoch {epoch + 1}  {_shown(values)}  lr {now.lr:.2e}  {pace:.2f} s/step")
        means = (sums / len(steps)).tolist()
        seconds = before.seconds + time.monotonic() - start
        row: dict[str, Any] = {"epoch": epoch + 1, "steps": done, "lr": now.lr, "skipped_steps": skipped}
        row |= dict(zip(TERMS, means, strict=True)) | {"seconds": round(seconds, 2)}
        return Progress(epoch + 1, done, seconds, (*before.history, row))

    def _loader(self, steps: EpochSteps) -> Iterator[list[Shard]]:
        # Items depend on (seed, epoch, sample) alone, so workers change the speed and nothing else.
        return iter(DataLoader(steps, batch_size=None, num_workers=self.workers))

    def _with_negatives(self, shards: list[Shard]) -> list[Shard]:
        """The shards with the captions of all of the step's, where the row says so. Every process takes part."""
        if self.table is None or not self.settings.caption.gather:
            return shards
        rows = [shard.texts for shard in shards if shard.texts is not None]
        joined = with_captions_of_all([shard.batch for shard in shards], rows, self.table, self.here)
        return [replace(shard, batch=batch) for shard, batch in zip(shards, joined, strict=True)]

    def _gradients(self, shards: list[Shard], scaler: LossScaler, epoch: int, step: int) -> torch.Tensor:
        """Mean gradient over all shards of all processes into the optimiser; returns float32 [terms], mean losses."""
        recipe, device = self.settings.recipe, self.here.device
        self.optimizer.gradient.zero_()
        terms = torch.zeros(len(TERMS), device=device)
        heads = self.settings.instances
        refine = heads is not None and epoch >= heads.warmup_epochs
        for shard in shards:
            batch = shard.batch.to(device, non_blocking=True)
            # Running statistics are those of shard 0 alone: that is what DDP's buffer broadcast leaves.
            with (
                frozen_running_stats(self.network) if shard.number else nullcontext(),
                torch.autocast(device.type, torch.float16, enabled=scaler.enabled),
            ):
                losses = self.network(batch, refine, _generator(self.settings.seed, step, shard.number)).losses
            scaler.scaled(losses.total / recipe.shards).backward()
            instance = losses.instance
            parts = torch.stack(
                [losses.total, losses.seg, losses.binary, losses.caption, losses.distill]
                + [part.float() for part in (instance.offset, instance.mask, instance.iou)]
            )
            terms += parts.detach().float() / recipe.shards
        sum_over_world((self.optimizer.gradient, terms), self.here)
        return terms


def _generator(seed: int, step: int, shard: int) -> torch.Generator:
    """Draws of a shard's forward pass: a function of the seed, the step and the shard."""
    return torch.Generator().manual_seed(stable_int(f"{seed} {step} {shard}") >> 1)


def _shown(values: torch.Tensor) -> str:
    # A row does not have every loss.
    return "  ".join(f"{name} {value:.3f}" for name, value in zip(TERMS, values.tolist(), strict=True) if value)
