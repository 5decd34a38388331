"""Batch normalisation over voxels, with the original's constants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-4
MOMENTUM = 0.1


class VoxelNorm(nn.BatchNorm1d):
    """``BatchNorm1d`` over [V, C] that also takes levels with one voxel or none.

    A small scene can have a single voxel at the coarsest level. It has no variance, and PyTorch refuses to train on
    it; it is normalised with the running statistics instead, which are left alone.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS, momentum=MOMENTUM)

    def forward(self, feats: Tensor) -> Tensor:
        """[V, C] -> [V, C]."""
        if len(feats) > 1 or not self.training:
            return super().forward(feats)
        return F.batch_norm(feats, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


@contextmanager
def frozen_running_stats(module: nn.Module) -> Iterator[None]:
    """Within the block, training-mode normalisation uses batch statistics and updates no running ones.

    Training passes every shard but the first through this: what remains is shard 0's statistics, as in the original,
    where every process takes over the buffers of process 0.
    """
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm1d) and part.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
