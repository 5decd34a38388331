"""Which row of one level meets which row of another: the tables that the fused convolutions read.

All levels of a batch are found together, and the GPU is waited for once, to learn how many sites each has. Rows are
those of :class:`~regionzoo.sparse.pyramid.Level`: the given order on level 0, ascending keys on the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from regionzoo.sparse.fused import search
from regionzoo.sparse.fused.launch import Kernel, Variant, ceil_div
from regionzoo.sparse.fused.memory import Arena, Buffer
from regionzoo.sparse.pyramid import MAX_CELLS, Pyramid

_TILE: int = search.TILE.value
_LIST: int = search.LIST.value
_FIELDS: int = search.FIELDS.value
_BLOCK = 1024
_PLAIN = Variant((), 4, 3, torch.int32)
_BLOCKED = Variant((_BLOCK,), 4, 3, torch.int32)

_site_keys = Kernel(search.site_keys)
_count_firsts = Kernel(search.count_firsts)
_sum_firsts = Kernel(search.sum_firsts)
_keep_first = Kernel(search.keep_first)
_neighbours = Kernel(search.neighbours)
_children = Kernel(search.children)
_parents = Kernel(search.parents)
_sum_hits = Kernel(search.sum_hits)
_list_pairs = Kernel(search.list_pairs)


class Table(NamedTuple):
    """For each of R rows and K offsets, the row that it gathers; all int32.

    rows: [K, R], -1 for none. active: [tiles, 32], for each tile of 128 rows the number of offsets that any of them
    has, then these offsets. totals: [K, tiles], entries of a line up to the end of a tile. pairs: where this table's
    start among those of :class:`SiteMaps`. Tables of parents have neither totals nor pairs.
    """

    kernel: int
    count: int
    tiles: int
    rows: Buffer
    active: Buffer
    totals: Buffer
    pairs: int


class Pairs(NamedTuple):
    """The existing entries of a table, offset by offset: ``table[k, rows[k, j]] == sources[k, j]``; int32 [K, R] each.

    The first ``totals[k, -1]`` of line k count.
    """

    rows: Buffer
    sources: Buffer


class Convolution(NamedTuple):
    """Tables of one convolution: output rows gather by ``ahead``, input rows by ``back``; ``paired`` is either.

    mirrored: offset k of ``back`` meets offset K - 1 - k of the weight. swapped: the rows of ``paired`` are inputs.
    """

    maps: SiteMaps
    ahead: Table
    back: Table
    paired: Table
    mirrored: bool = False
    swapped: bool = False

    def pairs(self) -> Pairs:
        """The existing entries of ``paired``."""
        return self.maps.pairs(self.paired)


@dataclass
class _Line:
    """One table of a plan, its fields in the order of the plan's columns; offsets count elements."""

    first_tile: int
    count: int
    tiles: int
    rows: int
    active: int
    totals: int
    sites: int
    searched: int
    searched_count: int
    steps: int
    x_cells: int
    y_cells: int
    z_cells: int
    reordered: int
    kernel: int
    spare: int = 0


