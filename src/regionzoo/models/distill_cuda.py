"""The distillation loss on a GPU: targets are normalised and summed where they are used, and never written down."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from regionzoo.models.triton_use import program


class FusedCosine(torch.autograd.Function):
    """Sum over targets of the cosine with the feature of their voxel, float32 [].

    feats: float of any size [V, D]. voxel: int64 [M]. targets: float of any size [M, D]. Sums have a fixed order.
    """

    @staticmethod
    def forward(ctx: Any, feats: Tensor, voxel: Tensor, targets: Tensor) -> Tensor:
        feats, targets = feats.contiguous(), targets.contiguous()
        ordered, order = voxel.sort(stable=True)
        starts = torch.searchsorted(ordered, torch.arange(len(feats) + 1, device=voxel.device))
        ctx.save_for_backward(feats, targets, order, starts)
        cosines = feats.new_empty(len(feats), dtype=torch.float32)
        _cosines[(len(feats),)](
            feats, targets, order, starts, cosines, feats, cosines, feats.shape[1], False, **program(feats.shape[1])
        )
        return cosines.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        feats, targets, order, starts = ctx.saved_tensors
        gradient = torch.empty_like(feats)
        _cosines[(len(feats),)](
            feats, targets, order, starts, gradient, gradient, grad.float(), feats.shape[1], True,
            **program(feats.shape[1]),
        )  # fmt: skip
        return gradient, None, None


@triton.jit
def _cosines(
    feats, targets, order, starts, cosines, gradient, factor, columns, back: tl.constexpr, width: tl.constexpr
):
    """cosines[v], or with ``back`` gradient[v], the features' gradient times ``factor`` ([])."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, width)
    inside = column < columns
    unit = tl.load(feats + row * columns + column, mask=inside, other=0.0).to(tl.float32)
    norm = 1.0 / tl.maximum(tl.sqrt(tl.sum(unit * unit, 0)), 1e-12)
    unit = unit * norm
    wanted = tl.zeros([width], tl.float32)
    for entry in range(tl.load(starts + row), tl.load(starts + row + 1)):
        place = tl.load(order + entry) * columns
        target = tl.load(targets + place + column, mask=inside, other=0.0).to(tl.float32)
        wanted += target / tl.maximum(tl.sqrt(tl.sum(target * target, 0)), 1e-12)
    cosine = tl.sum(unit * wanted, 0)
    if back:
        value = (wanted - cosine * unit) * norm * tl.load(factor)
        tl.store(gradient + row * columns + column, value.to(gradient.dtype.element_ty), mask=inside)
    else:
        tl.store(cosines + row, cosine)
