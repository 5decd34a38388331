"""Small sites, modules and their comparison, for tests of the fused kernels."""

from __future__ import annotations

import copy
from functools import cache

import torch
from sparse_oracle import random_sites
from torch import Tensor, nn

from regionzoo.models.blocks import Down2, Grid, ResidualBlock, StrideBlock, Up2
from regionzoo.models.norm import VoxelNorm
from regionzoo.sparse.native import NativeEngine
from regionzoo.sparse.pyramid import Pyramid

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
EXTENT = (5, 6, 5)
ROOMY = (9, 6, 7)


def sites(extent: tuple[int, int, int] = EXTENT, density: float = 0.07, shuffled: bool = True) -> Tensor:
    """Sites of 2 scenes: some 25, or if ``ROOMY`` more than a tile; extents are odd, so that some have no parent."""
    return random_sites(extent, 2, density, torch.Generator().manual_seed(3), shuffled).to(DEVICE)


def leaf(*shape: int, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=rng) * scale + shift).to(DEVICE).requires_grad_()


def distance(ours: Tensor, exact: Tensor) -> float:
    """Relative, in the Frobenius norm; infinite for NaN."""
    gap = (ours.detach().double() - exact.detach().double()).norm() / exact.detach().double().norm().clamp(min=1e-300)
    return float(torch.nan_to_num(gap, nan=float("inf")))


def exact_module(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).double()


def varied(module: nn.Module) -> nn.Module:
    """The same module with norms that do something: gains around 1, biases and running statistics that are not 0."""
    rng = torch.Generator().manual_seed(11)
    for norm in module.modules():
        if isinstance(norm, VoxelNorm):
            for tensor, low, high in (
                (norm.weight, 0.5, 1.5),
                (norm.bias, -0.5, 0.5),
                (norm.running_mean, -0.5, 0.5),
                (norm.running_var, 0.5, 1.5),
            ):
                tensor.data.copy_(torch.rand(tensor.shape, generator=rng) * (high - low) + low)
    return module.to(DEVICE)


@cache
def small() -> Pyramid:
    """Two levels, whose tables are made once for all tests: an interpreter takes long for them."""
    return Pyramid(sites(), EXTENT, 2)


def block(channels: int, columns: int) -> nn.Module:
    torch.manual_seed(5)
    return varied(ResidualBlock(channels, columns, 0))


def stride(kind: type[Down2 | Up2], channels: int, columns: int) -> nn.Module:
    torch.manual_seed(6)
    return varied(StrideBlock(kind, channels, columns, 0))


def run(module: nn.Module, feats: Tensor, pyramid: Pyramid, path: str) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Result, gradients of features and parameters, buffers afterwards."""
    module.zero_grad(set_to_none=True)
    feats = feats.detach().to(next(module.parameters()).dtype).requires_grad_()
    out = module(feats, Grid(pyramid, NativeEngine(path)))
    out.backward(leaf(*out.shape, seed=9).detach().to(out.dtype))
    return out, [feats.grad, *(p.grad for p in module.parameters())], list(module.buffers())
