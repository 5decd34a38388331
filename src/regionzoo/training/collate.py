"""Items -> one :class:`~regionzoo.models.batch.Batch`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from regionzoo.classes import IGNORE
from regionzoo.models.batch import Batch, CaptionBatch, FeatureBatch
from regionzoo.models.instance_loss import InstanceTargets
from regionzoo.sparse.pyramid import spatial_shape
from regionzoo.text.table import TextTable
from regionzoo.training.columns import highest, lowest
from regionzoo.training.items import Item, SweepItem
from regionzoo.training.late_rooms import LatePoints, PlacedPoints, joined
from regionzoo.training.point_batch import PointBatch
from regionzoo.training.room_points import LateRoom, PlacedRoom


def collate(items: Sequence[Item], table: TextTable | None = None) -> Batch:
    """Concatenate B items and voxelise them (mean of the features of a voxel's points).

    With a text table, the batch' captions are contrasted with each other: ``text_vectors`` are the unique captions of
    these items alone, as the original draws negatives within one process.
    """
    return collate_points(items, table).voxelised()


def collate_points(items: Sequence[Item], table: TextTable | None = None) -> PointBatch:
    """As :func:`collate`, but for the voxels. ``ValueError`` for coordinates that are no voxels of a room."""
    offsets = _bounds([len(item.origin) for item in items])
    return PointBatch(
        points=_points(items, offsets),
        point_offsets=torch.from_numpy(offsets),
        labels=_joined([item.labels for item in items]),
        binary_labels=_joined([item.binary for item in items]),
        captions=_captions(items, offsets, table) if table is not None else None,
        features=_features(items, offsets),
        instances=_instances(items),
    )


def _points(items: Sequence[Item], offsets: np.ndarray) -> PlacedPoints | LatePoints:
    late = [item.room for item in items if isinstance(item.room, LateRoom)]
    if late:
        assert len(late) == len(items), "items of two kinds"
        return joined(late)
    rooms = [item.room for item in items if isinstance(item.room, PlacedRoom)]
    coords = np.empty((offsets[-1], 4), np.int32)
    top = np.zeros(3, np.int64)
    for scene, (item, room, start, stop) in enumerate(zip(items, rooms, offsets[:-1], offsets[1:], strict=True)):
        coords[start:stop, 0] = scene
        if not len(room):
            continue
        top = np.maximum(top, highest(room.voxels))
        if lowest(room.voxels).min() < 0 or top.max() >= 2**31 - 1:
            raise ValueError(f"{item.scene_id}: voxels up to {top.tolist()}, or negative; are the points in metres?")
        coords[start:stop, 1:] = room.voxels
    x, y, z = (top + 1).tolist()
    feats = torch.from_numpy(np.concatenate([room.feats for room in rooms]))
    return PlacedPoints(torch.from_numpy(coords), (len(items), x, y, z), feats)


def collate_sweeps(
    items: Sequence[SweepItem], table: TextTable | None = None, shift: tuple[int, int, int] = (0, 0, 0)
) -> Batch:
    """Concatenate B sweeps, which are voxelised already; labels belong to voxels.

    table: as for :func:`collate`. shift: added to the voxel coordinates of all.
    """
    voxels = _bounds([len(item.voxels) for item in items])
    offsets = _bounds([len(item.v2p) for item in items])
    scene = np.repeat(np.arange(len(items)), np.diff(voxels))
    labels, binary = _joined([item.labels for item in items]), _joined([item.binary for item in items])
    cells = np.concatenate([item.voxels for item in items]) + np.array(shift)
    coords = torch.from_numpy(np.column_stack([scene, cells]).astype(np.int32))
    return Batch(
        voxel_coords=coords,
        spatial_shape=spatial_shape(coords),
        voxel_feats=torch.from_numpy(np.concatenate([item.feats for item in items])),
        v2p=torch.from_numpy(np.concatenate([item.v2p + start for item, start in zip(items, voxels, strict=False)])),
        point_offsets=torch.from_numpy(offsets),
        labels=None if labels is None else labels.long(),
        binary_labels=None if binary is None else binary.float(),
        captions=_captions(items, offsets, table) if table is not None else None,
        voxel_labels=True,
    )


def caption_rows(items: Sequence[Item] | Sequence[SweepItem]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the text table that are the items' unique captions (int64 [U], ascending), and of which each is one.

    The second is int64 [K], positions among the first, one a captioned region.
    """
    texts = np.array([text for item in items for text in item.texts], np.int64)
    return np.unique(texts, return_inverse=True)


def _bounds(counts: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _instances(items: Sequence[Item]) -> InstanceTargets | None:
    """Targets of all items with numbers of their own; None if the items have none."""
    given = [item.instances for item in items if item.instances is not None]
    if not given:
        return None
    first = np.cumsum([0, *(len(found.classes) for found in given)])
    labels = [
        np.where(found.labels >= 0, found.labels + start, IGNORE) for found, start in zip(given, first, strict=False)
    ]
    return InstanceTargets(
        labels=torch.from_numpy(np.concatenate(labels)),
        classes=torch.from_numpy(np.concatenate([found.classes for found in given])),
        offsets=torch.from_numpy(np.concatenate([found.offsets for found in given])),
    )


def _joined(parts: Sequence[np.ndarray | None]) -> torch.Tensor | None:
    """All parts in a row; None if the items have none (annotation-free rows, prediction)."""
    given = [part for part in parts if part is not None]
    return torch.from_numpy(np.concatenate(given)) if given else None


def _features(items: Sequence[Item], offsets: np.ndarray) -> FeatureBatch | None:
    pairs = [(item.features, start) for item, start in zip(items, offsets, strict=False) if item.features is not None]
    if not pairs:
        return None
    return FeatureBatch(
        point_ids=torch.from_numpy(np.concatenate([positions + start for (positions, _), start in pairs])),
        feats=torch.from_numpy(np.concatenate([feats for (_, feats), _ in pairs])),
    )


def _captions(items: Sequence[Item] | Sequence[SweepItem], offsets: np.ndarray, table: TextTable) -> CaptionBatch:
    # Numbers of a NumPy type would make the positions of rooms wider than they are.
    starts = offsets.tolist()
    regions = [region + start for item, start in zip(items, starts, strict=False) for region in item.regions]
    unique, targets = caption_rows(items)
    return CaptionBatch(
        offsets=torch.from_numpy(_bounds([len(region) for region in regions])),
        point_ids=torch.from_numpy(np.concatenate(regions) if regions else np.zeros(0, np.int64)),
        targets=torch.from_numpy(targets),
        text_vectors=torch.from_numpy(table.vectors[unique]),
    )
