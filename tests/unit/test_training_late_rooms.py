"""Augmentation that is drawn first and done later: the same draws, the same bits, by every way that does it.

Triton's interpreter has to be asked for before Triton is imported: without a GPU one test runs this file in a process
of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regionzoo.models.batch import with_tensors
from regionzoo.models.triton_use import has_triton
from regionzoo.settings.train import Augmentation, Elastic
from regionzoo.training.augment import augment
from regionzoo.training.collate import collate, collate_points
from regionzoo.training.elastic import _reach_of_moved, distorted, drawn
from regionzoo.training.items import Item
from regionzoo.training.late_rooms import LatePoints
from regionzoo.training.room_points import LateRoom, PlacedRoom

FINE, COARSE = Elastic(granularity=0.12, magnitude=0.8), Elastic(granularity=0.4, magnitude=3.2)
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
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


def item(seed: int, count: int, rounds: tuple[Elastic, ...], max_points: int | None, late: bool) -> Item:
    points = room(seed, count)
    colors = np.random.default_rng(seed).integers(0, 256, (count, 3)).astype(np.uint8)
    rng = np.random.default_rng([seed, 1])
    cloud = augment(points, colors, settings_of(rounds), (0.02, 0.03, 0.02), max_points, rng, late)
    assert isinstance(cloud.room, LateRoom if late else PlacedRoom)
    return Item(str(seed), cloud.room, cloud.origin, None, None, (), (), None)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 400), rounds=st.permutations([FINE, COARSE, FINE]))
def test_what_is_drawn_is_what_the_rounds_in_turn_draw(seed, count, rounds):
    points = room(seed, count).astype(np.float64)
    for used in (rounds[:0], rounds[:1], rounds[:2], rounds):
        one, other = np.random.default_rng(seed), np.random.default_rng(seed)
        volumes = drawn(points, used, one)
        _, expected = distorted(points, used, other)
        assert all(np.array_equal(a, b) for a, b in zip(volumes, expected, strict=True))
        assert len(volumes) == len(used) and one.bit_generator.state == other.bit_generator.state


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 3000), shift=st.floats(-3, 3))
def test_the_reach_is_found_among_few_points(seed, count, shift):
    points = room(seed, count).astype(np.float64) + shift
    (volumes,) = drawn(points, (FINE,), np.random.default_rng(seed))
    moved, _ = distorted(points, (FINE,), np.random.default_rng(seed))
    found = _reach_of_moved(points, np.abs(points).max(0), volumes, FINE)
    assert np.array_equal(found, np.abs(moved).max(0))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rounds", [(), (FINE,), (FINE, COARSE), (COARSE, FINE, COARSE)])
def test_a_batch_augmented_late_has_the_bits_of_one_augmented_at_once(device, rounds):
    # The second scene is cropped, which depends on its distortion: where it comes to lie is known beforehand.
    sizes, most = (600, 1500, 1, 900) if INTERPRETED else (2000, 9000, 1, 5000), 1000 if INTERPRETED else 6000
    at_once = [item(k, n, rounds, most, False) for k, n in enumerate(sizes)]
    late = [item(k, n, rounds, most, True) for k, n in enumerate(sizes)]
    assert [one.room.low is None for one in late] == [True, False, True, True]
    assert all(np.array_equal(a.origin, b.origin) for a, b in zip(at_once, late, strict=True))
    points = collate_points(late)
    assert isinstance(points.points, LatePoints)
    expected = collate(at_once)
    found = with_tensors(points, lambda tensor: tensor.to(device)).voxelised()
    assert found.spatial_shape == expected.spatial_shape
    for name in ("voxel_coords", "voxel_feats", "v2p", "point_offsets", "points"):
        a, b = getattr(found, name), getattr(expected, name)
        assert a.dtype == b.dtype and torch.equal(a.cpu(), b), name


@pytest.mark.parametrize("device", DEVICES)
def test_every_colour_and_many_matrices_have_the_bits_of_a_cpu(device):
    rng = np.random.default_rng(5)
    items, late = [], []
    for seed in range(3):
        points = room(seed, 768)
        colors = np.stack([rng.permutation(768) % 256 for _ in range(3)], 1).astype(np.uint8)
        for found, how in ((items, False), (late, True)):
            cloud = augment(points, colors, settings_of((FINE,)), 0.05, None, np.random.default_rng(seed), how)
            found.append(Item(str(seed), cloud.room, cloud.origin, None, None, (), (), None))
    placed = with_tensors(collate_points(late).points, lambda tensor: tensor.to(device)).placed()
    assert torch.equal(placed.feats.cpu(), collate_points(items).points.feats)
    assert torch.equal(placed.coords.cpu(), collate_points(items).points.coords.long())


def test_another_volume_matrix_or_shift_gives_another_batch():
    late = [item(k, 500, (FINE, COARSE), None, True) for k in range(2)]
    base = collate_points(late).voxelised()

    def changed(**parts: object) -> object:
        return collate_points([replace(one, room=replace(one.room, **parts)) for one in late]).voxelised()

    first, second = late[0].room.volumes
    other = changed(volumes=(first, -second)), changed(matrix=np.eye(3))
    for batch in other:
        assert batch.v2p.shape == base.v2p.shape and not torch.equal(batch.v2p, base.v2p)
    tinted = changed(color_shift=np.full(3, 0.25))
    assert torch.equal(tinted.v2p, base.v2p) and not torch.equal(tinted.voxel_feats, base.voxel_feats)


def test_points_that_are_no_room_are_refused():
    one = item(0, 50, (), None, True)
    far = replace(one, room=replace(one.room, points=one.room.points * np.float32(1e9)))
    with pytest.raises(ValueError, match="are the points in metres"):
        collate_points([far]).voxelised()


@pytest.mark.skipif(not has_triton() or INTERPRETED, reason="needs Triton's compiler")
def test_kernels_compile_for_a_gpu_without_contracted_products():
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from regionzoo.training import late_kernels

    kernels = {
        late_kernels._place: ("*fp32", "*u8", "*i64", "*fp64", "*fp64", "*fp32", "*fp64"),
        late_kernels._distort: ("*fp64", "*i64", "*fp32", "*i64", "*i64", "*fp64", "i32"),
    }
    for kernel, types in kernels.items():
        signature = dict(zip(kernel.arg_names, (*types, "constexpr"), strict=True))
        source = ASTSource(fn=kernel, signature=signature, constexprs={"block": late_kernels.BLOCK})
        for fusion, contracted in ((False, False), (True, True)):
            options = {"num_warps": 4, "enable_fp_fusion": fusion}
            made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
            # A product that may be contracted with a sum has no rounding of its own.
            assert ("mul.f64" in made.asm["ptx"] or "fma" in made.asm["ptx"]) == contracted


@pytest.mark.skipif(not has_triton() or INTERPRETED or torch.cuda.is_available(), reason="kernels run in this process")
def test_kernels_in_the_interpreter():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "bits_of", str(Path(__file__))],
        capture_output=True, text=True, timeout=300,
        env=os.environ | {"TRITON_INTERPRET": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "5 passed" in done.stdout, done.stdout[-500:]
