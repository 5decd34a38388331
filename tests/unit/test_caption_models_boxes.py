"""What becomes of a detector's boxes, against the definitions box by box."""

import numpy as np
import pytest

from regionzoo.captions.models.boxes import Detections, area, chosen_boxes, enlarge, suppress
from regionzoo.captions.models.detected import sentence_about
from regionzoo.captions.models.vocabulary import read_vocabulary
from regionzoo.captions.wording import TEMPLATES
from regionzoo.errors import UserError


def detections(boxes, names=None, scores=None):
    n = len(boxes)
    names = [0] * n if names is None else names
    scores = np.linspace(0.9, 0.1, n) if scores is None else scores
    return Detections(np.array(boxes, float).reshape(n, 4), np.array(names, int), np.array(scores, float))


def overlap(a, b):
    """By counting cells: corners must be whole numbers."""
    grids = np.zeros((2, 60, 60), bool)
    for grid, (x_min, y_min, x_max, y_max) in zip(grids, (a, b), strict=True):
        grid[int(y_min) : int(y_max), int(x_min) : int(x_max)] = True
    return (grids[0] & grids[1]).sum() / (grids[0] | grids[1]).sum()


@pytest.mark.parametrize("seed", range(5))
def test_doubles_of_a_name_are_dropped(seed):
    rng = np.random.default_rng([7, seed])
    corners = rng.integers(0, 40, (40, 2))
    boxes = np.concatenate([corners, corners + rng.integers(5, 20, (40, 2))], axis=1)
    found = detections(boxes, rng.integers(0, 2, 40), rng.choice(np.linspace(0, 1, 200), 40, replace=False))
    kept = []
    for i in sorted(range(40), key=lambda i: -found.scores[i]):
        same = [k for k in kept if found.names[k] == found.names[i]]
        if all(overlap(boxes[i], boxes[k]) <= 0.3 for k in same):
            kept.append(i)
    assert 3 < len(kept) < 40
    ours = suppress(found, 0.3)
    np.testing.assert_array_equal(ours.boxes, boxes[kept])
    np.testing.assert_array_equal(ours.names, found.names[kept])
    assert (np.diff(ours.scores) <= 0).all()


def test_small_boxes_grow_around_their_centre_inside_the_image():
    boxes = np.array([[100, 100, 140, 200], [0, 0, 20, 40], [280, 190, 300, 200], [0, 0, 100, 80], [0, 0, 100, 79.9]])
    grown = enlarge(boxes, 1.5, height=200, width=300)
    expected = [
        [90, 75, 150, 200],  # 25 more below would leave the image
        [0, 0, 25, 50],
        [275, 187.5, 300, 200],
        [0, 0, 100, 80],  # 8000 pixels are not below 8000
        [0, 0, 125, 99.875],
    ]
    np.testing.assert_allclose(grown, expected)


def test_tiny_boxes_are_dropped():
    found = detections([[0, 0, 100, 30], [0, 0, 100, 29.9], [0, 0, 60, 100]], names=[0, 1, 2])
    kept = chosen_boxes(found, 0.5, 1.0, 3000.0, 968, 1296)
    np.testing.assert_array_equal(kept.names, [0, 2])
    assert len(chosen_boxes(found, 0.5, 1.0, 0.0, 968, 1296).boxes) == 3


def test_enlarged_boxes_are_measured_with_a_larger_limit():
    # 100 x 20 becomes 150 x 30, which is 3000 times 1.5.
    found = detections([[500, 500, 600, 520], [500, 500, 600, 519.9], [0, 0, 90, 90]], names=[0, 1, 2])
    kept = chosen_boxes(found, 0.5, 1.5, 3000.0, 968, 1296)
    np.testing.assert_array_equal(kept.names, [0, 2])
    np.testing.assert_allclose(area(kept.boxes), [4500, 8100])


def test_boxes_end_at_the_image_before_they_are_measured():
    found = detections([[-50, -50, 60, 40], [-90, 10, -10, 90], [1200, 900, 1400, 1100]], names=[0, 1, 2])
    kept = chosen_boxes(found, 0.5, 1.0, 2000.0, 968, 1296)
    np.testing.assert_allclose(kept.boxes, [[0, 0, 60, 40], [1200, 900, 1296, 968]])
    # Outside altogether: no area, whatever the limit.
    assert 1 not in chosen_boxes(found, 0.5, 1.0, 0.0, 968, 1296).names


def test_nothing_found():
    kept = chosen_boxes(detections([]), 0.5, 1.2, 3000.0, 968, 1296)
    assert kept.boxes.shape == (0, 4)


def test_vocabulary_of_a_class_set():
    names = read_vocabulary("scannet20")
    assert len(names) == 19
    assert {"shower curtain", "chair"} < set(names)
    assert "construction vehicle" in read_vocabulary("nuscenes16")


def test_vocabulary_of_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("# furniture\nchair\n\n night_stand \nchair\n")
    assert read_vocabulary(str(path)) == ("chair", "night stand")
    path.write_text("# nothing\n")
    with pytest.raises(UserError, match=r"names\.txt': no names in it"):
        read_vocabulary(str(path))
    with pytest.raises(UserError, match=r"neither a class set .*scannet20.* nor a readable text file"):
        read_vocabulary(str(tmp_path / "absent.txt"))


def test_sentences_are_grammatical():
    sentences = {sentence_about("office chair", number) for number in range(50)}
    assert len(sentences) == len(TEMPLATES)
    assert all("an office chair" in sentence for sentence in sentences)
    plural = {sentence_about("blinds", number) for number in range(50)}
    assert "there are blinds in the room." in plural
    assert not any(" a blinds" in sentence for sentence in plural)
