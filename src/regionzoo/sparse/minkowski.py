"""MinkowskiEngine 0.5.4 as a second engine: an independent check of the native one, optional.

The package is used as published; this module adapts to it. Index maps are its own: every level, and every stride,
gets a coordinate manager with just the sites that take part, so sites without a parent drop out as in spconv. It works
on a GPU where the package was built for CUDA (docs/minkowski.md).
"""

from __future__ import annotations

import collections
import collections.abc
import importlib
import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from regionzoo.errors import UserError
from regionzoo.sparse.engine import SparseEngine
from regionzoo.sparse.pyramid import Pyramid


def _import() -> ModuleType:
    # Left `collections` in Python 3.10, and five of the package's modules import it from there.
    if not hasattr(collections, "Sequence"):
        collections.Sequence = collections.abc.Sequence  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*compiled with CPU_ONLY.*")
            return importlib.import_module("MinkowskiEngine")
    except ImportError as error:
        raise UserError(
            f"engine minkowski: MinkowskiEngine cannot be imported ({error}); "
            "run scripts/install-minkowski.sh or use engine native"
        ) from None


@dataclass(frozen=True)
class _Rows:
    """The package's row of each of our sites, and the reverse."""

    to_theirs: Tensor
    to_ours: Tensor


@dataclass(frozen=True)
class _Strided:
    """Maps of one stride: its manager, keys of both ends, and their rows, None where they are ours."""

    manager: Any
    fine: Any
    coarse: Any
    fine_rows: _Rows | None
    coarse_rows: _Rows | None


