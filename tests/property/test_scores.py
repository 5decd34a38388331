"""Every protocol against a literal count point by point, written from the sources that the protocols name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regionzoo.classes import class_set
from regionzoo.evaluation.counting import count_pairs
from regionzoo.evaluation.protocols import protocol
from regionzoo.evaluation.semantic import semantic_scores
from regionzoo.models.settings import Partition

UNLABELLED = -100
TRAIN_ONLY = {98, 136, 147, 153, 159, 166, 167, 183, 186, 191, 198}


@dataclass(frozen=True)
class Case:
    """A row's roles and the points of two scenes."""

    classes: int
    base: list[int]
    novel: list[int]
    ignored: list[int]
    truth: np.ndarray
    free_guess: np.ndarray

    def said(self, forbidden: set[int]) -> np.ndarray:
        """Predictions among all classes but some, close to the guess."""
        allowed = np.array([c for c in range(self.classes) if c not in forbidden])
        return allowed[np.searchsorted(allowed, self.free_guess).clip(max=len(allowed) - 1)]

    @property
    def set(self) -> str:
        return f"scannet{self.classes}"

    @property
    def roles(self) -> Partition:
        return Partition(tuple(self.base), tuple(self.novel), tuple(self.ignored))


def draw_case(classes: int, annotated: bool, seed: int, n: int) -> Case:
    rng = np.random.default_rng([seed, classes, annotated])
    order = rng.permutation(classes)
    ignored = sorted(order[: rng.integers(0, classes // 4)].tolist())
    rest = [c for c in order.tolist() if c not in ignored]
    cut = int(rng.integers(1, len(rest) - 1)) if annotated else 0
    # Few classes occur, so that some meet and most are absent.
    seen = rng.permutation(classes)[: rng.integers(1, 12)]
    truth = np.where(rng.random(n) < 0.2, UNLABELLED, rng.choice(seen, n))
    guess = np.where(rng.random(n) < 0.5, np.where(truth < 0, seen[0], truth), rng.choice(seen, n))
    return Case(classes, sorted(rest[:cut]), sorted(rest[cut:]), ignored, truth, guess)


def cases(classes: int, annotated: bool) -> st.SearchStrategy[Case]:
    return st.builds(
        draw_case, st.just(classes), st.just(annotated), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 5, 60, 300])
    )


def summary(case: Case, identifier: str, said: np.ndarray) -> dict[str, float]:
    """The code under test, with the points in two scenes."""
    half = len(said) // 2
    pairs = sum(
        count_pairs(case.truth[part], said[part].astype(np.int16), case.classes, case.classes)
        for part in (slice(half), slice(half, None))
    )
    return semantic_scores(pairs, case.roles, class_set(case.set), protocol(identifier)).summary


def close(found: dict[str, float], expected: dict[str, float]) -> None:
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-7)


def regionplc(case: Case, said: np.ndarray, wrapped: bool) -> tuple[np.ndarray, np.ndarray]:
    """IoU and accuracy of every class as the original takes them: a look-up of 256 entries, then counts of points."""
    table = np.full(256, UNLABELLED)
    for c in range(case.classes):
        if c not in case.ignored:
            table[c] = c
    # A file may say "unlabelled" with -100, which reads entry 156, or with -1, which reads entry 255.
    stored = case.truth if wrapped else np.where(case.truth == UNLABELLED, -1, case.truth)
    target = table[stored]
    iou, accuracy = np.zeros(case.classes), np.zeros(case.classes)
    for c in range(case.classes):
        hit = int(((target == c) & (said == c)).sum())
        in_target, in_said = int((target == c).sum()), int(((said == c) & (target != UNLABELLED)).sum())
        iou[c] = hit / (in_said + in_target - hit + 1e-10)
        accuracy[c] = hit / (in_target + 1e-10)
    return iou, accuracy


