"""Any small cloud, any cap: both paths give what a breadth-first search gives."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regionzoo.models.grouping import components
from regionzoo.models.instance_types import InstanceSettings

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from grouping_cases import search

# Multiples of a fifth and of a third of the radius: duplicates, lattices, distances that nearly are the radius.
steps = st.one_of(st.integers(-8, 8).map(lambda i: i * 0.008), st.integers(-5, 5).map(lambda i: i * 0.04 / 3))
clouds = st.lists(st.tuples(steps, steps, st.integers(-2, 2).map(lambda i: i * 0.02), st.integers(0, 1)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(clouds, st.integers(1, 12))
def test_both_paths_equal_the_search(cloud, cap):
    points = np.array([row[:3] for row in cloud], np.float32).reshape(-1, 3)
    groups = np.array([row[3] for row in cloud], np.int64)
    expected = search(points, groups, 0.04, cap)
    tensors = torch.from_numpy(points), torch.from_numpy(groups)
    for path in ("tree", "cells"):
        assert components(*tensors, InstanceSettings(max_neighbours=cap), path).tolist() == expected
