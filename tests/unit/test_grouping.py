"""Components and proposals against a double loop and a queue, on every path."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from grouping_cases import as_lists, clusters, dense_search, propose, search

from regionzoo.models import grouping_cells
from regionzoo.models.grouping import components, group
from regionzoo.models.instance_types import InstanceSettings

CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))
PATHS = ["tree", "cells", CUDA]
R = 0.04


def labels(points: np.ndarray, groups: np.ndarray, path: str, cap: int = 1000) -> list[int]:
    settings = InstanceSettings(radius=R, max_neighbours=cap)
    tensors = torch.from_numpy(points), torch.from_numpy(groups)
    if path == "cuda":
        return components(tensors[0].cuda(), tensors[1].cuda(), settings).tolist()
    return components(*tensors, settings, path).tolist()


def line(count: int, step: float) -> np.ndarray:
    points = np.zeros((count, 3), np.float32)
    points[:, 0] = np.arange(count) * step
    return points


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_search(path, seed):
    rng = np.random.default_rng(seed)
    points = clusters(220, rng, (0.01, 0.03, 0.1)[seed % 3])
    groups = rng.integers(0, 3, len(points))
    for cap in (1, 7, 25, 1000):
        assert labels(points, groups, path, cap) == search(points, groups, R, cap)


@pytest.mark.parametrize("path", PATHS)
def test_the_radius_itself_is_too_far(path):
    exact = np.float32(R)
    for gap, together in ((np.nextafter(exact, np.float32(0)), True), (exact, False)):
        points = np.array([[0, 0, 0], [0, gap, 0]], np.float32)
        zeros = np.zeros(2, np.int64)
        # The square of the next smaller number may round to the same square; the oracle decides.
        assert labels(points, zeros, path) == search(points, zeros, R, 1000)
        assert together or labels(points, zeros, path) == [0, 1]


@pytest.mark.parametrize("path", PATHS)
def test_distances_around_the_radius_far_from_the_origin(path):
    rng = np.random.default_rng(3)
    middle = rng.uniform(20, 40, (60, 3))
    way = rng.normal(size=(60, 3))
    way *= R * (1 + rng.uniform(-2e-6, 2e-6, (60, 1))) / np.linalg.norm(way, axis=1, keepdims=True)
    points = np.concatenate([middle, middle + way]).astype(np.float32)
    groups = np.tile(np.arange(60), 2)
    found = labels(points, groups, path)
    assert found == search(points, groups, R, 1000)
    assert 10 < len(set(found)) - 60 < 50


@pytest.mark.parametrize("path", PATHS)
def test_a_long_chain_in_any_order(path):
    order = np.random.default_rng(0).permutation(3000)
    assert set(labels(line(3000, 0.03)[order], np.zeros(3000, np.int64), path)) == {0}
    assert labels(line(300, 0.05), np.zeros(300, np.int64), path) == list(range(300))


@pytest.mark.parametrize("path", PATHS)
def test_groups_and_batch_items_are_never_joined(path):
    groups = np.arange(30) % 3
    assert labels(np.zeros((30, 3), np.float32), groups, path) == groups.tolist()


@pytest.mark.parametrize("path", PATHS)
def test_the_cap_cuts_a_blob_into_its_first_points_and_singles(path):
    # All of one place: every list holds the first 1000 points, so nothing leads to the others.
    found = labels(np.zeros((1500, 3), np.float32), np.zeros(1500, np.int64), path)
    assert found == [0] * 1000 + list(range(1000, 1500))


@pytest.mark.parametrize("path", PATHS)
def test_edges_in_one_direction_only(path):
    # 0..4 at 0, 5 at 0.03, 6 at 0.06 with a cap of 5: 5 and 6 see each other late, and 0 does not see 5.
    points = np.zeros((7, 3), np.float32)
    points[5:, 0] = 0.03, 0.06
    for cap in range(1, 8):
        assert labels(points, np.zeros(7, np.int64), path, cap) == search(points, np.zeros(7), R, cap)
    # A later point whose list is complete leads to an earlier one whose list is full.
    points = np.zeros((9, 3), np.float32)
    points[:, 0] = 0.03, 0.06, 0, 0, 0, 0, 0, 0, 0.09
    for cap in range(1, 9):
        assert labels(points, np.zeros(9, np.int64), path, cap) == search(points, np.zeros(9), R, cap)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("cap", [60, 250, 1000])
def test_dense_clusters_where_the_cap_bites(path, cap):
    rng = np.random.default_rng(cap)
    points = np.concatenate([clusters(1700, rng, 0.02, 3), line(300, 0.03)])[rng.permutation(2000)]
    found = labels(points, np.zeros(2000, np.int64), path, cap)
    expected, sizes = dense_search(points, R, cap)
    assert found == expected and int((sizes > cap).sum()) > (0 if cap == 1000 else 100) - 1


@pytest.mark.parametrize("path", PATHS)
def test_points_absurdly_far_apart(path):
    points = np.array([[0, 0, 0], [1e30, -1e30, 1e30], [0.01, 0, 0], [1e30, -1e30, 1e30]], np.float32)
    assert labels(points, np.array([0, 5, 0, 5]), path) == [0, 1, 0, 1]


@pytest.mark.parametrize("path", PATHS)
def test_no_points_and_one(path):
    assert labels(np.zeros((0, 3), np.float32), np.zeros(0, np.int64), path) == []
    assert labels(np.ones((1, 3), np.float32), np.zeros(1, np.int64), path) == [0]


def test_chunks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(5)
    points, groups = clusters(400, rng, 0.02), rng.integers(0, 2, 400)
    for cap in (20, 1000):
        whole = labels(points, groups, "cells", cap)
        monkeypatch.setitem(grouping_cells.CHUNK_PAIRS, "cpu", 64)
        assert labels(points, groups, "cells", cap) == whole
        monkeypatch.undo()


# -- proposals ------------------------------------------------------------------------------------------------------

SMALL = InstanceSettings(min_candidates=20, min_points=5, max_neighbours=30)


def scene(seed: int, count: int = 300, columns: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(columns, 0.4), count).astype(np.float32)
    scenes = np.sort(rng.integers(0, 2, count))
    points = clusters(count, rng, 0.04)
    return torch.from_numpy(scores), torch.from_numpy(points), torch.from_numpy(scenes)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("seed", range(3))
def test_proposals_equal_the_text(path, seed):
    scores, points, scenes = scene(seed)
    device = "cuda" if path == "cuda" else "cpu"
    moved = [tensor.to(device) for tensor in (scores, points, scenes)]
    found = group(moved[0], range(5), *moved[1:], SMALL, path=None if path == "cuda" else path)
    expected = propose(scores.numpy(), range(5), points.numpy(), scenes.numpy(), SMALL)
    assert as_lists(found) == expected and len(expected) > 3
    assert found.scene.tolist() == [int(scenes[part[0]]) for part in expected]


def test_wall_and_floor_and_rare_classes_make_none():
    scores, points, scenes = scene(1)
    twice = group(scores, (1, 0, 3, 2, 4), points, scenes, SMALL)
    assert len(group(scores, (0, 1, 0, 1, 0), points, scenes, SMALL)) == 0
    assert as_lists(twice) == propose(scores.numpy(), (1, 0, 3, 2, 4), points.numpy(), scenes.numpy(), SMALL)
    many = int((scores > 0.2).sum(0).max())
    assert len(group(scores, range(5), points, scenes, InstanceSettings(min_candidates=many + 1, min_points=1))) == 0


def test_scores_of_voxels():
    scores, points, scenes = scene(2)
    v2p = torch.arange(300) // 2
    given = group(scores[:150], range(5), points, scenes, SMALL, v2p=v2p)
    assert as_lists(given) == as_lists(group(scores[:150][v2p], range(5), points, scenes, SMALL))


def test_retry_halves_until_there_are_some():
    points = torch.from_numpy(np.concatenate([line(6, 0.03), line(3, 0.03) + 1, line(20, 0.3) + 3]))
    scores, zeros = torch.ones(29, 1), torch.zeros(29, dtype=torch.int64)
    settings = InstanceSettings(min_candidates=1, min_points=50)

    def sizes(changes: dict, retry: bool = True, keep: slice = slice(None)) -> list[int]:
        changed = InstanceSettings(**(settings.__dict__ | changes))
        return group(scores[keep], (2,), points[keep], zeros[keep], changed, retry=retry).sizes.tolist()

    assert sizes({}, retry=False) == []
    assert sizes({}) == [6]  # 50, 25, 12.5, 6.25, 3.125 > 3
    assert sizes({}, keep=slice(9, None)) == [1] * 20
    assert sizes({"max_retry_proposals": 3}, keep=slice(9, None)) == [1] * 3
    assert sizes({"min_candidates": 100}) == []  # bounded: nothing ever appears
    assert sizes({"max_proposals": 1, "min_points": 2}) == [6]


def test_points_that_are_not_finite_are_no_candidates():
    scores, points, scenes = scene(0)
    points[::7] = torch.nan
    found = group(scores, range(5), points, scenes, SMALL)
    assert len(found) and not (found.point_ids % 7 == 0).any()


def test_settings_are_checked():
    with pytest.raises(ValueError, match="radius is 0"):
        InstanceSettings(radius=0)
    with pytest.raises(ValueError, match="max_neighbours"):
        InstanceSettings(max_neighbours=0)
    with pytest.raises(ValueError, match="2 columns of scores for 3 classes"):
        group(torch.ones(1, 2), (2, 3, 4), torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64), SMALL)