@settings(max_examples=60, deadline=None)
@given(case=st.one_of(cases(20, True), cases(200, True)), wrapped=st.booleans())
def test_base_and_novel_as_the_original(case: Case, wrapped: bool) -> None:
    wrapped = wrapped and case.classes == 200
    said = case.said(set(case.ignored))
    iou, accuracy = regionplc(case, said, wrapped)
    gone = TRAIN_ONLY if case.classes == 200 else set()
    base, novel = ([c for c in side if c not in gone] for side in (case.base, case.novel))
    expected = {}
    for short, values in (("IoU", iou), ("Acc", accuracy)):
        b, n = (float(np.mean([values[c] for c in side])) if side else 0.0 for side in (base, novel))
        expected |= {f"m{short}_base": b, f"m{short}_novel": n, f"h{short}": 2 * b * n / (b + n + 1e-9)}
        expected[f"m{short}"] = (b * len(base) + n * len(novel)) / max(len(base) + len(novel), 1)
    close(summary(case, "regionplc-base-wrapped/1" if wrapped else "regionplc-base/1", said), expected)


@settings(max_examples=60, deadline=None)
@given(case=st.one_of(cases(20, False), cases(200, False)), wrapped=st.booleans())
def test_annotation_free_as_the_original(case: Case, wrapped: bool) -> None:
    wrapped = wrapped and case.classes == 200
    said = case.said(set(case.ignored))
    iou, accuracy = regionplc(case, said, wrapped)
    valid = [c for c in range(case.classes) if c not in case.ignored]
    expected = {"mIoU": float(np.mean(iou[valid])), "mAcc": float(np.mean(accuracy[valid]))}
    close(summary(case, "regionplc-free-wrapped/1" if wrapped else "regionplc-free/1", said), expected)


@settings(max_examples=60, deadline=None)
@given(case=st.one_of(cases(20, True), cases(200, False)))
def test_all_classes_as_the_benchmark(case: Case) -> None:
    said = case.said(set())
    confusion: dict[tuple[int, int], int] = {}
    for true, guess in zip(case.truth.tolist(), said.tolist(), strict=True):
        if true != UNLABELLED:
            confusion[true, guess] = confusion.get((true, guess), 0) + 1
    ious, accuracies = [], []
    for c in range(case.classes):
        if case.classes == 200 and c in TRAIN_ONLY:
            continue
        tp = confusion.get((c, c), 0)
        fn = sum(n for (true, _), n in confusion.items() if true == c) - tp
        fp = sum(n for (_, guess), n in confusion.items() if guess == c) - tp
        if tp + fp + fn:
            ious.append(tp / (tp + fp + fn))
        if tp + fn:
            accuracies.append(tp / (tp + fn))
    expected = {"mIoU": sum(ious) / max(len(ious), 1), "mAcc": sum(accuracies) / max(len(accuracies), 1)}
    close(summary(case, f"all-{case.classes}/1", said), expected)


@settings(max_examples=60, deadline=None)
@given(case=st.one_of(cases(20, False), cases(200, True)))
def test_foreground_as_mosaic3d(case: Case) -> None:
    names = class_set(case.set).names
    back = {c for c, name in enumerate(names) if name in ("wall", "floor", "ceiling") or "other" in name}
    said = case.said(back)
    ious, accuracies = [], []
    for c in set(range(case.classes)) - back:
        tp = fp = fn = 0
        for true, guess in zip(case.truth.tolist(), said.tolist(), strict=True):
            if true == UNLABELLED or true in back:
                continue
            tp, fp, fn = tp + (true == guess == c), fp + (guess == c != true), fn + (true == c != guess)
        ious.append(tp / (tp + fp + fn) if tp + fp + fn else 0)
        accuracies.append(tp / (tp + fn) if tp + fn else 0)
    assert len(ious) == (17 if case.classes == 20 else 197)
    expected = {"mIoU": sum(ious) / len(ious), "mAcc": sum(accuracies) / len(accuracies)}
    close(summary(case, f"foreground-{len(ious)}/1", said), expected)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 200))
def test_counts_are_of_points(seed: int, classes: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    truth, said = rng.integers(-1, classes + 1, n), rng.integers(0, classes, n)
    truth[truth < 0] = UNLABELLED
    expected = np.zeros((classes + 1, classes), int)
    for true, guess in zip(truth, said, strict=True):
        expected[true if 0 <= true < classes else classes, guess] += 1
    np.testing.assert_array_equal(count_pairs(truth, said, classes, classes), expected)
