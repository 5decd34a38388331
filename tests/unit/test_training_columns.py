"""Extremes of columns against NumPy's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regionzoo.training.columns import ROWS, highest, lowest


@settings(max_examples=40, deadline=None)
@given(
    rows=st.sampled_from((1, 2, ROWS - 1, ROWS, ROWS + 1, 5 * ROWS, 5 * ROWS + 17)),
    columns=st.integers(1, 4),
    seed=st.integers(0, 999),
)
@pytest.mark.parametrize("kind", [np.float64, np.int64])
def test_extremes_are_numpy_s(kind: type, rows: int, columns: int, seed: int) -> None:
    values = (np.random.default_rng(seed).standard_normal((rows, columns)) * 1000).astype(kind)
    for array in (values, np.asfortranarray(values)):
        np.testing.assert_array_equal(highest(array), values.max(axis=0))
        np.testing.assert_array_equal(lowest(array), values.min(axis=0))
