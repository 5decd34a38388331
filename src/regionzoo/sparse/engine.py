"""The seam between the network and whatever computes its convolutions."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from regionzoo.sparse.pyramid import Pyramid

EngineName = Literal["native", "minkowski"]


class NormConv(NamedTuple):
    """A normalisation and, after a ReLU, the weight [out, k, k, k, in] of the convolution that takes its result."""

    norm: nn.BatchNorm1d
    weight: Tensor


class SparseEngine(Protocol):
    """Sparse convolutions without bias: cross-correlation, weights [out, kx, ky, kz, in], spconv's geometry.

    ``feats`` are [V, in] in the row order of the level they live on. Gradients flow to features and weights. Engines
    agree with dense convolution, and therefore with each other, within floating-point tolerance.

    An engine has the three convolutions. What the network does around them, it may do in fewer passes; if it derives
    from this class, it need not, and they are composed of its convolutions.
    """

    def subm3(self, feats: Tensor, weight: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """Submanifold 3x3x3 at ``level``: out[p] = sum over k of W[:, k] in[p + k - 1] over existing sites."""
        ...

    def down2(self, feats: Tensor, weight: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """2x2x2 with stride 2 from ``level`` to ``level + 1``: out[q] = sum over k of W[:, k] in[2 q + k]."""
        ...

    def up2(self, feats: Tensor, weight: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """Inverse of ``down2``, from ``level + 1`` to ``level``: out[2 q + k] = W[:, k] in[q]; 0 without parent."""
        ...

    def prepare(self, pyramid: Pyramid) -> None:
        """Find now, on the current stream of a GPU, what the convolutions over ``pyramid`` will look up."""
        for level in range(pyramid.num_levels - 1):
            pyramid.stride(level)

    def norm_relu_down2(self, feats: Tensor, unit: NormConv, pyramid: Pyramid, level: int) -> Tensor:
        """``down2`` of relu(norm(feats)); training moves the norm's running statistics as calling it would."""
        return self.down2(_activated(feats, unit), unit.weight, pyramid, level)

    def norm_relu_up2(self, feats: Tensor, unit: NormConv, pyramid: Pyramid, level: int) -> Tensor:
        """``up2`` of relu(norm(feats))."""
        return self.up2(_activated(feats, unit), unit.weight, pyramid, level)

    def residual(
        self, feats: Tensor, first: NormConv, second: NormConv, skip: Tensor | None, pyramid: Pyramid, level: int
    ) -> Tensor:
        """Two units of normalisation, ReLU and ``subm3``, plus the features [V, in] that went in: [V, out].

        skip: weight [out, 1, 1, 1, in] that the features added at the end go through, or None.
        """
        hidden = self.subm3(_activated(feats, first), first.weight, pyramid, level)
        out = self.subm3(_activated(hidden, second), second.weight, pyramid, level)
        return out + (feats if skip is None else F.linear(feats, skip.flatten(1)))


def _activated(feats: Tensor, unit: NormConv) -> Tensor:
    return F.relu(unit.norm(feats), inplace=True)


def make_engine(name: EngineName) -> SparseEngine:
    """The engine ``native`` (PyTorch, with Triton on a GPU) or ``minkowski`` (MinkowskiEngine, optional).

    Raises :class:`~regionzoo.errors.UserError` if its package is not installed, ``ValueError`` for another name.
    """
    if name == "native":
        from regionzoo.sparse.native import NativeEngine

        return NativeEngine()
    if name == "minkowski":
        from regionzoo.sparse.minkowski import MinkowskiSparseEngine

        return MinkowskiSparseEngine()
    raise ValueError(f"no sparse engine {name!r}; expected one of {', '.join(get_args(EngineName))}")
