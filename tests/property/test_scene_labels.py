"""Label maps against dictionary loops, for any integer type and value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regionzoo.classes import class_set
from regionzoo.scenes.labels import nyu40_to_scannet20, raw_id_to_scannet200

INTEGERS = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">i4"]).map(np.dtype)
ARRAYS = INTEGERS.flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(max_dims=2, max_side=20, min_side=0),
        elements=st.one_of(
            st.integers(0, min(1300, np.iinfo(dtype).max)), st.integers(np.iinfo(dtype).min, np.iinfo(dtype).max)
        ),
    )
)


@pytest.mark.parametrize(
    ("remap", "classes"), [(nyu40_to_scannet20, "scannet20"), (raw_id_to_scannet200, "scannet200")]
)
@given(values=ARRAYS)
@settings(max_examples=60, deadline=None)
def test_against_a_dictionary(remap, classes, values):
    index = {raw_id: position for position, raw_id in enumerate(class_set(classes).raw_ids)}
    mapped = remap(values)
    assert mapped.dtype == np.int16 and mapped.shape == values.shape
    assert mapped.reshape(-1).tolist() == [index.get(value, -100) for value in values.reshape(-1).tolist()]


@pytest.mark.parametrize(
    ("remap", "classes"), [(nyu40_to_scannet20, "scannet20"), (raw_id_to_scannet200, "scannet200")]
)
def test_every_small_id(remap, classes):
    raw_ids = list(class_set(classes).raw_ids)
    expected = [raw_ids.index(value) if value in raw_ids else -100 for value in range(-300, 2000)]
    assert remap(np.arange(-300, 2000)).tolist() == expected
