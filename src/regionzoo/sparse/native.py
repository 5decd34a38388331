"""Sparse convolutions with PyTorch, for CPU and CUDA.

Three ways to do the submanifold convolution, same result:

- ``pairs``: for each kernel offset gather, multiply, add to the output rows. No wasted products.
- ``table``: for a block of output rows gather all 27 neighbours and multiply once. Nothing is scattered, so no atomics
  and the same result on every run, but on a surface three in five products are with zeros.
- ``fused``: as ``table``, but gathering, multiplying and adding are one Triton kernel, and so are the normalisations
  and sums around it (:mod:`regionzoo.sparse.fused`). For GPUs.

On CUDA ``fused`` is the default, or where Triton cannot be used ``table``: 27 small launches would cost more than the
wasted products. On CPU the narrow layers use the table, where moving features takes longer than multiplying them, and
the wide ones use pairs.

Every row of a scatter is written at most once per call, so CPU results are bit-identical from run to run.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor

from regionzoo.sparse.engine import NormConv, SparseEngine
from regionzoo.sparse.native_stride import StridedDown, StridedUp
from regionzoo.sparse.native_submanifold import PairsConv, TableConv
from regionzoo.sparse.pyramid import Pyramid

Path = Literal["pairs", "table", "fused"]

NARROW = 48
"""Input plus output channels up to which the table is faster on CPU (measured: 32 + 16 is, 32 + 32 is not)."""


class NativeEngine(SparseEngine):
    """:class:`~regionzoo.sparse.engine.SparseEngine` of PyTorch; ``path`` None picks by device and layer."""

    def __init__(self, path: Path | None = None) -> None:
        if path not in (None, "pairs", "table", "fused"):
            raise ValueError(f"path {path!r}; expected 'pairs', 'table', 'fused' or None")
        self.path = path

    def prepare(self, pyramid: Pyramid) -> None:
        """See :meth:`SparseEngine.prepare`; what backward passes look up is included."""
        fused = self._runs_fused(pyramid.coords) if len(pyramid.coords) else None
        if fused:
            with torch.cuda.device_of(pyramid.coords):
                fused.site_maps(pyramid).list_pairs()
            return
        super().prepare(pyramid)
        for level in range(pyramid.num_levels) if pyramid.coords.is_cuda and self.path != "pairs" else ():
            _ = pyramid.level(level).table

    def subm3(self, feats: Tensor, weight: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """See :meth:`SparseEngine.subm3`."""
        if fused := self._fused(feats, weight):
            with torch.cuda.device_of(feats):
                return fused.convolve(fused.typed(feats), weight, fused.site_maps(pyramid).submanifold(level))
        feats, weight = _matched(feats, weight)
        narrow = weight.shape[0] + weight.shape[-1] <= NARROW
        plain = "table" if self.path == "fused" else self.path
        if (plain or ("table" if feats.is_cuda or narrow else "pairs")) == "table":
            return TableConv.apply(feats, weight, pyramid.level(level).table)
        return PairsConv.apply(feats, weight, pyramid.level(level).pairs)

    def down2(self, feats: Tensor, weight: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """See :meth:`SparseEngine.down2`."""
        fused = self._fused(feats, weight)
        if fused and fused.site_maps(pyramid).counts[level + 1]:
            with torch.cuda.device_of(feats):
                return fused.convolve(fused.typed(feats), weight, fused.site_maps(pyramid).down(level))
        return StridedDown.apply(*_matched(feats, weight), pyramid.stride(level))

    def up2(self, feats: Tensor, weight: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """See :meth:`SparseEngine.up2`."""
        if fused := self._fused(feats, weight):
            with torch.cuda.device_of(feats):
                return fused.convolve(fused.typed(feats), weight, fused.site_maps(pyramid).up(level))
        return StridedUp.apply(*_matched(feats, weight), pyramid.stride(level))

    def norm_relu_down2(self, feats: Tensor, unit: NormConv, pyramid: Pyramid, level: int) -> Tensor:
        """See :meth:`SparseEngine.norm_relu_down2`."""
        fused = self._fused(feats, unit.weight)
        if fused and fused.suits_units(unit) and fused.site_maps(pyramid).counts[level + 1]:
            with torch.cuda.device_of(feats):
                return fused.norm_relu_convolve(fused.typed(feats), unit, fused.site_maps(pyramid).down(level))
        return super().norm_relu_down2(feats, unit, pyramid, level)

    def norm_relu_up2(self, feats: Tensor, unit: NormConv, pyramid: Pyramid, level: int) -> Tensor:
        """See :meth:`SparseEngine.norm_relu_up2`."""
        fused = self._fused(feats, unit.weight)
        if fused and fused.suits_units(unit):
            with torch.cuda.device_of(feats):
                return fused.norm_relu_convolve(fused.typed(feats), unit, fused.site_maps(pyramid).up(level))
        return super().norm_relu_up2(feats, unit, pyramid, level)

    def residual(
        self, feats: Tensor, first: NormConv, second: NormConv, skip: Tensor | None, pyramid: Pyramid, level: int
    ) -> Tensor:
        """See :meth:`SparseEngine.residual`."""
        fused = self._fused(feats, first.weight, second.weight)
        if fused and fused.suits_units(first, second):
            with torch.cuda.device_of(feats):
                conv = fused.site_maps(pyramid).submanifold(level)
                return fused.residual_units(fused.typed(feats), first, second, skip, conv)
        return super().residual(feats, first, second, skip, pyramid, level)

    def _runs_fused(self, tensor: Tensor) -> ModuleType | None:
        """The fused operations, if they run where this tensor is."""
        if self.path != "fused" and (self.path is not None or not tensor.is_cuda or not _has_triton()):
            return None
        from regionzoo.sparse.fused import operations

        return operations if operations.works_for(tensor) else None

    def _fused(self, feats: Tensor, *weights: Tensor) -> ModuleType | None:
        """The fused operations, if these features are theirs."""
        operations = self._runs_fused(feats)
        return operations if operations and operations.suits(feats, *weights) else None


@cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def _matched(feats: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the type that autocast would multiply them in; the casts are differentiable, so gradients come back."""
    device = feats.device.type
    if torch.is_autocast_enabled(device) and feats.dtype != torch.float64:
        dtype = torch.get_autocast_dtype(device)
        feats, weight = feats.to(dtype), weight.to(dtype)
    return feats.contiguous(), weight
