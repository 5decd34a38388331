"""Label modes against a loop over points."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from regionzoo.classes import class_set
from regionzoo.models.settings import Partition
from regionzoo.settings.train import Classes
from regionzoo.training.labels import annotation, binary_labels, evaluation_labels, partition_of, training_labels

B15N4 = partition_of(
    Classes(set="scannet20", novel=("sofa", "bookshelf", "desk", "toilet"), ignore=("otherfurniture",))
)


def test_b15n4_is_the_published_partition() -> None:
    assert B15N4.base_idx == (0, 1, 2, 3, 4, 6, 7, 8, 10, 11, 13, 14, 15, 17, 18)
    assert B15N4.novel_idx == (5, 9, 12, 16) and B15N4.ignore_idx == (19,)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-100, -1, 255, 156, *range(20)]), max_size=60))
def test_modes(values: list[int]) -> None:
    labels = np.array(values, np.int16)
    base, known = B15N4.base_idx, range(20)
    assert training_labels(labels, B15N4).tolist() == [base.index(v) if v in base else -100 for v in values]
    assert evaluation_labels(labels, B15N4).tolist() == [v if v in known and v != 19 else -100 for v in values]
    assert binary_labels(labels, B15N4).tolist() == [float(v in base) if v in known else -100.0 for v in values]


def test_no_novel_label_reaches_training() -> None:
    labels = np.arange(20, dtype=np.int16)
    kept = training_labels(labels, B15N4) != -100
    assert not kept[list(B15N4.novel_idx)].any() and not kept[list(B15N4.ignore_idx)].any()


def test_without_annotation() -> None:
    free = partition_of(Classes(set="scannet20", annotated=False, ignore=("wall", "floor", "otherfurniture")))
    assert free == Partition(base_idx=(), novel_idx=tuple(range(2, 19)), ignore_idx=(0, 1, 19))
    labels = np.array([0, 2, 18, 19, -100], np.int16)
    assert training_labels(labels, free).tolist() == [-100, 0, 16, -100, -100]


def test_unlabelled_points_become_a_class_only_if_told() -> None:
    classes = Classes(set="scannet200", novel=class_set("scannet200").names[:30])
    labels = np.array([-100, 30, 0])
    seen = annotation(labels, classes)
    assert training_labels(seen, partition_of(classes)).tolist() == [-100, 0, -100]
    assert binary_labels(seen, partition_of(classes)).tolist() == [-100, 1, 0]
    wrapped = classes.model_copy(update={"unlabelled_as": "hair dryer"})
    # The original, literally: 256 entries, indexed with the raw value, so that -100 reads entry 156.
    table = np.full(256, -100)
    table[list(partition_of(classes).base_idx)] = np.arange(170)
    seen = annotation(labels, wrapped)
    assert training_labels(seen, partition_of(wrapped)).tolist() == table[labels].tolist() == [126, 0, -100]
    assert binary_labels(seen, partition_of(wrapped)).tolist() == [1, 1, 0]
    assert labels.tolist() == [-100, 30, 0]
