"""What one training or evaluation step gets: voxels, the points behind them, labels and captioned regions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from regionzoo.models.instance_loss import InstanceTargets
from regionzoo.sparse.pyramid import Pyramid

Value = TypeVar("Value")


def with_tensors(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """A tensor changed, or a dataclass or tuple with all tensors in it, however deep; anything else as it is."""
    if isinstance(value, Tensor):
        return change(value)  # type: ignore[return-value]
    if type(value) is tuple:
        return tuple(with_tensors(part, change) for part in value)  # type: ignore[return-value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    return replace(value, **{field.name: with_tensors(getattr(value, field.name), change) for field in fields(value)})


@dataclass(frozen=True)
class CaptionBatch:
    """K captioned regions of a batch and its U unique captions.

    offsets: int64 [K + 1]; point_ids: int64 [offsets[-1]]; region k has the points
    ``point_ids[offsets[k]:offsets[k + 1]]``, positions among the batch's N concatenated points (points that the crop
    removed are already left out; a repeated point counts repeatedly). targets: int64 [K], row of ``text_vectors`` that
    is the region's caption. text_vectors: float32 [U, D], unit length.
    """

    offsets: Tensor
    point_ids: Tensor
    targets: Tensor
    text_vectors: Tensor

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class FeatureBatch:
    """Given features of M points, the targets of distillation.

    point_ids: int64 [M], positions among the batch's N points. feats: float16 or float32 [M, D], unit length up to
    rounding.
    """

    point_ids: Tensor
    feats: Tensor


@dataclass(frozen=True)
class Batch:
    """B scenes of N points in V voxels.

    voxel_coords: int32 [V, 4], rows (scene, x, y, z) in voxels, unique, non-negative.
    spatial_shape: extent of the batch along x, y, z (``regionzoo.sparse.pyramid.spatial_shape``).
    voxel_feats: float32 [V, C], mean of the points' features, or those of one of them. v2p: int64 [N], voxel of each
    point.
    point_offsets: int64 [B + 1]; scene b has the points ``point_offsets[b]:point_offsets[b + 1]``.
    labels: int64 [N], training column of each point (``Partition.train_labels``), -100 for none; or None.
    binary_labels: float32 [N], 1 base, 0 novel, -100 for none; or None.
    voxel_labels: labels and binary_labels are [V], of voxels, and their losses are means over voxels (sweeps).
    points: float32 [N, 3] in metres, augmented but not elastically distorted; networks with instances need them.
    instances: what their head is to find; None in prediction and for other rows.
    pyramid: sites of every level, if they were found before the network runs.
    """

    voxel_coords: Tensor
    spatial_shape: tuple[int, int, int]
    voxel_feats: Tensor
    v2p: Tensor
    point_offsets: Tensor
    labels: Tensor | None = None
    binary_labels: Tensor | None = None
    captions: CaptionBatch | None = None
    features: FeatureBatch | None = None
    points: Tensor | None = None
    instances: InstanceTargets | None = None
    voxel_labels: bool = False
    pyramid: Pyramid | None = None

    def __len__(self) -> int:
        return len(self.point_offsets) - 1

    @property
    def scene_ids(self) -> Tensor:
        """int64 [N]: scene of each point."""
        scenes = torch.arange(len(self), device=self.point_offsets.device)
        return scenes.repeat_interleave(self.point_offsets.diff())

    @property
    def num_points(self) -> int:
        """N."""
        return len(self.v2p)

    @property
    def label_voxels(self) -> Tensor:
        """int64 [N] or, with ``voxel_labels``, [V]: the voxel that each label belongs to."""
        return torch.arange(len(self.voxel_feats), device=self.v2p.device) if self.voxel_labels else self.v2p

    @property
    def point_binary(self) -> Tensor | None:
        """float32 [N]: binary label of each point, which may be that of its voxel; None without labels."""
        if self.binary_labels is None or not self.voxel_labels:
            return self.binary_labels
        return self.binary_labels.index_select(0, self.v2p)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on ``device``; a pyramid stays where it was made and is left behind."""
        moved = with_tensors(self, lambda tensor: tensor.to(device, non_blocking=non_blocking))
        return replace(moved, pyramid=None)
