"""Kernels that find sites: keys of all levels, neighbours, children, parents, and the pairs of every offset.

No ``from __future__ import annotations``: Triton reads the annotations. A key is
``((scene * (X + 1) + x) * (Y + 1) + y) * (Z + 1) + z``: ascending in (scene, x, y, z), with a spare cell on every axis
so that no site's neighbour is mistaken for one of the next row, plane or scene.

The tables of all levels are filled by one launch. A row of ``plan`` (int64) describes one of them; ``_Line`` in
:mod:`regionzoo.sparse.fused.sites` names its columns.
"""

import triton
import triton.language as tl

TILE: tl.constexpr = tl.constexpr(128)
"""Sites whose offsets are listed together."""

LIST: tl.constexpr = tl.constexpr(32)
"""Row length of the lists: their number, then up to 27 offsets."""

FIELDS: tl.constexpr = tl.constexpr(16)
"""Row length of a plan."""

NONE: tl.constexpr = tl.constexpr(0x7FFFFFFFFFFFFFFF)
"""Key of a site that has no place on a level."""


@triton.jit(do_not_specialize=["count", "pitch", "x_cells", "y_cells", "z_cells"])
def site_keys(
    coords, keys, given, count: tl.int32, pitch: tl.int32, x_cells: tl.int32, y_cells: tl.int32, z_cells: tl.int32,
    levels: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """[levels, pitch] key of each site's ancestor on every level, NONE where it has none; -1 for a site out of bounds.

    ``given`` gets the first row once more.
    """
    site = tl.program_id(0) * block + tl.arange(0, block)
    inside = site < count
    row = coords + site.to(tl.int64) * 4
    scene = tl.load(row, mask=inside, other=0).to(tl.int64)
    x = tl.load(row + 1, mask=inside, other=0).to(tl.int64)
    y = tl.load(row + 2, mask=inside, other=0).to(tl.int64)
    z = tl.load(row + 3, mask=inside, other=0).to(tl.int64)
    wrong = (scene < 0) | (x < 0) | (y < 0) | (z < 0) | (x >= x_cells) | (y >= y_cells) | (z >= z_cells)
    for level in tl.static_range(levels):
        # An extent is halved and rounded down from level to level; what lies beyond it has no parent.
        x_end = x_cells >> level
        y_end = y_cells >> level
        z_end = z_cells >> level
        key = ((scene * (x_end + 1) + (x >> level)) * (y_end + 1) + (y >> level)) * (z_end + 1) + (z >> level)
        lost = ((x >> level) >= x_end) | ((y >> level) >= y_end) | ((z >> level) >= z_end)
        key = tl.where(wrong, -1, tl.where(lost, NONE, key))
        # A level may have one site more than there are, to make its length even.
        tl.store(keys + level * pitch.to(tl.int64) + site, tl.where(inside, key, NONE), mask=site < pitch)
        if level == 0:
            tl.store(given + site, key, mask=inside)


@triton.jit
def _is_first(keys, line, site, pitch):
    """1 where an ascending key is the first of its value."""
    key = tl.load(keys + line + site, mask=site < pitch, other=NONE)
    before = tl.load(keys + line + site - 1, mask=(site < pitch) & (site > 0), other=-2)
    return key, ((key != before) & (key != NONE)).to(tl.int32)


@triton.jit(do_not_specialize=["pitch"])
def count_firsts(keys, totals, pitch: tl.int32, block: tl.constexpr):
    """totals[level, block]: different keys that start in a block; one row of programs a level."""
    site = tl.program_id(0) * block + tl.arange(0, block)
    _, first = _is_first(keys, tl.program_id(1) * pitch.to(tl.int64), site, pitch)
    tl.store(totals + tl.program_id(1) * tl.num_programs(0) + tl.program_id(0), tl.sum(first, 0))


@triton.jit(do_not_specialize=["pitch", "blocks"])
def sum_firsts(keys, totals, report, pitch: tl.int32, blocks: tl.int32, block: tl.constexpr):
    """Running sums of a level's ``totals``, and to ``report`` [levels, 2] the last of them and the lowest key."""
    level = tl.program_id(0)
    sum_all = _scan(totals + level * blocks, blocks, block)
    tl.store(report + level * 2, sum_all.to(tl.int64))
    tl.store(report + level * 2 + 1, tl.load(keys + level * pitch.to(tl.int64)))


@triton.jit
def _scan(values, count, block: tl.constexpr):
    """Running sums in place; returns the last."""
    before = tl.sum(tl.zeros((block,), tl.int32), 0)
    for start in range(0, count, block):
        place = start + tl.arange(0, block)
        value = tl.load(values + place, mask=place < count, other=0)
        tl.store(values + place, before + tl.cumsum(value, 0), mask=place < count)
        before += tl.sum(value, 0)
    return before


@triton.jit(do_not_specialize=["pitch"])
def keep_first(keys, totals, unique, pitch: tl.int32, block: tl.constexpr):
    """The different keys of each level side by side, in rows of ``pitch``."""
    site = tl.program_id(0) * block + tl.arange(0, block)
    line = tl.program_id(1) * pitch.to(tl.int64)
    key, first = _is_first(keys, line, site, pitch)
    end = tl.load(totals + tl.program_id(1) * tl.num_programs(0) + tl.program_id(0))
    place = end - tl.sum(first, 0) + tl.cumsum(first, 0) - 1
    tl.store(unique + line + place, key, mask=first != 0)


@triton.jit
def _lower_bound(keys, count, target, steps):
    """Position of the first key that is not below ``target``; ``2 ** steps`` must exceed ``count``."""
    low = (target * 0).to(tl.int32)
    high = low + count
    for _ in range(steps):
        middle = (low + high) // 2
        right = tl.load(keys + middle, mask=middle < count, other=NONE) < target
        low = tl.where(right, middle + 1, low)
        high = tl.where(right, high, middle)
    return low


@triton.jit
def _planned(plan, lines, tile):
    """The row of ``plan`` that a tile belongs to, and the tile's number within it."""
    line = 0
    for other in range(1, lines):
        line += (tile >= tl.load(plan + other * FIELDS)).to(tl.int32)
    row = plan + line * FIELDS
    return row, tile - tl.load(row).to(tl.int32)


@triton.jit
def _enter(hit, source, k, base, row, tile, number):
    """Store one offset of a tile; returns the number of offsets listed so far."""
    count = tl.load(row + 1)
    site = tile * TILE + tl.arange(0, TILE)
    tl.store(base + tl.load(row + 3) + k * count + site, tl.where(hit, source, -1), mask=site < count)
    found = tl.sum(hit.to(tl.int32), 0)
    tl.store(base + tl.load(row + 5) + k * tl.load(row + 2) + tile, found)
    tl.store(base + tl.load(row + 4) + tile * LIST + 1 + number, k, mask=found > 0)
    return number + (found > 0).to(tl.int32)


@triton.jit
def _cell(key, x_cells, y_cells, z_cells):
    rest = key // (z_cells + 1)
    scene = rest // (y_cells + 1)
    return scene // (x_cells + 1), scene % (x_cells + 1), rest % (y_cells + 1), key % (z_cells + 1)


@triton.jit(do_not_specialize=["lines"])
def neighbours(plan, store, order, base, lines: tl.int32):
    """[27, V]: row of the neighbour at each offset of a site, -1 for none. ``order``: row of each key of level 0."""
    row, tile = _planned(plan, lines, tl.program_id(0))
    count = tl.load(row + 1).to(tl.int32)
    site = tile * TILE + tl.arange(0, TILE)
    inside = site < count
    key = tl.load(store + tl.load(row + 6) + site, mask=inside, other=0)
    keys = store + tl.load(row + 7)
    plane = (tl.load(row + 11) + 1) * (tl.load(row + 12) + 1)
    steps = tl.load(row + 9).to(tl.int32)
    reordered = tl.load(row + 13) != 0
    number = 0
    for column in range(9):
        # The three sites of a z column are adjacent: one search finds the first, a comparison the others.
        target = key + (column // 3 - 1) * plane + (column % 3 - 1) * (tl.load(row + 12) + 1) - 1
        place = _lower_bound(keys, count, target, steps)
        for dz in tl.static_range(3):
            hit = inside & (tl.load(keys + place, mask=place < count, other=-1) == target + dz)
            moved = tl.load(order + place, mask=hit & reordered, other=0).to(tl.int32)
            number = _enter(hit, tl.where(reordered, moved, place), column * 3 + dz, base, row, tile, number)
            place += hit.to(tl.int32)
    tl.store(base + tl.load(row + 4) + tile * LIST, number)


@triton.jit(do_not_specialize=["lines"])
def children(plan, store, order, base, lines: tl.int32):
    """[8, coarse sites]: row of each child, -1 for none."""
    row, tile = _planned(plan, lines, tl.program_id(0))
    site = tile * TILE + tl.arange(0, TILE)
    inside = site < tl.load(row + 1)
    key = tl.load(store + tl.load(row + 6) + site, mask=inside, other=0)
    x_cells = tl.load(row + 10)
    y_cells = tl.load(row + 11)
    z_cells = tl.load(row + 12)
    scene, x, y, z = _cell(key, x_cells // 2, y_cells // 2, z_cells // 2)
    fine = store + tl.load(row + 7)
    fine_count = tl.load(row + 8).to(tl.int32)
    steps = tl.load(row + 9).to(tl.int32)
    reordered = tl.load(row + 13) != 0
    number = 0
    for column in range(4):
        above = (scene * (x_cells + 1) + 2 * x + column // 2) * (y_cells + 1) + 2 * y + column % 2
        target = above * (z_cells + 1) + 2 * z
        place = _lower_bound(fine, fine_count, target, steps)
        for dz in tl.static_range(2):
            hit = inside & (tl.load(fine + place, mask=place < fine_count, other=-1) == target + dz)
            moved = tl.load(order + place, mask=hit & reordered, other=0).to(tl.int32)
            number = _enter(hit, tl.where(reordered, moved, place), column * 2 + dz, base, row, tile, number)
            place += hit.to(tl.int32)
    tl.store(base + tl.load(row + 4) + tile * LIST, number)


@triton.jit(do_not_specialize=["lines"])
def parents(plan, store, base, lines: tl.int32):
    """[8, fine sites]: row of the parent in the line of the corner that the site fills, -1 elsewhere."""
    row, tile = _planned(plan, lines, tl.program_id(0))
    site = tile * TILE + tl.arange(0, TILE)
    inside = site < tl.load(row + 1)
    x_cells = tl.load(row + 10)
    y_cells = tl.load(row + 11)
    z_cells = tl.load(row + 12)
    scene, x, y, z = _cell(tl.load(store + tl.load(row + 6) + site, mask=inside, other=0), x_cells, y_cells, z_cells)
    x_half = x_cells // 2
    y_half = y_cells // 2
    z_half = z_cells // 2
    exists = inside & (x // 2 < x_half) & (y // 2 < y_half) & (z // 2 < z_half)
    target = ((scene * (x_half + 1) + x // 2) * (y_half + 1) + y // 2) * (z_half + 1) + z // 2
    place = _lower_bound(store + tl.load(row + 7), tl.load(row + 8).to(tl.int32), target, tl.load(row + 9).to(tl.int32))
    corner = (x % 2 * 4 + y % 2 * 2 + z % 2).to(tl.int32)
    number = 0
    for k in range(8):
        number = _enter(exists & (corner == k), place, k, base, row, tile, number)
    tl.store(base + tl.load(row + 4) + tile * LIST, number)


@triton.jit
def sum_hits(plan, base, block: tl.constexpr):
    """Running sums, over a table's tiles, of the hits of one offset; a program a table and offset."""
    row = plan + tl.program_id(0) * FIELDS
    if tl.program_id(1) < tl.load(row + 14):
        tiles = tl.load(row + 2)
        _scan(base + tl.load(row + 5) + tl.program_id(1) * tiles, tiles.to(tl.int32), block)


@triton.jit(do_not_specialize=["lines"])
def list_pairs(plan, base, rows, sources, lines: tl.int32):
    """The hits of each line of a table side by side: their rows, and the rows that they gather."""
    row, tile = _planned(plan, lines, tl.program_id(0))
    k = tl.program_id(1)
    if k < tl.load(row + 14):
        count = tl.load(row + 1)
        site = tile * TILE + tl.arange(0, TILE)
        line = tl.load(row + 3) + k * count
        source = tl.load(base + line + site, mask=site < count, other=-1)
        hit = (source >= 0).to(tl.int32)
        end = tl.load(base + tl.load(row + 5) + k * tl.load(row + 2) + tile)
        place = line + end - tl.sum(hit, 0) + tl.cumsum(hit, 0) - 1
        tl.store(rows + place, site, mask=hit != 0)
        tl.store(sources + place, source, mask=hit != 0)