class MinkowskiSparseEngine(SparseEngine):
    """:class:`~regionzoo.sparse.engine.SparseEngine` over MinkowskiEngine; ignores autocast (float32 and float64)."""

    def __init__(self) -> None:
        self._package = _import()
        self._function = importlib.import_module("MinkowskiEngine.MinkowskiConvolution")

    def subm3(self, feats: Tensor, weight: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """See :meth:`SparseEngine.subm3`."""
        if not len(feats):  # the package's kernel maps are undefined for no sites
            return _empty(feats, weight)
        manager, key, rows = pyramid.cache.get(("minkowski", level)) or self._sites(pyramid, level)
        out = self._convolve(_theirs(feats, rows), weight, key, key, manager, stride=1, inverse=False)
        return _ours(out, rows)

    def down2(self, feats: Tensor, weight: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """See :meth:`SparseEngine.down2`."""
        stride = pyramid.stride(level)
        if not stride.n_coarse:
            return _empty(feats[:0], weight)
        strided = self._strided(pyramid, level)
        if stride.rows is not None:
            feats = feats.index_select(0, stride.rows)
        feats = _theirs(feats, strided.fine_rows)
        out = self._convolve(feats, weight, strided.fine, strided.coarse, strided.manager, stride=2, inverse=False)
        return _ours(out, strided.coarse_rows)

    def up2(self, feats: Tensor, weight: Tensor, pyramid: Pyramid, level: int) -> Tensor:
        """See :meth:`SparseEngine.up2`."""
        stride = pyramid.stride(level)
        if not stride.n_coarse:
            return feats.new_zeros((stride.n_fine, weight.shape[0]))
        strided = self._strided(pyramid, level)
        feats = _theirs(feats, strided.coarse_rows)
        out = self._convolve(feats, weight, strided.coarse, strided.fine, strided.manager, stride=2, inverse=True)
        out = _ours(out, strided.fine_rows)
        if stride.rows is None:
            return out
        return out.new_zeros((stride.n_fine, out.shape[1])).index_add(0, stride.rows, out)

    def _convolve(
        self, feats: Tensor, weight: Tensor, source: Any, target: Any, manager: Any, stride: int, inverse: bool
    ) -> Tensor:
        with torch.autocast(feats.device.type, enabled=False):
            feats = feats if feats.dtype == torch.float64 else feats.float()
            size = weight.shape[1]
            # Its kernel index runs x fastest, ours z fastest.
            kernel = weight.to(feats.dtype).permute(3, 2, 1, 4, 0).reshape(size**3, weight.shape[-1], weight.shape[0])
            generator = self._package.KernelGenerator(kernel_size=size, stride=stride, dimension=3)
            kinds = self._function
            function = kinds.MinkowskiConvolutionTransposeFunction if inverse else kinds.MinkowskiConvolutionFunction
            mode = kinds.ConvolutionMode.DEFAULT
            return function.apply(feats.contiguous(), kernel.contiguous(), generator, mode, source, target, manager)

    def _insert(self, coords: Tensor) -> tuple[Any, Any]:
        kinds = self._package.CoordinateMapType
        if coords.is_cuda and not self._package.is_cuda_available():
            raise UserError(
                "engine minkowski: MinkowskiEngine is built for the CPU alone; "
                "build it for CUDA (docs/minkowski.md) or use engine native"
            )
        # Left to itself, a build for CUDA takes maps on the GPU for sites on the CPU, too.
        manager = self._package.CoordinateManager(D=3, coordinate_map_type=kinds.CUDA if coords.is_cuda else kinds.CPU)
        key, _ = manager.insert_and_map(coords.contiguous(), [1, 1, 1])
        return manager, key

    def _sites(self, pyramid: Pyramid, level: int) -> tuple[Any, Any, _Rows | None]:
        coords = pyramid.level(level).coords
        manager, key = self._insert(coords)
        rows = _matched(coords, manager.get_coordinates(key))
        return pyramid.cache.setdefault(("minkowski", level), (manager, key, rows))

    def _strided(self, pyramid: Pyramid, level: int) -> _Strided:
        name = ("minkowski stride", level)
        if name not in pyramid.cache:
            coords, rows = pyramid.level(level).coords, pyramid.stride(level).rows
            coords = coords if rows is None else coords.index_select(0, rows)
            manager, fine = self._insert(coords)
            fine_rows = _matched(coords, manager.get_coordinates(fine))
            coarse = manager.stride(fine, [2, 2, 2])
            theirs = manager.get_coordinates(coarse).clone()
            theirs[:, 1:] //= 2
            coarse_rows = _matched(pyramid.level(level + 1).coords, theirs)
            pyramid.cache[name] = _Strided(manager, fine, coarse, fine_rows, coarse_rows)
        return pyramid.cache[name]


def _matched(ours: Tensor, theirs: Tensor) -> _Rows | None:
    """Rows of the same sites int32 [V, 4] in two orders, None if the orders are one."""
    if torch.equal(ours, theirs):
        return None
    order, other = _lexicographic(ours), _lexicographic(theirs)
    to_theirs, to_ours = torch.empty_like(order), torch.empty_like(order)
    if ours.shape != theirs.shape or not torch.equal(ours[order], theirs[other]):
        raise RuntimeError("MinkowskiEngine made other sites than expected")
    to_theirs[order], to_ours[other] = other, order
    return _Rows(to_theirs, to_ours)


def _theirs(feats: Tensor, rows: _Rows | None) -> Tensor:
    return feats if rows is None else feats.index_select(0, rows.to_ours)


def _ours(feats: Tensor, rows: _Rows | None) -> Tensor:
    return feats if rows is None else feats.index_select(0, rows.to_theirs)


def _lexicographic(coords: Tensor) -> Tensor:
    """Order of rows by (scene, x, y, z)."""
    order = torch.arange(len(coords), device=coords.device)
    for column in (3, 2, 1, 0):
        order = order[torch.sort(coords[order, column], stable=True).indices]
    return order


def _empty(feats: Tensor, weight: Tensor) -> Tensor:
    # A product with zero rows keeps both in the graph.
    return feats @ weight.flatten(1, 3)[:, 0].t()
