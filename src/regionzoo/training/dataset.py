"""Scenes and captions as network inputs; every item is a pure function of (seed, epoch, sample)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence, Sized
from pathlib import Path

import numpy as np

from regionzoo.captions.store import RegionCaptions, load_captions
from regionzoo.errors import UserError
from regionzoo.features.store import load_chunk, load_index
from regionzoo.models.batch import Batch
from regionzoo.scenes.centring import centred
from regionzoo.scenes.instances import instance_ids
from regionzoo.scenes.store import Scene, load_scene, without_labels
from regionzoo.settings.train import TrainSettings
from regionzoo.text.table import TextTable
from regionzoo.training.augment import Augmented, augment, normalised_colors
from regionzoo.training.collate import collate, collate_points
from regionzoo.training.instances import ItemInstances, item_instances
from regionzoo.training.items import Item
from regionzoo.training.labels import annotation, binary_labels, partition_of, training_labels
from regionzoo.training.point_batch import PointBatch
from regionzoo.training.room_points import PlacedRoom
from regionzoo.training.voxels import VoxelSize, cells

# Scenes that a process keeps at hand. Their arrays are parts of mapped files, which processes share; what is kept are
# texts and places. Others are opened and checked again in a few milliseconds.
KEPT_SCENES = 128
# Draws of another scene after a crop that kept no point, before the data are declared unusable.
MAX_REDRAWS = 20


def evaluation_item(scene: Scene, voxel_size: VoxelSize) -> Item:
    """The scene as it is: no augmentation, crop or shuffle; labels are left to the evaluator.

    Centred and divided with the original's rounding: otherwise a few points of a scene are in a neighbouring voxel.
    """
    points = centred(scene.coords)
    return Item(
        scene_id=scene.scene_id,
        room=PlacedRoom(cells(points, voxel_size), np.concatenate([normalised_colors(scene.colors), points], axis=1)),
        origin=np.arange(len(scene)),
        labels=None,
        binary=None,
        regions=(),
        texts=(),
        features=None,
    )


def _chunks(folder: Path, table: TextTable) -> dict[str, int]:
    """Number of chunks of each scene; :class:`UserError` if the features are not in the text vectors' space."""
    index = load_index(folder)
    if index.dimension != table.dimension:
        raise UserError(
            f"{folder}: features of {index.dimension} dimensions beside text vectors of {table.dimension}; "
            "the row's text encoder and feature source must belong together"
        )
    return index.scenes


