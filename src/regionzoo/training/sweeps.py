"""Keyframes of drives as network inputs; every item is a pure function of (seed, epoch, sample)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from regionzoo.errors import SceneError, UserError
from regionzoo.models.batch import Batch
from regionzoo.scenes.drives import Keyframe, drive_metadata, load_keyframe
from regionzoo.settings.train import StreetAugmentation, TrainSettings
from regionzoo.text.table import TextTable
from regionzoo.training.augment_streets import augment_sweep
from regionzoo.training.collate import collate_sweeps
from regionzoo.training.dataset import choose_captions
from regionzoo.training.items import SweepItem
from regionzoo.training.labels import annotation, binary_labels, partition_of, training_labels
from regionzoo.training.sweep_captions import SweepCaptions
from regionzoo.training.voxels import VoxelSize, mean_feats, occupied, random_points


def sweep_feats(points: np.ndarray, intensity: np.ndarray) -> np.ndarray:
    """float32 [n, 4]: x, y, z in metres and intensity as stored, 0..255."""
    return np.column_stack([points, intensity]).astype(np.float32)


def evaluation_sweep(keyframe: Keyframe, voxel_size: VoxelSize) -> SweepItem:
    """The keyframe as it is, the mean of its points in each voxel; labels are left to the evaluator."""
    voxels = occupied(keyframe.coords, voxel_size)
    return SweepItem(
        scene_id=keyframe.scene_id,
        voxels=voxels.coords,
        feats=mean_feats(voxels, sweep_feats(keyframe.coords, keyframe.intensity)),
        v2p=voxels.v2p,
        labels=None,
        binary=None,
        regions=(),
        texts=(),
    )


class TrainingSweeps:
    """The keyframes of the training drives of a row, drive by drive in sorted order, with the captions of each.

    captions_dir: None where the row has no caption loss. A keyframe is read from its drive's file when it is asked for.
    """

    def __init__(
        self,
        scenes_dir: Path,
        drive_ids: list[str],
        captions_dir: Path | None,
        table: TextTable,
        settings: TrainSettings,
    ) -> None:
        self.scenes_dir, self.drive_ids, self.settings = scenes_dir, sorted(drive_ids), settings
        self.partition = partition_of(settings.classes)
        counts = [int(drive_metadata(self._path(drive_id))["keyframes"]) for drive_id in self.drive_ids]
        self._first = np.cumsum([0, *counts])
        if not self._first[-1]:
            raise UserError(f"{scenes_dir}: no training keyframe; check the training list")
        self.captions = SweepCaptions(captions_dir, scenes_dir, table) if captions_dir is not None else None

    def __len__(self) -> int:
        """Samples an epoch."""
        return int(self._first[-1]) * self.settings.recipe.repeat

    def item(self, epoch: int, sample: int, late: bool = False) -> SweepItem:
        """Sample ``sample`` (0 <= sample < len(self)) of an epoch, augmented, with one point of each voxel.

        late: does not matter, sweeps come in voxels.
        """
        settings, seed = self.settings, [self.settings.seed, epoch, sample]
        position = sample % int(self._first[-1])
        drive = int(np.searchsorted(self._first, position, side="right")) - 1
        keyframe = load_keyframe(self._path(self.drive_ids[drive]), position - int(self._first[drive]))
        rng = np.random.default_rng(seed)
        points = augment_sweep(keyframe.coords, _streets(settings), rng)
        voxels = occupied(points, settings.recipe.voxel_size)
        chosen = random_points(voxels, rng)
        labels, binary = self._labels(keyframe, chosen)
        regions, texts = self._captions(keyframe, seed)
        return SweepItem(
            scene_id=keyframe.scene_id,
            voxels=voxels.coords,
            feats=sweep_feats(points[chosen], keyframe.intensity[chosen]),
            v2p=voxels.v2p,
            labels=labels,
            binary=binary,
            regions=regions,
            texts=texts,
        )

    def collate(
        self, items: Sequence[SweepItem], table: TextTable | None, place: tuple[int, int, int], late: bool = False
    ) -> Batch:
        """One batch of items; place: its epoch, step and shard, which decide how far its voxels are shifted.

        late: does not matter, sweeps come in voxels.
        """
        if not _streets(self.settings).voxel_shift:
            return collate_sweeps(items, table)
        rng = np.random.default_rng([self.settings.seed, *place, zlib.crc32(b"shift")])
        x, y, z = rng.integers(0, 2, 3).tolist()
        return collate_sweeps(items, table, (x, y, z))

    def _path(self, drive_id: str) -> Path:
        return self.scenes_dir / f"{drive_id}.safetensors"

    def _labels(self, keyframe: Keyframe, chosen: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Training and binary labels of the chosen points; none for rows without annotation."""
        classes = self.settings.classes
        if not classes.annotated:
            return None, None
        if classes.set not in keyframe.labels:
            raise SceneError(keyframe.scene_id, self._path(keyframe.scene_id), f"has no labels of {classes.set}")
        seen = annotation(keyframe.labels[classes.set][chosen], classes)
        return training_labels(seen, self.partition), binary_labels(seen, self.partition)

    def _captions(self, keyframe: Keyframe, seed: list[int]) -> tuple[tuple[np.ndarray, ...], tuple[int, ...]]:
        """Regions and texts of a random part of the keyframe's captions; all of their points are still there."""
        if self.captions is None:
            return (), ()
        regions = self.captions.of_keyframe(keyframe.scene_id, keyframe.number)
        # A stream of its own, so that a row with captions augments its sweeps as the same row without.
        rng = np.random.default_rng([*seed, zlib.crc32(b"captions")])
        return self.captions.chosen(keyframe, regions[choose_captions(regions, self.settings.caption.ratio, rng)])


def _streets(settings: TrainSettings) -> StreetAugmentation:
    if not isinstance(settings.augmentation, StreetAugmentation):
        raise UserError(f"{settings.row}: drives need the augmentation of streets")
    return settings.augmentation
