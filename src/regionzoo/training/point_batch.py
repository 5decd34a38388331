"""A batch of rooms whose points are still to be moved and sorted into voxels, which a GPU does sooner than a loader."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from regionzoo.models.batch import Batch, CaptionBatch, FeatureBatch
from regionzoo.models.instance_loss import InstanceTargets
from regionzoo.models.voxelize import voxelize
from regionzoo.sparse.pyramid import MIN_EXTENT
from regionzoo.training.late_elastic import DistortionBatch


@dataclass(frozen=True)
class PointBatch:
    """B rooms of N points.

    coords: int32 [N, 4], rows (scene, x, y, z) in voxels, non-negative. sizes: of each column, the least number above
    all. distortion: what the scenes whose x, y, z are still 0 need to get their voxels. feats: float32 [N, 6], the last
    three x, y, z in metres. The rest is as in :class:`~regionzoo.models.batch.Batch`.
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
    distortion: DistortionBatch | None = None

    def voxelised(self) -> Batch:
        """The batch as networks take it, on the device that the points are on: means of the points of each voxel."""
        cells, sizes = self.coords.long(), self.sizes
        if self.distortion is not None:
            cells = self.distortion.voxels(self.feats[:, -3:], cells)
            x, y, z = (cells[:, 1:].amax(0) + 1).tolist()
            sizes = (sizes[0], x, y, z)
        coords, v2p, feats = voxelize(cells, self.feats, sizes)
        x, y, z = (max(MIN_EXTENT, size) for size in sizes[1:])
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
