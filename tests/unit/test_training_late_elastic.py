"""Elastic distortion that is drawn first and done later: the same draws, the same bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regionzoo.models.batch import with_tensors
from regionzoo.settings.train import Augmentation, Elastic
from regionzoo.training.augment import augment
from regionzoo.training.collate import collate, collate_points
from regionzoo.training.elastic import _reach_of_moved, drawn, elastic
from regionzoo.training.items import Item

FINE, COARSE = Elastic(granularity=0.12, magnitude=0.8), Elastic(granularity=0.4, magnitude=3.2)
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]


def room(seed: int, count: int) -> np.ndarray:
    """float32 [count, 3]: points of walls and a floor, off centre, and a few of things in between."""
    rng = np.random.default_rng(seed)
    extent = rng.uniform(0.5, 4, 3)
    points = rng.uniform(0, extent, (count, 3))
    side = rng.integers(0, 4, count)
    for axis in range(3):
        points[side == axis, axis] = rng.integers(0, 2) * extent[axis]
    return (points - points.mean(0) + rng.normal(0, 0.3, 3)).astype(np.float32)


def settings_of(rounds: tuple[Elastic, ...]) -> Augmentation:
    return Augmentation(
        matrix_noise=0.1, flip=0.5, rotate=True, color_noise=0.1, elastic=rounds, crop_window=32, crop_step=2
    )


def item(seed: int, count: int, rounds: tuple[Elastic, ...], max_points: int | None, voxels: bool) -> Item:
    points = room(seed, count)
    colors = np.random.default_rng(seed).uniform(-1, 1, (count, 3)).astype(np.float32)
    rng = np.random.default_rng([seed, 1])
    cloud = augment(points, colors, settings_of(rounds), 0.02, max_points, rng, voxels)
    return Item(
        scene_id=str(seed),
        voxels=None if cloud.voxels is None else cloud.voxels.astype(np.int64),
        feats=np.concatenate([cloud.colors, cloud.points], axis=1),
        origin=cloud.origin,
        labels=None,
        binary=None,
        regions=(),
        texts=(),
        features=None,
        distortion=cloud.distortion,
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 400), rounds=st.permutations([FINE, COARSE, FINE]))
def test_what_is_drawn_is_what_the_rounds_in_turn_draw(seed, count, rounds):
    points = room(seed, count).astype(np.float64)
    for used in (rounds[:0], rounds[:1], rounds[:2], rounds):
        one, other = np.random.default_rng(seed), np.random.default_rng(seed)
        volumes = drawn(points, used, one)
        moved = points
        for round_ in used:
            moved = elastic(moved, round_, other)
        assert len(volumes) == len(used) and one.bit_generator.state == other.bit_generator.state


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 3000), shift=st.floats(-3, 3))
def test_the_reach_is_found_among_few_points(seed, count, shift):
    points = room(seed, count).astype(np.float64) + shift
    (volumes,) = drawn(points, (FINE,), np.random.default_rng(seed))
    moved = elastic(points, FINE, np.random.default_rng(seed))
    found = _reach_of_moved(points, np.abs(points).max(0), volumes, FINE)
    assert np.array_equal(found, np.abs(moved).max(0))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rounds", [(), (FINE,), (FINE, COARSE), (COARSE, FINE, COARSE)])
def test_a_batch_distorted_late_has_the_bits_of_one_distorted_at_once(device, rounds):
    # The second scene is cropped, which depends on its distortion, so it comes in voxels.
    sizes, most = (2000, 9000, 1, 5000), 6000
    at_once = [item(k, n, rounds, most, True) for k, n in enumerate(sizes)]
    late = [item(k, n, rounds, most, False) for k, n in enumerate(sizes)]
    assert [one.voxels is None for one in late] == [True, False, True, True]
    assert all(np.array_equal(a.origin, b.origin) for a, b in zip(at_once, late, strict=True))
    expected = collate(at_once)
    found = with_tensors(collate_points(late), lambda tensor: tensor.to(device)).voxelised()
    assert found.spatial_shape == expected.spatial_shape
    for name in ("voxel_coords", "voxel_feats", "v2p", "point_offsets", "points"):
        a, b = getattr(found, name), getattr(expected, name)
        assert a.dtype == b.dtype and torch.equal(a.cpu(), b), name


def test_another_volume_gives_other_voxels():
    late = [item(k, 2000, (FINE, COARSE), None, False) for k in range(2)]
    changed = [
        replace(
            one, distortion=replace(one.distortion, volumes=(one.distortion.volumes[0], -one.distortion.volumes[1]))
        )
        for one in late
    ]
    a, b = (collate_points(items).voxelised() for items in (late, changed))
    assert a.voxel_coords.shape != b.voxel_coords.shape or not torch.equal(a.voxel_coords, b.voxel_coords)
