"""Voxel sites of every U-Net level and the index maps between them, found once and shared by all convolutions.

Sites are integer coordinates; nothing here touches features. The semantics are spconv's (its size formula included):
a level has extent ``floor(D / 2)`` of the finer one, and sites at index ``D - 1`` of an odd extent have no parent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from regionzoo.sparse.pairs import CENTRE, Pairs

MIN_EXTENT = 128

MAX_CELLS = 2**47  # leaves 16 bits of a 64-bit key for the scene
# Displacements (dx, dy) whose three dz all lie behind the centre in key order, so 13 = 4 * 3 + 1 offsets are searched.
_COLUMNS = ((0, 1), (1, -1), (1, 0), (1, 1))


def spatial_shape(coords: Tensor) -> tuple[int, int, int]:
    """Extent along x, y, z of a batch of voxel coordinates [V, 4]: largest index + 1, at least 128.

    The lower bound keeps six strides of 2 valid; it is the original's ``min_spatial_scale``.
    """
    if not len(coords):
        return (MIN_EXTENT,) * 3
    x, y, z = (max(MIN_EXTENT, top + 1) for top in coords[:, 1:].amax(0).tolist())
    return x, y, z


@dataclass(frozen=True)
class StrideMap:
    """Which coarse site, and which of its eight corners, each fine site belongs to.

    slots: int64, ``parent * 8 + octant`` (octant = 4 dx + 2 dy + dz), all different. rows: int64, the fine sites these
    belong to, or None for all of them in order; sites left out have no parent. n_fine, n_coarse: number of sites.
    """

    slots: Tensor
    rows: Tensor | None
    n_fine: int
    n_coarse: int


class Level:
    """The V sites of one level: ``coords`` int32 [V, 4] (scene, x, y, z), rows unique, in any order."""

    def __init__(self, coords: Tensor, extent: tuple[int, int, int]) -> None:
        if min(extent) < 1 or extent[0] * extent[1] * extent[2] > MAX_CELLS:
            raise ValueError(f"extent {extent} is not within 1..{MAX_CELLS} cells")
        self.coords = coords.to(torch.int32)
        self.extent = extent
        self._pad = (extent[1] + 1, extent[2] + 1)
        keys = self._keys(coords.long())
        if bool((keys[1:] > keys[:-1]).all()):
            self._order, self.keys = None, keys
        else:
            self.keys, self._order = torch.sort(keys)
            if bool((self.keys[1:] == self.keys[:-1]).any()):
                raise ValueError("voxel coordinates are not unique")

    def __len__(self) -> int:
        return len(self.coords)

    def _keys(self, coords: Tensor) -> Tensor:
        # One spare cell on y and z keeps a neighbour outside the extent from being taken for a site of the next
        # row; x needs one too, lest the last plane of a scene meet the first of the next.
        b, x, y, z = coords.unbind(1)
        return ((b * (self.extent[0] + 1) + x) * self._pad[0] + y) * self._pad[1] + z

    def _ahead(self) -> list[tuple[Tensor, Tensor]]:
        """For each offset after the centre, in kernel order: position in key order of the neighbour, and whether it is.

        The three sites of a z column are adjacent in key order: one search finds the first, a comparison the others.
        """
        keys = torch.cat([self.keys, self.keys.new_full((3,), torch.iinfo(torch.int64).max)])
        position = torch.arange(1, len(self) + 1, device=keys.device)
        found = [(position, keys[position] == self.keys + 1)]
        for dx, dy in _COLUMNS:
            target = self.keys + ((dx * self._pad[0] + dy) * self._pad[1] - 1)
            position = torch.searchsorted(self.keys, target)
            for _ in range(3):
                hit = keys.index_select(0, position) == target
                found.append((position, hit))
                position, target = position + hit, target + 1
        return found

    @cached_property
    def pairs(self) -> Pairs:
        """All pairs of neighbours."""
        result = []
        for position, hit in self._ahead():
            rows = hit.nonzero().squeeze(1)
            neighbours = position.index_select(0, rows)
            if self._order is not None:
                rows, neighbours = self._order[rows], self._order[neighbours]
            result.append((rows, neighbours))
        return Pairs(result, len(self))

    @cached_property
    def table(self) -> Tensor:
        """int32 [V, 27]: row of the neighbour at each kernel offset (z fastest), V where there is none."""
        count = len(self)
        device = self.keys.device
        rows = torch.arange(count, device=device) if self._order is None else self._order
        own = rows.int()
        # An offset a row while it is filled: neighbours of neighbours are neighbours in memory, too. The extra column
        # takes the writes of missing neighbours, so that a GPU never waits to count the hits.
        offsets = torch.full((27, count + 1), count, dtype=torch.int32, device=device)
        offsets[CENTRE, :count] = torch.arange(count, dtype=torch.int32, device=device)
        padded = None if self._order is None else torch.cat([rows, rows.new_full((3,), count)])
        for offset, (position, hit) in enumerate(self._ahead(), start=CENTRE + 1):
            found = position if padded is None else padded.index_select(0, position)
            neighbours = torch.where(hit, found, count)
            if padded is None:
                offsets[offset, :count] = neighbours
            else:
                offsets[offset].scatter_(0, rows, neighbours.int())
            offsets[26 - offset].scatter_(0, neighbours, own)
        return offsets[:, :count].t().contiguous()

    def coarsen(self) -> tuple[Level, StrideMap]:
        """The level of half the extent, sites in key order, and the map to it."""
        half = tuple(size // 2 for size in self.extent)
        coords, rows = self.coords, None
        if any(size % 2 for size in self.extent):
            limit = torch.tensor([2 * size for size in half], dtype=torch.int32, device=coords.device)
            inside = (coords[:, 1:] < limit).all(1)
            if not bool(inside.all()):
                rows = inside.nonzero().squeeze(1)
                coords = coords.index_select(0, rows)
        scene, cell = coords[:, :1], coords[:, 1:]
        parent = torch.cat([scene, cell >> 1], 1).long()
        b, x, y, z = parent.unbind(1)
        keys = ((b * half[0] + x) * half[1] + y) * half[2] + z
        unique, inverse = torch.unique(keys, return_inverse=True)
        coarse = torch.empty((len(unique), 4), dtype=torch.int32, device=coords.device)
        for axis in (2, 1, 0):
            coarse[:, axis + 1] = unique % half[axis]
            unique = torch.div(unique, half[axis], rounding_mode="floor")
        coarse[:, 0] = unique
        bits = cell & 1
        octant = (bits[:, 0] * 4 + bits[:, 1] * 2 + bits[:, 2]).long()
        return Level(coarse, half), StrideMap(inverse * 8 + octant, rows, len(self), len(coarse))


class Pyramid:
    """All levels of a batch of voxels, built on first use.

    coords: int32 or int64 [V, 4], rows (scene, x, y, z), unique, in any order; features of level 0 follow this order.
    extent: the batch's ``spatial_shape``; sites outside it raise :class:`ValueError`, as do repeated ones: here, or on
    a GPU, which is not waited for, when a level is first asked for.
    """

    def __init__(self, coords: Tensor, extent: tuple[int, int, int], levels: int) -> None:
        if coords.ndim != 2 or coords.shape[1] != 4:
            raise ValueError(f"coordinates of shape {tuple(coords.shape)}; expected [V, 4] (scene, x, y, z)")
        self.coords = coords
        self.extent = extent
        self.num_levels = levels
        self._levels = [] if coords.is_cuda else [self._finest()]
        self._strides: list[StrideMap] = []
        self.cache: dict[Any, Any] = {}
        """Room for an engine to keep what it derives from these sites, for as long as they live."""

    def _finest(self) -> Level:
        if len(self.coords):
            low, high = int(self.coords.amin()), self.coords[:, 1:].amax(0).tolist()
            if low < 0 or any(top >= size for top, size in zip(high, self.extent, strict=True)):
                raise ValueError(f"coordinates from {low} to {high} do not fit the extent {self.extent}")
        return Level(self.coords, self.extent)

    def level(self, index: int) -> Level:
        """Sites of level ``index``; 0 is the finest."""
        if not 0 <= index < self.num_levels:
            raise IndexError(f"level {index} of a pyramid of {self.num_levels}")
        if not self._levels:
            self._levels.append(self._finest())
        while len(self._levels) <= index:
            coarse, stride = self._levels[-1].coarsen()
            self._levels.append(coarse)
            self._strides.append(stride)
        return self._levels[index]

    def stride(self, index: int) -> StrideMap:
        """Map from level ``index`` to ``index + 1``."""
        self.level(index + 1)
        return self._strides[index]
