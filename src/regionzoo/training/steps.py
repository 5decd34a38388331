"""What a training works through: the shards of every step of every epoch, each made from its place alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from regionzoo.errors import UserError
from regionzoo.models.batch import Batch, with_tensors
from regionzoo.text.table import TextTable
from regionzoo.training.collate import caption_rows
from regionzoo.training.dataset import epoch_order, step_samples, steps_per_epoch
from regionzoo.training.distributed import World
from regionzoo.training.point_batch import PointBatch
from regionzoo.training.samples import Samples

Place = tuple[int, int, int]
"""Epoch, step of it and number of the shard."""


@dataclass(frozen=True)
class Shard:
    """One process' share of a step in the original: its number and its batch.

    texts: int64 [U], rows of the text table that the batch' unique captions are; None if they are not gathered.
    """

    number: int
    batch: Batch | PointBatch
    texts: np.ndarray | None = None

    def pin_memory(self) -> Shard:
        """The same in memory that a GPU copies from by itself; a loader calls it."""
        return with_tensors(self, torch.Tensor.pin_memory)


class EpochSteps(Dataset[list[Shard]]):
    """The steps of an epoch: entry ``i`` holds this process' shards of step ``i``.

    late: leave augmentation and voxels to whoever takes the shards.
    """

    def __init__(self, scenes: Samples, table: TextTable | None, epoch: int, here: World, late: bool = False) -> None:
        recipe = scenes.settings.recipe
        self.scenes, self.table, self.epoch, self.recipe, self.late = scenes, table, epoch, recipe, late
        self.gather = scenes.settings.caption.gather
        self.order = epoch_order(scenes.settings.seed, epoch, len(scenes))
        self.shards = list(here.mine(recipe.shards))
        self.steps = steps_per_epoch(len(scenes), recipe.shards * recipe.scenes_per_shard)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> list[Shard]:
        return [self.shard(step, number) for number in self.shards]

    def shard(self, step: int, number: int) -> Shard:
        """One of the shards of a step, whichever process it falls to."""
        samples = step_samples(self.order, step, self.recipe.shards, self.recipe.scenes_per_shard)[number]
        items = [self.scenes.item(self.epoch, int(k), self.late) for k in samples]
        batch = self.scenes.collate(items, self.table, (self.epoch, step, number), self.late)
        return Shard(number, batch, caption_rows(items)[0] if self.gather else None)


class TrainingShards(Dataset[Shard | UserError]):
    """All shards of a training by their place, so that loader processes live through all of its epochs.

    An error that users are meant to read is given instead of a shard: raised in a loader process it would come back
    with that process' traceback in its message.
    """

    def __init__(self, scenes: Samples, table: TextTable | None, here: World, late: bool) -> None:
        self.scenes, self.table, self.here, self.late = scenes, table, here, late
        self._steps = EpochSteps(scenes, table, 0, here, late)

    def __getitem__(self, place: Place) -> Shard | UserError:
        epoch, step, number = place
        if epoch != self._steps.epoch:
            self._steps = EpochSteps(self.scenes, self.table, epoch, self.here, self.late)
        try:
            return self._steps.shard(step, number)
        except UserError as error:
            return error

    def places(self, epochs: range) -> Iterator[Place]:
        """Places of this process' shards in these epochs, in their order."""
        for epoch in epochs:
            for step in range(len(self._steps)):
                for number in self._steps.shards:
                    yield epoch, step, number
