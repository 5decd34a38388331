"""Sparse convolutions in plain PyTorch, for CPU and CUDA.

Two ways to do the submanifold convolution, same result:

- ``pairs``: for each kernel offset gather, multiply, add to the output rows. No wasted products.
- ``table``: for a block of output rows gather all 27 neighbours and multiply once. Nothing is scattered, so no atomics
  and the same result on every run, but on a surface three in five products are with zeros.

On CUDA the table is the default: 27 small launches would cost more than the wasted products. On CPU the narrow layers
use it, where moving features takes longer than multiplying them, and the wide ones use pairs.

Every row of a scatter is written at most once per call, so CPU results are bit-identical from run to run.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from regionzoo.sparse.native_stride import StridedDown, StridedUp
from regionzoo.sparse.native_submanifold import PairsConv, TableConv
from regionzoo.sparse.pyramid import Pyramid

Path = Literal["pairs", "table"]

NARROW = 48
"""Input plus output channels up to which the table is faster on CPU (measured: 32 + 16 is, 32 + 32 is not)."""


class NativeEngine:
    """:class:`~regionzoo.sparse.engine.SparseEngine` in plain PyTorch; ``path`` None picks by layer."""

    def __init__(self, path: Path | None = None) -> None:
        if path not in (None, "pairs", "table"):
            raise ValueError(f"path {path!r}; expected 'pairs', 'table' or None")
        self.path = path

    def subm3(self, feats: Tensor, weight: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """See :meth:`SparseEngine.subm3`."""
        feats, weight = _matched(feats, weight)
        narrow = weight.shape[0] + weight.shape[-1] <= NARROW
        if (self.path or ("table" if feats.is_cuda or narrow else "pairs")) == "table":
            return TableConv.apply(feats, weight, pyramid.level(level).table)
        return PairsConv.apply(feats, weight, pyramid.level(level).pairs)

    def down2(self, feats: Tensor, weight: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """See :meth:`SparseEngine.down2`."""
        return StridedDown.apply(*_matched(feats, weight), pyramid.stride(level))

    def up2(self, feats: Tensor, weight: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """See :meth:`SparseEngine.up2`."""
        return StridedUp.apply(*_matched(feats, weight), pyramid.stride(level))


def _matched(feats: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the type that autocast would multiply them in; the casts are differentiable, so gradients come back."""
    device = feats.device.type
    if torch.is_autocast_enabled(device) and feats.dtype != torch.float64:
        dtype = torch.get_autocast_dtype(device)
        feats, weight = feats.to(dtype), weight.to(dtype)
    return feats.contiguous(), weight
