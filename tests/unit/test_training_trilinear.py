"""Trilinear reading against SciPy's, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from regionzoo.training import trilinear as module
from regionzoo.training.trilinear import trilinear


def scipys(volumes: list[np.ndarray], position: np.ndarray) -> np.ndarray:
    return np.stack([map_coordinates(part, position, order=1, mode="constant", cval=0.0) for part in volumes])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), shape=st.tuples(*[st.integers(2, 7)] * 3), count=st.integers(0, 60))
def test_it_is_scipys_to_the_bit(seed, shape, count):
    rng = np.random.default_rng(seed)
    volumes = [rng.standard_normal(shape).astype(np.float32) for _ in range(3)]
    top = np.array(shape)[:, None] - 1
    position = rng.uniform(-0.2, 1.2, (3, count)) * top
    # On nodes, on the last ones, and a hair beside them.
    exact = rng.random((3, count))
    position = np.where(exact < 0.3, np.round(position), position)
    position = np.where(exact > 0.9, np.nextafter(top, top + rng.integers(-1, 2, (3, count))), position)
    assert np.array_equal(trilinear(volumes, position), scipys(volumes, position))


@pytest.mark.parametrize("block", [1, 7, 50, 64])
def test_blocks_change_nothing(monkeypatch, block):
    rng = np.random.default_rng(0)
    volumes = [rng.standard_normal((9, 5, 4)).astype(np.float32) for _ in range(2)]
    position = rng.uniform(0, 3, (3, 50))
    monkeypatch.setattr(module, "BLOCK", block)
    found = trilinear(volumes, position)
    assert found.dtype == np.float32 and np.array_equal(found, scipys(volumes, position))
