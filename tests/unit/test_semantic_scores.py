"""Scores worked out by hand, and how counts are taken."""

from __future__ import annotations

import numpy as np
import pytest

from regionzoo.classes import class_set
from regionzoo.evaluation.counting import count_pairs
from regionzoo.evaluation.protocols import Protocol, protocol
from regionzoo.evaluation.semantic import SemanticScores, binary_scores, semantic_scores
from regionzoo.models.settings import Partition

BASE, FREE, ALL = protocol("regionplc-base/1"), protocol("regionplc-free/1"), protocol("all-20/1")
TWENTY, TWO_HUNDRED = class_set("scannet20"), class_set("scannet200")


def score20(
    cells: dict[tuple[int, int], int], base: tuple[int, ...], novel: tuple[int, ...], rules: Protocol
) -> SemanticScores:
    """Scores of counts (ground truth, prediction) -> points; -1 is unlabelled; other classes are ignored."""
    pairs = np.zeros((21, 20), np.int64)
    for (truth, said), n in cells.items():
        pairs[truth, said] = n
    roles = Partition(base, novel, tuple(c for c in range(20) if c not in base + novel))
    return semantic_scores(pairs, roles, TWENTY, rules)


def test_every_point_is_counted_once() -> None:
    truth, said = np.array([0, 2, 2, -100, 255, 1]), np.array([0, 2, 1, 1, 0, 1], np.int16)
    expected = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1], [1, 1, 0]])
    np.testing.assert_array_equal(count_pairs(truth, said, 3, 3), expected)
    np.testing.assert_array_equal(count_pairs(truth[:0], said[:0], 3, 3), np.zeros((4, 3)))


@pytest.mark.parametrize("said", [3, -1, -100])
def test_a_prediction_outside_the_classes_is_refused(said: int) -> None:
    with pytest.raises(ValueError, match="prediction"):
        count_pairs(np.array([0]), np.array([said]), 3, 3)


def test_hand_worked_base_and_novel() -> None:
    # Classes: 0 and 1 base, 2 novel, 3 novel without points, the rest ignored; 7 unlabelled and 5 ignored points.
    cells = {(0, 0): 6, (0, 1): 2, (1, 1): 4, (2, 0): 1, (2, 2): 3, (-1, 0): 7, (9, 1): 5}
    scores = score20(cells, (0, 1), (2, 3), BASE)
    np.testing.assert_allclose(scores.iou[:5], [6 / 9, 4 / 6, 3 / 4, 0, 0], atol=1e-9)
    b, n = (6 / 9 + 4 / 6) / 2, 3 / 8
    assert scores.summary["mIoU_base"] == pytest.approx(b)
    assert scores.summary["mIoU_novel"] == pytest.approx(n)  # the absent class counts as 0, not as missing
    assert scores.summary["hIoU"] == pytest.approx(2 * b * n / (b + n))
    assert scores.summary["mIoU"] == pytest.approx((b * 2 + n * 2) / 4)
    assert scores.summary["mAcc_base"] == pytest.approx((6 / 8 + 1) / 2)
    assert scores.summary["allAcc"] == scores.summary["allPre"] == pytest.approx(13 / 16)
    assert scores.points.tolist() == [8, 4, 4] + [0] * 17


def test_excluded_ground_truth_can_count_as_false_positives() -> None:
    cells = {(0, 0): 6, (2, 2): 2, (9, 0): 5, (9, 2): 1}
    skipped = score20(cells, (0,), (2,), BASE)
    counted = score20(cells, (0,), (2,), BASE.model_copy(update={"excluded_truth": "counted"}))
    assert skipped.iou[[0, 2]] == pytest.approx([1, 1]) and counted.iou[[0, 2]] == pytest.approx([6 / 11, 2 / 3])
    # The means are over the same classes either way.
    assert counted.summary["mIoU"] == pytest.approx((6 / 11 + 2 / 3) / 2)


