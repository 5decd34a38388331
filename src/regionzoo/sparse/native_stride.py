"""The 2x2x2 stride-2 convolution and its inverse as one matrix product over eight-corner rows.

A coarse site's row holds its eight children side by side (zeros for missing ones): [V_coarse, 8 * channels]. Down
multiplies such rows, up produces them, and each is the other's backward.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from regionzoo.sparse.pyramid import StrideMap


def _corners(fine: Tensor, stride: StrideMap) -> Tensor:
    """[V_fine, C] -> [V_coarse, 8 C]; children without parent are dropped."""
    rows = fine if stride.rows is None else fine.index_select(0, stride.rows)
    corners = fine.new_zeros((stride.n_coarse * 8, fine.shape[1]))
    return corners.index_copy_(0, stride.slots, rows).view(stride.n_coarse, 8 * fine.shape[1])


def _children(corners: Tensor, stride: StrideMap) -> Tensor:
    """[V_coarse, 8 C] -> [V_fine, C]; children without parent get zeros."""
    rows = corners.view(stride.n_coarse * 8, corners.shape[1] // 8).index_select(0, stride.slots)
    if stride.rows is None:
        return rows
    return rows.new_zeros((stride.n_fine, rows.shape[1])).index_copy_(0, stride.rows, rows)


class StridedDown(torch.autograd.Function):
    """Features [V_fine, in], weight [out, 2, 2, 2, in] -> [V_coarse, out]."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, stride: StrideMap) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.stride = stride
        return _corners(feats, stride) @ weight.flatten(1).t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        feats, weight = ctx.saved_tensors
        grad_feats = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_feats = _children(grad @ weight.flatten(1), ctx.stride)
        if ctx.needs_input_grad[1]:
            grad_weight = (grad.t() @ _corners(feats, ctx.stride)).view(weight.shape)
        return grad_feats, grad_weight, None


class StridedUp(torch.autograd.Function):
    """Features [V_coarse, in], weight [out, 2, 2, 2, in] -> [V_fine, out]."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, stride: StrideMap) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.stride = stride
        return _children(feats @ _corner_columns(weight).t(), stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        feats, weight = ctx.saved_tensors
        corners = _corners(grad, ctx.stride)
        grad_feats = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_feats = corners @ _corner_columns(weight)
        if ctx.needs_input_grad[1]:
            columns = corners.t() @ feats
            grad_weight = columns.view(8, weight.shape[0], weight.shape[-1]).transpose(0, 1).reshape(weight.shape)
        return grad_feats, grad_weight, None


def _corner_columns(weight: Tensor) -> Tensor:
    """[out, 2, 2, 2, in] -> [8 * out, in], corner by corner."""
    return weight.flatten(1, 3).transpose(0, 1).reshape(-1, weight.shape[-1])
