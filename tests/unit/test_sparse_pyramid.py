"""Sites, extents and maps against brute force over Python dictionaries."""

from __future__ import annotations

import pytest
import torch
from sparse_oracle import random_sites

from regionzoo.sparse.pyramid import Level, Pyramid, spatial_shape

OFFSETS = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]


def test_spatial_shape_is_the_batch_wide_extent_but_at_least_128():
    coords = torch.tensor([[0, 5, 200, 3], [1, 300, 7, 127]])
    assert spatial_shape(coords) == (301, 201, 128)
    assert spatial_shape(coords[:0]) == (128, 128, 128)


@pytest.mark.parametrize("shuffled", [False, True])
def test_table_and_pairs_equal_brute_force(shuffled):
    rng = torch.Generator().manual_seed(0)
    coords = random_sites((5, 4, 6), 3, 0.4, rng, shuffled)
    level = Level(coords, (5, 4, 6))
    row = {tuple(site): i for i, site in enumerate(coords.tolist())}
    expected = [
        [row.get((b, x + dx, y + dy, z + dz), len(coords)) for dx, dy, dz in OFFSETS] for b, x, y, z in coords.tolist()
    ]
    assert level.table.tolist() == expected
    for k, (rows, neighbours) in enumerate(level.pairs, start=14):
        found = dict(zip(rows.tolist(), neighbours.tolist(), strict=True))
        assert found == {i: r[k] for i, r in enumerate(expected) if r[k] < len(coords)}


def test_sites_at_the_border_of_a_scene_do_not_touch_the_next():
    coords = torch.tensor([[0, 3, 3, 3], [1, 0, 0, 0], [0, 3, 0, 3], [0, 3, 1, 0], [0, 0, 3, 3], [0, 1, 0, 0]])
    table = Level(coords, (4, 4, 4)).table
    assert (table < len(coords)).sum() == len(coords)  # every site meets itself alone
    assert (table[:, 13] == torch.arange(len(coords))).all()


def test_levels_halve_and_floor():
    coords = torch.tensor([[0, 128, 0, 0], [0, 127, 0, 0], [0, 126, 1, 1], [1, 0, 127, 5]])
    pyramid = Pyramid(coords, spatial_shape(coords), 7)
    assert pyramid.level(0).extent == (129, 128, 128)
    assert pyramid.level(1).extent == (64, 64, 64)
    assert pyramid.level(1).coords.tolist() == [[0, 63, 0, 0], [1, 0, 63, 2]]
    stride = pyramid.stride(0)
    assert stride.rows.tolist() == [1, 2, 3]
    assert stride.slots.tolist() == [0 * 8 + 4, 0 * 8 + 3, 1 * 8 + 3]
    assert (stride.n_fine, stride.n_coarse) == (4, 2)
    assert pyramid.level(6).extent == (2, 2, 2)
    assert pyramid.stride(1).rows is None


def test_maps_are_built_once():
    pyramid = Pyramid(random_sites((6, 6, 6), 1, 0.5, torch.Generator().manual_seed(1), True), (6, 6, 6), 2)
    assert pyramid.level(0).pairs is pyramid.level(0).pairs
    assert pyramid.level(1).table is pyramid.level(1).table
    assert pyramid.stride(0) is pyramid.stride(0)


@pytest.mark.parametrize(
    ("coords", "message"),
    [
        ([[0, 1, 1, 1], [0, 1, 1, 1]], "not unique"),
        ([[0, -1, 1, 1]], "do not fit"),
        ([[0, 4, 1, 1]], "do not fit"),
        ([[0, 1, 1]], "expected"),
    ],
)
def test_impossible_sites_are_refused(coords, message):
    with pytest.raises(ValueError, match=message):
        Pyramid(torch.tensor(coords), (4, 4, 4), 2)


def test_extents_beyond_the_key_are_refused():
    with pytest.raises(ValueError, match="extent"):
        Pyramid(torch.tensor([[0, 1, 1, 1]]), (1 << 20, 1 << 20, 1 << 20), 2)
    with pytest.raises(IndexError):
        Pyramid(torch.tensor([[0, 1, 1, 1]]), (4, 4, 4), 2).level(2)
