"""Scores against a per-point count and against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.evaluation.protocols import Protocol, protocol
from regionzoo.evaluation.semantic import confusion, semantic_scores

BASE = protocol("regionplc-base/1")


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 200))
def test_confusion_counts_points(seed: int, classes: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.integers(-1, classes, n)
    target[target < 0] = -100
    predicted = rng.integers(0, classes, n)
    expected = np.zeros((classes, classes), int)
    for t, p in zip(target, predicted, strict=True):
        if t != -100:
            expected[t, p] += 1
    np.testing.assert_array_equal(confusion(target, predicted, classes, -100), expected)


def test_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="prediction"):
        confusion(np.array([0]), np.array([3]), 3, -100)
    with pytest.raises(ValueError, match="target"):
        confusion(np.array([-1]), np.array([0]), 3, -100)


def test_hand_worked_base_and_novel() -> None:
    # Classes: 0 and 1 base, 2 novel, 3 novel without points, 4 ignored.
    matrix = np.array([[6, 2, 0, 0, 0], [0, 4, 0, 0, 0], [1, 0, 3, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    scores = semantic_scores(matrix, (0, 1), (2, 3), (), BASE)
    np.testing.assert_allclose(scores.iou, [6 / 9, 4 / 6, 3 / 4, 0, 0], atol=1e-9)
    b, n = (6 / 9 + 4 / 6) / 2, 3 / 8
    assert scores.summary["mIoU_base"] == pytest.approx(b)
    assert scores.summary["mIoU_novel"] == pytest.approx(n)  # the absent class counts as 0, not as missing
    assert scores.summary["hIoU"] == pytest.approx(2 * b * n / (b + n))
    assert scores.summary["mIoU"] == pytest.approx((b * 2 + n * 2) / 4)
    assert scores.summary["mAcc_base"] == pytest.approx((6 / 8 + 1) / 2)
    assert scores.summary["allAcc"] == pytest.approx(13 / 16)


def test_train_only_classes_leave_the_means_but_not_the_confusion() -> None:
    matrix = np.array([[5, 0, 5], [0, 8, 0], [0, 0, 0]])
    scores = semantic_scores(matrix, (0, 2), (1,), (2,), BASE)
    assert scores.summary["mIoU_base"] == pytest.approx(0.5)


def test_absent_classes_can_be_left_out() -> None:
    rules = Protocol("x/1", "valid", "nan", "include", "", False)
    scores = semantic_scores(np.array([[4, 0], [0, 0]]), (0, 1), (), (), rules)
    assert scores.summary == {"allAcc": 1.0, "allPre": 1.0, "mIoU": pytest.approx(1.0), "mAcc": pytest.approx(1.0)}


def test_counts_of_scenes_add_up() -> None:
    rng = np.random.default_rng(0)
    scenes = [(rng.integers(0, 4, 50), rng.integers(0, 4, 50)) for _ in range(3)]
    pooled = sum(confusion(t, p, 4, -100) for t, p in scenes)
    whole = confusion(np.concatenate([t for t, _ in scenes]), np.concatenate([p for _, p in scenes]), 4, -100)
    np.testing.assert_array_equal(pooled, whole)


def test_published_triple_is_its_own_harmonic_mean() -> None:
    assert pytest.approx(69.4, abs=0.1) == 2 * 68.2 * 70.7 / (68.2 + 70.7)


def test_unknown_protocol_names_the_valid_ones() -> None:
    with pytest.raises(UserError, match=r"valid: regionplc-base/1"):
        protocol("regionplc/1")


def test_class_sets() -> None:
    twenty, two_hundred = class_set("scannet20"), class_set("scannet200")
    assert len(twenty.names) == 20 and twenty.raw_ids[-1] == 39 and twenty.prompts[15] == "showercurtain"
    assert len(two_hundred.names) == 200 and two_hundred.train_only == (
        98, 136, 147, 153, 159, 166, 167, 183, 186, 191, 198,
    )  # fmt: skip
    assert twenty.index("shower curtain") == twenty.index("showercurtain") == 15
    with pytest.raises(KeyError):
        twenty.index("lamp")
