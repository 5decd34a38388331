"""A batch of rooms whose points are still to be sorted into voxels, which a GPU does sooner than a loader."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from regionzoo.models.batch import Batch, CaptionBatch, FeatureBatch
from regionzoo.models.instance_loss import InstanceTargets
from regionzoo.models.voxelize import voxelize
from regionzoo.sparse.pyramid import MIN_EXTENT
from regionzoo.training.late_rooms import LatePoints, PlacedPoints


@dataclass(frozen=True)
class PointBatch:
    """B rooms of N points, in numbers no longer than they need to be: all of it goes from process to process to GPU.

    points: the points, augmented or with what was drawn for them. labels: int16 [N], binary_labels: int8 [N].
    captions: their ``point_ids`` are int32. The rest is as in :class:`~regionzoo.models.batch.Batch`.
    """

    points: PlacedPoints | LatePoints
    point_offsets: Tensor
    labels: Tensor | None
    binary_labels: Tensor | None
    captions: CaptionBatch | None
    features: FeatureBatch | None
    instances: InstanceTargets | None

    def voxelised(self) -> Batch:
        """The batch as networks take it, on the device that the points are on: means of the points of each voxel."""
        placed = self.points.placed()
        coords, v2p, feats = voxelize(placed.coords.long(), placed.feats, placed.sizes)
        x, y, z = (max(MIN_EXTENT, size) for size in placed.sizes[1:])
        captions = self.captions
        return Batch(
            voxel_coords=coords,
            spatial_shape=(x, y, z),
            voxel_feats=feats,
            v2p=v2p,
            point_offsets=self.point_offsets,
            labels=None if self.labels is None else self.labels.long(),
            binary_labels=None if self.binary_labels is None else self.binary_labels.float(),
            captions=None if captions is None else replace(captions, point_ids=captions.point_ids.long()),
            features=self.features,
            points=placed.feats[:, -3:].contiguous(),
            instances=self.instances,
        )
