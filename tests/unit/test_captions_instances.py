"""Objects in annotation images, against masks of whole images."""

import numpy as np
import pytest

from regionzoo.captions.instances import Instances

MIN = 30
WANTED = {1, 5, 6, 22, 37}
BOXES = [(0, 0, 70, 50), (10, 5, 40, 33), (69, 49, 70, 50), (30, 0, 31, 50), (0, 20, 70, 21)]


def draw(seed, height=50, width=70):
    """Blocks and speckle; some classes without instances, some instances that are not the label's."""
    rng = np.random.default_rng(seed)
    block = int(rng.integers(1, 25))
    coarse = (height // block + 1, width // block + 1)
    label = rng.choice([0, 1, 5, 5, 6, 22, 38, 50, 255], coarse)
    instance = np.where(rng.random(coarse) < 0.7, label * 1000 + rng.integers(0, 3, coarse), 0)
    instance[rng.random(coarse) < 0.1] = 37004
    images = [
        image.repeat(block, 0).repeat(block, 1)[:height, :width] for image in (label, np.minimum(instance, 65535))
    ]
    images[1][rng.random((height, width)) < 0.1] = 6001
    images[0][rng.random((height, width)) < 0.1] = 5
    return images[0].astype(np.uint8), images[1].astype(np.uint16)


def masks(label, instance):
    """Key -> bool image of the objects that count."""
    keys = np.where(instance == 0, label * 1000.0, instance)
    found = {int(key): keys == key for key in np.unique(keys)}
    return {key: mask for key, mask in found.items() if mask.sum() >= MIN and key // 1000 in WANTED}


@pytest.mark.parametrize("seed", range(25))
def test_objects_of_random_images(seed):
    label, instance = draw(seed)
    expected = masks(label, instance)
    found = Instances.find(label, instance, MIN, WANTED.__contains__)
    assert list(found.keys) == sorted(expected)
    for key, box in zip(found.keys, found.boxes, strict=True):
        rows, columns = np.nonzero(expected[key])
        assert box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    for x_min, y_min, x_max, y_max in BOXES:
        areas = {key: int(mask[y_min:y_max, x_min:x_max].sum()) for key, mask in expected.items()}
        assert found.areas_inside((x_min, y_min, x_max, y_max)) == {k: a for k, a in areas.items() if a >= MIN}


def test_mean_color_is_that_of_the_object_inside_the_box():
    rng = np.random.default_rng(0)
    label, instance = draw(3)
    instance[12:, 20] = 5009
    color = rng.integers(0, 256, (*label.shape, 3)).astype(np.uint8)
    found = Instances.find(label, instance, MIN, WANTED.__contains__)
    x_min, y_min, x_max, y_max = box = (10, 5, 40, 33)
    for key in found.areas_inside(box):
        mask = np.zeros(label.shape, bool)
        mask[y_min:y_max:4, x_min:x_max:4] = True
        mask &= masks(label, instance)[key]
        assert found.mean_color(key, color, box) == pytest.approx(color[mask].mean(axis=0))
    # A line between the rows and columns of the grid.
    assert found.mean_color(5009, color, (19, 12, 22, 50)) == pytest.approx(color[12:, 20].mean(axis=0))


def test_nothing_there():
    empty = np.zeros((50, 70))
    found = Instances.find(empty.astype(np.uint8), empty.astype(np.uint16), MIN, WANTED.__contains__)
    assert (found.keys, found.boxes, found.areas_inside((0, 0, 70, 50))) == ((), [], {})
