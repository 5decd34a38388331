"""What a training draws its samples from: rooms, or keyframes of drives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from regionzoo.errors import UserError
from regionzoo.models.batch import Batch
from regionzoo.settings.train import StreetAugmentation, TrainSettings
from regionzoo.text.table import TextTable
from regionzoo.training.dataset import TrainingScenes
from regionzoo.training.point_batch import PointBatch
from regionzoo.training.sweeps import TrainingSweeps


class Samples(Protocol):
    """Samples of a row; ``item`` and ``collate`` are pure functions, in whatever process and order they are called."""

    settings: TrainSettings

    def __len__(self) -> int:
        """Samples an epoch."""
        ...

    def item(self, epoch: int, sample: int, late: bool = False) -> Any:
        """A sample of an epoch; ``late``: its augmentation may be left to whoever takes the batch."""
        ...

    def collate(
        self, items: Sequence[Any], table: TextTable | None, place: tuple[int, int, int], late: bool = False
    ) -> Batch | PointBatch:
        """One batch of items, at (epoch, step, shard); ``late``: voxels, too, may be left to whoever takes it."""
        ...


def training_scenes(
    scenes_dir: Path,
    scene_ids: list[str],
    captions_dir: Path | None,
    features_dir: Path | None,
    table: TextTable,
    settings: TrainSettings,
) -> Samples:
    """The samples of a row: the kind of its augmentation says whether the stored scenes are rooms or drives.

    captions_dir, features_dir: None where the row has no such loss. :class:`UserError` for a loss that drives lack.
    """
    if not isinstance(settings.augmentation, StreetAugmentation):
        return TrainingScenes(scenes_dir, scene_ids, captions_dir, features_dir, table, settings)
    if features_dir is not None or settings.instances is not None:
        wrong = "distillation" if features_dir is not None else "an instance head"
        raise UserError(f"{settings.row}: {wrong} is for rooms; a row of drives trains without")
    return TrainingSweeps(scenes_dir, scene_ids, captions_dir, table, settings)
