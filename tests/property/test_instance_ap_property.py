"""Instance scores against a literal evaluation with sets of points, and masks as runs against plain masks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from instance_cases import CLASSES, Room, precision_by_hand, random_room

from regionzoo.evaluation.instance_ap import THRESHOLDS, class_precision, instance_scores
from regionzoo.evaluation.instance_matches import Matches, instance_truth, overlaps, scene_matches
from regionzoo.evaluation.instance_protocols import instance_protocols
from regionzoo.evaluation.run_length import Masks, counts_text, masks_of_counts


def matches_of(rooms: list[Room]) -> Matches:
    parts = []
    for room in rooms:
        # Equal masks once, as the head saves them.
        unique = sorted({guess.points for guess in room.guesses}, key=sorted)
        masks = Masks.of([np.array(sorted(points), np.int64) for points in unique], len(room.labels))
        truth = instance_truth(np.array(room.labels, np.int16), np.array(room.instance, np.int32), CLASSES)
        parts.append(
            scene_matches(
                truth,
                masks,
                np.array([unique.index(guess.points) for guess in room.guesses], np.int32),
                np.array([guess.label for guess in room.guesses], np.int16),
                np.array([guess.score for guess in room.guesses], np.float32),
                room.no_proposals,
            )
        )
    return Matches.joined(parts)


@pytest.mark.parametrize("seed", range(150))
def test_precision_is_what_the_protocol_says(seed: int) -> None:
    rng = np.random.default_rng([7, seed])
    rooms = [random_room(rng) for _ in range(rng.integers(1, 4))]
    matches = matches_of(rooms)
    assert matches.scenes == len(rooms) and matches.unproposed == sum(room.no_proposals for room in rooms)
    for min_points in (1, 4, 9):
        for leave in (False, True):
            for label in CLASSES:
                found = class_precision(matches, label, min_points, leave)
                wanted = [precision_by_hand(rooms, label, t, min_points, leave) for t in THRESHOLDS.tolist()]
                np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_random_rooms_have_what_is_to_be_tested() -> None:
    """Otherwise the comparison above would be worth little."""
    rooms = [random_room(np.random.default_rng([7, seed])) for seed in range(300)]
    whole, low, shared = matches_of(rooms), 0, 0
    pairs = np.stack([whole.pair_prediction, whole.pair_true])
    iou = whole.pair_points / (whole.true_size[pairs[1]] + whole.size[pairs[0]] - whole.pair_points)
    for threshold in (0.25, 0.5):
        twice = np.unique(pairs[0][iou > threshold], return_counts=True)[1]
        low += int((twice > 1).sum()) if threshold < 0.5 else 0
        shared += int((np.unique(pairs[1][iou > threshold], return_counts=True)[1] > 1).sum())
        assert threshold < 0.5 or (twice == 1).all()
    assert low > 20 and shared > 200
    assert any(not room.labels for room in rooms) and any(not room.guesses for room in rooms)
    assert (whole.void > whole.size / 2).sum() > 100 and len(np.unique(whole.score)) < len(whole.score) / 2
    for label in CLASSES:
        found = class_precision(whole, label, 4, False)
        assert (found > 0).all() and found[0] > 0.04 and found[-1] > 0.2


def test_order_of_scenes_and_equal_scores_do_not_matter_above_a_half() -> None:
    rng = np.random.default_rng(11)
    rooms = [random_room(rng) for _ in range(12)]
    one, other = matches_of(rooms), matches_of(rooms[::-1])
    for label in CLASSES:
        np.testing.assert_allclose(
            class_precision(one, label, 4, True), class_precision(other, label, 4, True), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("seed", range(20))
def test_means_are_those_of_the_protocol(seed: int) -> None:
    rng = np.random.default_rng([13, seed])
    rooms = [random_room(rng) for _ in range(rng.integers(1, 3))]
    base, novel = CLASSES[:2], CLASSES[2:]
    for entry in instance_protocols().values():
        rules = entry.model_copy(update={"min_points": 4})
        scores = instance_scores(matches_of(rooms), base, novel, rules)
        leave = rules.no_proposals == "skipped"
        table = np.array(
            [[precision_by_hand(rooms, c, t, 4, leave) for t in THRESHOLDS.tolist()] for c in (*base, *novel)]
        )
        for name, columns in (("AP", range(9)), ("AP50", [0]), ("AP25", [9])):
            values = table[:, list(columns)].mean(axis=1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # the mean of no class
                b, n, both = (np.nan_to_num(np.nanmean(part)) for part in (values[:2], values[2:], values))
            np.testing.assert_allclose(scores.by_class[name], values, rtol=0, atol=1e-12)
            told = [scores.summary[key] for key in (f"{name}_base", f"{name}_novel", f"h{name}", name)]
            np.testing.assert_allclose(told, [b, n, 2 * b * n / (b + n + 1e-9), both], rtol=0, atol=1e-12)


MASKS = st.integers(0, 40).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.lists(st.booleans(), min_size=n, max_size=n), max_size=6))
)


@settings(max_examples=150, deadline=None)
@given(MASKS)
@example((3, [[True] * 3, [False] * 3, [True, False, True]]))
def test_masks_survive_as_runs_and_as_text(drawn: tuple[int, list[list[bool]]]) -> None:
    n, plain = drawn
    dense = np.array(plain, bool).reshape(len(plain), n)
    masks = Masks.of([np.flatnonzero(row) for row in dense], n)
    assert masks.problem() is None and len(masks) == len(dense)
    np.testing.assert_array_equal(masks.sizes(), dense.sum(axis=1))
    for m, row in enumerate(dense):
        np.testing.assert_array_equal(masks.mask(m), row)
        # The original's encoder.
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]]))) + 1
        edges[1::2] -= edges[::2]
        assert counts_text(masks, m) == " ".join(map(str, edges.tolist()))
    for first in range(len(dense) + 1):
        for last in range(first, len(dense) + 1):
            offsets, ids = masks.ids(first, last)
            np.testing.assert_array_equal(offsets, np.append(0, dense[first:last].sum(axis=1).cumsum()))
            np.testing.assert_array_equal(ids, np.nonzero(dense[first:last])[1])
    again = masks_of_counts([counts_text(masks, m) for m in range(len(masks))], n)
    for name in ("offsets", "starts", "lengths"):
        np.testing.assert_array_equal(getattr(again, name), getattr(masks, name))


@settings(max_examples=60, deadline=None)
@given(MASKS, st.integers(1, 30), st.integers(0, 1000))
def test_overlaps_count_points_whatever_fits_at_once(
    drawn: tuple[int, list[list[bool]]], at_once: int, seed: int
) -> None:
    n, plain = drawn
    dense = np.array(plain, bool).reshape(len(plain), n)
    values = np.random.default_rng(seed).integers(0, 5, n)
    masks = Masks.of([np.flatnonzero(row) for row in dense], n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("regionzoo.evaluation.instance_matches.POINTS_AT_ONCE", at_once)
        found = overlaps(masks, values, 5)
    np.testing.assert_array_equal(found, [[(row & (values == c)).sum() for c in range(5)] for row in dense] or found)
