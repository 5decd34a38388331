"""A batch of rooms whose points are still to be sorted into voxels, which a GPU does sooner than a loader process."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from regionzoo.models.batch import Batch, CaptionBatch, FeatureBatch
from regionzoo.models.instance_loss import InstanceTargets
from regionzoo.models.voxelize import voxelize
from regionzoo.sparse.pyramid import MIN_EXTENT


@dataclass(frozen=True)
class PointBatch:
    """B rooms of N points.

    coords: int32 [N, 4], rows (scene, x, y, z) in voxels, non-negative. sizes: a number above all of each column.
    feats: float32 [N, 6], the last three x, y, z in metres. The rest is as in :class:`~regionzoo.models.batch.Batch`.
    """

    coords: Tensor
    sizes: tuple[int, int, int, int]
    feats: Tensor
    point_offsets: Tensor
    labels: Tensor | None
    binary_labels: Tensor | None
    captions: CaptionBatch | None
    features: FeatureBatch | None
    instances: InstanceTargets | None

    def voxelised(self) -> Batch:
        """The batch as networks take it, on the device that the points are on: means of the points of each voxel."""
        coords, v2p, feats = voxelize(self.coords.long(), self.feats, self.sizes)
        x, y, z = (max(MIN_EXTENT, size) for size in self.sizes[1:])
        return Batch(
            voxel_coords=coords,
            spatial_shape=(x, y, z),
            voxel_feats=feats,
            v2p=v2p,
            point_offsets=self.point_offsets,
            labels=self.labels,
            binary_labels=self.binary_labels,
            captions=self.captions,
            features=self.features,
            points=self.feats[:, -3:].contiguous(),
            instances=self.instances,
        )