class SiteMaps:
    """Tables between the levels of a pyramid, and memory for what is computed with them.

    counts: sites of each level. kept: buffers that live as long as these tables. scratch: buffers of one operation.
    The tables' memory is that of the stream current when they are made; arenas get theirs when first used.
    Raises ``ValueError`` for coordinates outside the extent or repeated ones, as the levels themselves do.
    """

    def __init__(self, pyramid: Pyramid) -> None:
        extent = pyramid.extent
        if min(extent) < 1 or extent[0] * extent[1] * extent[2] > MAX_CELLS:
            raise ValueError(f"extent {extent} is not within 1..{MAX_CELLS} cells")
        levels = min(pyramid.num_levels, min(extent).bit_length())  # an extent of 0 has no sites
        self._extent = extent
        self.device = pyramid.coords.get_device()
        self.kept = Arena(pyramid.coords.device, 1 << 25)
        self.scratch = Arena(pyramid.coords.device, 1 << 23)
        store, order = self._find(pyramid.coords.contiguous(), levels)
        self._lay_out(store, order)
        self._pairs: tuple[Tensor, Tensor] | None = None

    def submanifold(self, level: int) -> Convolution:
        """3x3x3 within ``level``."""
        table = self._neighbours[level]
        return Convolution(self, table, table, table, mirrored=True)

    def down(self, level: int) -> Convolution:
        """2x2x2 from ``level`` to ``level + 1``."""
        return Convolution(self, self._children[level], self._parents[level], self._children[level])

    def up(self, level: int) -> Convolution:
        """2x2x2 from ``level + 1`` to ``level``."""
        return Convolution(self, self._parents[level], self._children[level], self._children[level], swapped=True)

    def list_pairs(self) -> None:
        """Find the existing entries of all tables, side by side; backward passes look them up."""
        if self._pairs is not None:
            return
        self._pairs = self._base.new_empty(self._paired_size), self._base.new_empty(self._paired_size)
        tiles = sum(entry.tiles for entry in (*self._neighbours, *self._children))
        _list_pairs((tiles, 27, 1), (self._paired, self._base, *self._pairs), (self._lines,), _PLAIN, self.device)

    def pairs(self, table: Table) -> Pairs:
        """The existing entries of a table."""
        self.list_pairs()
        assert self._pairs is not None
        rows, sources = (
            Buffer(part, part.data_ptr(), table.pairs * 4, torch.int32, table.kernel * table.count)
            for part in self._pairs
        )
        return Pairs(rows, sources)

    def _find(self, coords: Tensor, levels: int) -> tuple[Tensor, Tensor]:
        """int64 [1 + levels, pitch]: keys of level 0 as given, then ascending ones of each level; rows of level 0's."""
        count = len(coords)
        pitch = count + count % 2  # even, so that a line of keys starts at a multiple of 16 bytes
        keys = torch.empty((levels, pitch), dtype=torch.int64, device=coords.device)
        store = torch.empty((1 + levels, pitch), dtype=torch.int64, device=coords.device)
        blocks = ceil_div(pitch, _BLOCK)
        variant = Variant((levels, 256), 4, 3, coords.dtype)
        numbers = (count, pitch, *self._extent)
        _site_keys((ceil_div(pitch, 256), 1, 1), (coords, keys, store), numbers, variant, self.device)
        ascending, order = keys.sort(dim=1)
        totals = torch.empty((levels, blocks), dtype=torch.int32, device=coords.device)
        report = torch.empty((levels, 2), dtype=torch.int64, device=coords.device)
        grid = (blocks, levels, 1)
        _count_firsts(grid, (ascending, totals), (pitch,), _BLOCKED, self.device)
        _sum_firsts((levels, 1, 1), (ascending, totals, report), (pitch, blocks), _BLOCKED, self.device)
        _keep_first(grid, (ascending, totals, store[1:]), (pitch,), _BLOCKED, self.device)
        found = report.tolist()  # the one wait
        if found[0][1] < 0:
            raise ValueError(f"coordinates that do not fit the extent {self._extent}")
        if found[0][0] != count:
            raise ValueError("voxel coordinates are not unique")
        self.counts = [entry[0] for entry in found]
        return store, order

    def _lay_out(self, store: Tensor, order: Tensor) -> None:
        """Place and fill the tables: those with pairs first, level by level."""
        levels, pitch, counts = len(self.counts), store.shape[1], self.counts
        size = 0

        def place(numel: int) -> int:
            nonlocal size
            size += ceil_div(numel, 32) * 32  # lines of 128 bytes
            return size - ceil_div(numel, 32) * 32

        def line(kernel: int, of: int, searched: int, fine: int) -> _Line:
            sites = 0 if of == 0 else (1 + of) * pitch  # level 0 in row order
            x, y, z = (cells >> fine for cells in self._extent)
            steps = counts[searched].bit_length()
            reordered = int(searched == 0)
            where = ((1 + searched) * pitch, counts[searched], steps, x, y, z, reordered, kernel)
            return _Line(0, counts[of], ceil_div(counts[of], _TILE), place(kernel * counts[of]), 0, 0, sites, *where)

        strides = range(levels - 1)
        near = [line(27, level, level, level) for level in range(levels)]
        below = [line(8, level + 1, level, level) for level in strides]
        self._paired_size, self._lines = size, len(near) + len(below)
        above = [line(8, level, level + 1, level) for level in strides]
        for part in (near, below, above):
            for i, entry in enumerate(part):
                entry.first_tile = part[i - 1].first_tile + part[i - 1].tiles if i else 0
                entry.active, entry.totals = place(entry.tiles * _LIST), place(entry.kernel * entry.tiles)
        shift = near[-1].first_tile + near[-1].tiles
        paired = [*near, *(_Line(**(vars(entry) | {"first_tile": entry.first_tile + shift})) for entry in below)]
        plan = torch.tensor(
            [[*vars(entry).values()] for entry in (*near, *below, *above, *paired)], device=store.device
        )
        self._base = torch.empty(size, dtype=torch.int32, device=store.device)
        self._address = self._base.data_ptr()
        self._paired = plan[len(near) + 2 * len(below) :]

        starts = (0, len(near), len(near) + len(below))
        for kernel, start, part in ((_neighbours, starts[0], near), (_children, starts[1], below)):
            tiles = sum(entry.tiles for entry in part)
            if tiles:
                data = (plan[start:], store, order, self._base)
                kernel((tiles, 1, 1), data, (len(part),), _PLAIN, self.device)
        tiles = sum(entry.tiles for entry in above)
        if tiles:
            _parents((tiles, 1, 1), (plan[starts[2] :], store, self._base), (len(above),), _PLAIN, self.device)
        _sum_hits((self._lines, 27, 1), (self._paired, self._base), (), _BLOCKED, self.device)
        self._neighbours, self._children, self._parents = (
            [self._table(entry) for entry in part] for part in (near, below, above)
        )

    def _table(self, line: _Line) -> Table:
        def part(offset: int, numel: int) -> Buffer:
            return Buffer(self._base, self._address, offset * 4, torch.int32, numel)

        rows, active = part(line.rows, line.kernel * line.count), part(line.active, line.tiles * _LIST)
        totals = part(line.totals, line.kernel * line.tiles)
        return Table(line.kernel, line.count, line.tiles, rows, active, totals, line.rows)