class TrainingScenes:
    """The training scenes of a row, with the captions and features that its losses use.

    captions_dir, features_dir: None where the row has no such loss.
    """

    def __init__(
        self,
        scenes_dir: Path,
        scene_ids: list[str],
        captions_dir: Path | None,
        features_dir: Path | None,
        table: TextTable,
        settings: TrainSettings,
    ) -> None:
        if not scene_ids:
            raise UserError(f"{scenes_dir}: no training scene; check the training list")
        self.scenes_dir, self.captions_dir, self.scene_ids = scenes_dir, captions_dir, sorted(scene_ids)
        self.features_dir = features_dir
        self.chunks = _chunks(features_dir, table) if features_dir is not None else {}
        self.table, self.settings, self.partition = table, settings, partition_of(settings.classes)
        self._cache: dict[str, tuple[Scene, RegionCaptions | None, np.ndarray]] = {}

    def __len__(self) -> int:
        """Samples an epoch."""
        return len(self.scene_ids) * self.settings.recipe.repeat

    def _load(self, scene_id: str) -> tuple[Scene, RegionCaptions | None, np.ndarray]:
        if scene_id not in self._cache:
            path, classes = self.scenes_dir / f"{scene_id}.safetensors", self.settings.classes
            scene = load_scene(path, mapped=True)
            if classes.annotated and classes.set not in scene.labels:
                raise without_labels(path, classes.set)
            captions, texts = None, np.zeros(0, np.int64)
            if self.captions_dir is not None:
                path = self.captions_dir / f"{scene_id}.safetensors"
                captions = load_captions(path, scene.coords_sha256, mapped=True)
                texts = self.table.lookup(captions.texts)
            if len(self._cache) >= KEPT_SCENES:
                self._cache.pop(next(iter(self._cache)))
            self._cache[scene_id] = scene, captions, texts
        return self._cache[scene_id]

    def item(self, epoch: int, sample: int, late: bool = False) -> Item:
        """Sample ``sample`` (0 <= sample < len(self)) of an epoch, augmented.

        late: leave its augmentation to whoever takes the batch, with what is drawn here.
        """
        for attempt in range(MAX_REDRAWS):
            seed = [self.settings.seed, epoch, sample, attempt]
            index = sample if attempt == 0 else int(np.random.default_rng([*seed, 1]).integers(len(self)))
            item = self._draw(self.scene_ids[index % len(self.scene_ids)], seed, late)
            if len(item.origin) and (item.instances is None or len(item.instances.classes)):
                return item
        wanted = "point" if self.settings.instances is None else "instance of a base class"
        raise UserError(
            f"{self.scenes_dir}: {MAX_REDRAWS} scenes had no {wanted} in the crop window; check crop_window"
        )

    def collate(
        self, items: Sequence[Item], table: TextTable | None, place: tuple[int, int, int], late: bool = False
    ) -> Batch | PointBatch:
        """One batch of items; nothing is drawn for a batch of rooms, so its (epoch, step, shard) changes nothing.

        late: leave its points as they are; whoever takes the batch makes voxels of them.
        """
        return collate_points(items, table) if late else collate(items, table)

    def _draw(self, scene_id: str, seed: list[int], late: bool) -> Item:
        settings, rng = self.settings, np.random.default_rng(seed)
        scene, captions, texts = self._load(scene_id)
        chosen = choose_captions(captions, settings.caption.ratio, rng) if captions is not None else np.zeros(0, int)
        cloud = augment(
            scene.centred(),
            scene.colors,
            settings.augmentation,
            settings.recipe.voxel_size,
            settings.recipe.max_points,
            rng,
            late,
        )
        current = np.full(len(scene), -1, np.int32)
        current[cloud.origin] = np.arange(len(cloud.origin), dtype=np.int32)
        whole = len(cloud.origin) == len(scene)
        regions, kept = [], []
        for k in chosen:
            assert captions is not None
            positions = current.take(captions.region(k))
            if not whole:
                positions = positions[positions >= 0]
            if len(positions):
                regions.append(positions)
                kept.append(int(texts[k]))
        labels = binary = None
        if settings.classes.annotated:
            seen = annotation(scene.labels[settings.classes.set], settings.classes)
            labels = training_labels(seen, self.partition).take(cloud.origin)
            binary = binary_labels(seen, self.partition).take(cloud.origin)
        return Item(
            scene_id=scene_id,
            room=cloud.room,
            origin=cloud.origin,
            labels=labels,
            binary=binary,
            regions=tuple(regions),
            texts=tuple(kept),
            features=self._features(scene, current, seed),
            instances=self._instances(scene, cloud, labels, binary),
        )

    def _instances(
        self, scene: Scene, cloud: Augmented, labels: np.ndarray | None, binary: np.ndarray | None
    ) -> ItemInstances | None:
        if self.settings.instances is None:
            return None
        assert labels is not None and binary is not None
        ids = instance_ids(scene.labels["scannet20"], scene.group)[cloud.origin]
        return item_instances(ids, labels, binary, cloud.points[cloud.origin])

    def _features(self, scene: Scene, current: np.ndarray, seed: list[int]) -> tuple[np.ndarray, np.ndarray] | None:
        """One chunk of the scene's features, drawn at random, for the points that are still there."""
        count = self.chunks.get(scene.scene_id, 0)
        if self.features_dir is None or not count:
            return None
        # A stream of its own, so that a row with features augments its scenes as the same row without.
        chunk = int(np.random.default_rng([*seed, zlib.crc32(b"features")]).integers(count))
        points, feats = load_chunk(self.features_dir / f"{scene.scene_id}.safetensors", chunk, scene.coords_sha256)
        positions = current[points].astype(np.int64)
        return positions[positions >= 0], feats[positions >= 0]


def choose_captions(captions: Sized, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """int64 positions of max(1, int(ratio * K)) captions, without replacement; none if the scene has none."""
    if not len(captions):
        return np.zeros(0, np.int64)
    return rng.permutation(len(captions))[: max(1, int(ratio * len(captions)))]


def epoch_order(seed: int, epoch: int, samples: int) -> np.ndarray:
    """int64 permutation of the epoch's samples."""
    return np.random.default_rng([seed, epoch, zlib.crc32(b"order")]).permutation(samples)


def steps_per_epoch(samples: int, batch: int) -> int:
    """Batches an epoch, the last one left out as in the original (at least one is kept)."""
    return max(1, -(-samples // batch) - 1)


def step_samples(order: np.ndarray, step: int, shards: int, per_shard: int) -> list[np.ndarray]:
    """The samples of each shard at a step; a short order is repeated from its start, as a distributed sampler pads."""
    batch = shards * per_shard
    positions = (np.arange(batch) + step * batch) % len(order)
    # Shard s of a distributed sampler takes every shards-th sample.
    return [order[positions[shard::shards]] for shard in range(shards)]
