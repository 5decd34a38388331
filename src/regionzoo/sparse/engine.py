"""The seam between the network and whatever computes its convolutions."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

from torch import Tensor

from regionzoo.sparse.pyramid import Pyramid

EngineName = Literal["native", "minkowski"]


class SparseEngine(Protocol):
    """Sparse convolutions without bias: cross-correlation, weights [out, kx, ky, kz, in], spconv's geometry.

    ``feats`` are [V, in] in the row order of the level they live on. Gradients flow to features and weights. Engines
    agree with dense convolution, and therefore with each other, within floating-point tolerance.
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


def make_engine(name: EngineName) -> SparseEngine:
    """The engine ``native`` (PyTorch alone, CPU and CUDA) or ``minkowski`` (MinkowskiEngine on CPU, optional).

    Raises :class:`~regionzoo.errors.UserError` if its package is not installed, ``ValueError`` for another name.
    """
    if name == "native":
        from regionzoo.sparse.native import NativeEngine

        return NativeEngine()
    if name == "minkowski":
        from regionzoo.sparse.minkowski import MinkowskiSparseEngine

        return MinkowskiSparseEngine()
    raise ValueError(f"no sparse engine {name!r}; expected one of {', '.join(get_args(EngineName))}")
