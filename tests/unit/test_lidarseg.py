"""The 32 fine classes of nuScenes-lidarseg become the 16 of the devkit's mapper."""

from __future__ import annotations

import numpy as np
import pytest

from regionzoo.classes import class_set
from regionzoo.scenes.lidarseg import FINE, fine_to_nuscenes16

# The devkit's coarse class of each index, 0 = ignored; written down from its mapper, not from the table under test.
COARSE = [0, 0, 7, 7, 7, 0, 7, 0, 0, 1, 0, 0, 8, 0, 2, 3, 3, 4, 5, 0, 0, 6, 9, 10, 11, 12, 13, 14, 15, 0, 16, 0]


def test_every_fine_class() -> None:
    found = fine_to_nuscenes16(np.arange(32, dtype=np.uint8))
    assert found.tolist() == [coarse - 1 if coarse else -100 for coarse in COARSE] and found.dtype == np.int16
    assert class_set("nuscenes16").raw_ids == tuple(range(1, 17))
    # The data's order, not that of the devkit's instructions.
    assert FINE[24:31] == (
        "flat.driveable_surface", "flat.other", "flat.sidewalk", "flat.terrain", "static.manmade", "static.other",
        "static.vegetation",
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"fine class 32; expected 0\.\.31"):
        fine_to_nuscenes16(np.array([32], np.uint8))