def test_absent_classes_score_zero_or_leave_the_mean() -> None:
    # Class 1 occurs in predictions alone: its union is not empty, so it scores 0 in both. Nothing else occurs.
    cells = {(0, 0): 4, (0, 1): 4}
    zero = score20(cells, (), tuple(range(20)), FREE)
    assert zero.summary["mIoU"] == pytest.approx(0.5 / 20) and zero.summary["mAcc"] == pytest.approx(0.5 / 20)
    nan = score20(cells, (), tuple(range(20)), ALL)
    assert nan.summary["mIoU"] == pytest.approx(0.25) and nan.summary["mAcc"] == pytest.approx(0.5)
    assert np.isnan(nan.iou[2:]).all() and not np.isnan(zero.iou).any() and np.isnan(nan.accuracy[1])


def test_nothing_at_all_scores_zero() -> None:
    for rules in (BASE, FREE, ALL):
        scores = score20({}, (0,), (2,), rules)
        assert set(scores.summary.values()) == {0.0}


def test_train_only_classes_leave_the_means_but_not_the_counts() -> None:
    bicycle = TWO_HUNDRED.index("bicycle")
    pairs = np.zeros((201, 200), np.int64)
    pairs[0, 0], pairs[0, bicycle], pairs[bicycle, 0], pairs[5, 5] = 5, 5, 10, 1
    base = tuple(c for c in range(200) if c != 5)
    scores = semantic_scores(pairs, Partition(base, (5,)), TWO_HUNDRED, BASE)
    assert scores.iou[0] == pytest.approx(5 / 20)  # predictions of and ground truth in the train-only class both count
    assert scores.summary["mIoU_base"] == pytest.approx(5 / 20 / 188)


def test_unlabelled_points_count_as_a_class_that_is_not_excluded() -> None:
    dryer = TWO_HUNDRED.index("hair dryer")
    pairs = np.zeros((201, 200), np.int64)
    pairs[3, 3], pairs[-1, 3], pairs[-1, dryer] = 8, 8, 4
    wrapped = protocol("regionplc-free-wrapped/1")
    every = Partition((), tuple(range(200)))
    scores = semantic_scores(pairs, every, TWO_HUNDRED, wrapped)
    assert scores.iou[[3, dryer]] == pytest.approx([8 / 16, 4 / 12]) and scores.points[dryer] == 12
    without = Partition((), tuple(c for c in range(200) if c != dryer), (dryer,))
    scores = semantic_scores(pairs, without, TWO_HUNDRED, wrapped)
    assert scores.iou[3] == pytest.approx(1) and scores.points[dryer] == 0


def test_binary_head_is_scored_on_both_sides() -> None:
    # Class 0 base, class 2 novel, class 9 ignored and so "novel", then unlabelled. Columns: says novel, says base.
    binary = np.zeros((21, 2), np.int64)
    binary[0], binary[2], binary[9], binary[-1] = (1, 3), (4, 1), (0, 5), (100, 0)
    roles = Partition((0,), (2,), tuple(c for c in range(20) if c not in (0, 2)))
    found = binary_scores(binary, roles, TWENTY, BASE)
    assert found == {"binary_allAcc": pytest.approx(7 / 14), "binary_mAcc": pytest.approx((3 / 4 + 4 / 10) / 2)}
    assert binary_scores(np.zeros((21, 2), np.int64), roles, TWENTY, BASE) == {}


def test_class_sets() -> None:
    assert len(TWENTY.names) == 20 and TWENTY.raw_ids[-1] == 39 and TWENTY.prompts[15] == "showercurtain"
    assert len(TWO_HUNDRED.names) == 200 and TWO_HUNDRED.train_only == (
        98, 136, 147, 153, 159, 166, 167, 183, 186, 191, 198,
    )  # fmt: skip
    assert TWENTY.index("shower curtain") == TWENTY.index("showercurtain") == 15
    with pytest.raises(KeyError):
        TWENTY.index("lamp")
