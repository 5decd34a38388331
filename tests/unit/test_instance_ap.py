"""Instance scores: numbers worked out by hand, protocols, scoring from files, and true instances of stored scenes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from raw_scene import random_scene as random_raw_scene
from raw_scene import write_scene, write_table
from saved_instances import SavedInstances, save_random_instances, write_facts
from saved_predictions import B15N4, FREE20

from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.evaluation.instance_ap import THRESHOLDS, area, class_precision
from regionzoo.evaluation.instance_matches import Matches, instance_truth, scene_matches
from regionzoo.evaluation.instance_protocols import instance_protocol, instance_protocols, parse
from regionzoo.evaluation.instance_score import per_class_table, score_instances
from regionzoo.evaluation.instance_store import SUFFIX, load_instances
from regionzoo.evaluation.run_length import Masks
from regionzoo.models.settings import Partition
from regionzoo.scenes.instances import instance_ids
from regionzoo.scenes.scannet import ScanNetRoot, pointgroup_instances, read_scene
from regionzoo.scenes.store import Scene

# What a version says, for ever. A changed rule is a new entry with the next number; extend this table for it.
VERSIONS = {"regionplc-instance/1": "e90edc4a2b38", "scannet-instance/1": "e5775f58afdd"}


def scene_of(true: list[tuple[int, int]], guesses: list[tuple[int, float, range]], points: int = 100) -> Matches:
    """One scene: true objects (class, points) one after another, the rest void; guesses (class, score, points)."""
    labels, instance = np.full(points, -100), np.full(points, -100)
    at = 0
    for number, (label, size) in enumerate(true):
        labels[at : at + size], instance[at : at + size] = label, number
        at += size
    masks = Masks.of([np.array(each) for _, _, each in guesses], points)
    said, score = (np.array([guess[k] for guess in guesses]) for k in (0, 1))
    return scene_matches(instance_truth(labels, instance, (2, 3)), masks, np.arange(len(guesses)), said, score)


def ap(matches: Matches, threshold: float = 0.5, min_points: int = 5) -> float:
    return float(class_precision(matches, 2, min_points, False, np.array([threshold]))[0])


def test_a_perfect_prediction_scores_one() -> None:
    matches = scene_of([(2, 10)], [(2, 0.3, range(10))])
    # (precision 1, recall 1), then the artificial (1, 0): widths (1 - 0)/2 and (1 - 0)/2.
    assert class_precision(matches, 2, 5, False).tolist() == [1.0] * 10
    assert np.isnan(class_precision(matches, 3, 5, False)).all()


def test_of_two_on_one_object_the_better_score_counts_whatever_the_order() -> None:
    for scores in ((0.9, 0.4), (0.4, 0.9)):
        guesses = [(2, score, range(10)) for score in scores]
        # Points by score: both (1/2, 1), the better one (1, 1), the end (1, 0).
        assert ap(scene_of([(2, 10)], guesses)) == pytest.approx(0.5 * 0 + 1 * 0.5 + 1 * 0.5)
    # Equal scores are one point of the curve: (1/2, 1), (1, 0).
    assert ap(scene_of([(2, 10)], [(2, 0.4, range(10))] * 2)) == pytest.approx(0.5 * 0.5 + 0.5)


def test_iou_must_be_above_the_threshold() -> None:
    matches = scene_of([(2, 10)], [(2, 0.5, range(5))])
    # IoU 5/10: not above a half, and no void below, so it is missed and a false positive.
    assert ap(matches, 0.5) == 0.0 and ap(matches, 0.49) == 1.0


def test_void_and_small_objects_excuse_false_positives() -> None:
    right = (2, 0.5, range(10))
    true = [(2, 10), (3, 20), (2, 4)]
    # Higher scores than the right one: on another class (wrong), on void, on an object too small to count.
    wrong = (2, 0.9, range(12, 22))
    assert ap(scene_of(true, [right, wrong])) == pytest.approx(0.5 * 0.5 + 0 * 0.5 + 0.5 * 1 / 2 * 0 + 1 * 0)
    assert ap(scene_of(true, [right, (2, 0.9, range(40, 60))])) == 1.0
    assert ap(scene_of(true, [right, (2, 0.9, range(30, 40))])) == 1.0
    # Half of its points on void does not exceed a half.
    assert ap(scene_of([(2, 10), (3, 20)], [right, (2, 0.9, range(25, 35))])) < 1.0
    # A small object counts from its size on: 4 points.
    assert ap(scene_of(true, [right]), min_points=4) == pytest.approx(0.5)


def test_a_taken_prediction_claims_no_second_object() -> None:
    # One prediction over two objects of 10: IoU 1/2 with each, so above 0.25 with both.
    matches = scene_of([(2, 10), (2, 10)], [(2, 0.5, range(20))])
    assert ap(matches, 0.25) == pytest.approx(0.5)  # one found, one missed
    # The first object is held by the exact one, which comes first; the other is then free for the second object, though
    # it lost the first to a higher score.
    matches = scene_of([(2, 10), (2, 10)], [(2, 0.9, range(10)), (2, 0.5, range(20))])
    # 0.5 counts twice: as false positive of the first object, and as the one that finds the second.
    assert ap(matches, 0.25) == pytest.approx(2 / 3 * (1 - 0.5) / 2 + 1 * (1 - 0) / 2 + 1 * 0.5 / 2)


def test_without_predictions_or_with_excused_ones_alone_the_score_is_zero() -> None:
    assert ap(scene_of([(2, 10)], [])) == 0.0
    assert ap(scene_of([(2, 10)], [(2, 0.5, range(50, 60))])) == 0.0
    assert ap(scene_of([(2, 10)], [(2, 0.5, range(3))])) == 0.0  # too small to count
    assert np.isnan(ap(scene_of([(2, 4)], [(2, 0.5, range(4))])))
    assert area(np.zeros(0), np.zeros(0, bool), 3) == 0.0


def test_there_are_nine_thresholds_and_a_quarter() -> None:
    np.testing.assert_allclose(THRESHOLDS, [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.25])


def test_objects_are_groups_that_are_no_wall_or_floor(tmp_path: Path) -> None:
    for seed in range(8):
        write_table(tmp_path)
        (tmp_path / "list.txt").write_text("scene0000_00\n")
        write_scene(tmp_path, random_raw_scene("scene0000_00", seed, points=300, segments=30))
        root = ScanNetRoot.open(tmp_path, {"val": "list.txt"})
        scene = read_scene(root, "scene0000_00", "val")
        numbered = pointgroup_instances(scene, root.table)
        found = instance_ids(scene.labels["scannet20"], scene.group)
        np.testing.assert_array_equal(found >= 0, numbered >= 0)
        pairs = set(zip(found.tolist(), numbered.tolist(), strict=True))
        assert len(pairs) == len(np.unique(found)) == len(np.unique(numbered))
        # In the same order, so that instances are gone through in the original's.
        assert [b for _, b in sorted(pairs)] == sorted(b for _, b in pairs)


def test_true_instances_split_by_label_and_leave_out_the_rest() -> None:
    labels = np.array([2, 2, 0, -100, 19, 3, 3, 2, 4, 2])
    group = np.array([5, 5, 1, 2, 3, 5, 6, 0, 0, -100])
    truth = instance_truth(labels, group, (2, 3))
    assert truth.label.tolist() == [2, 2, 3, 3]
    assert truth.of_point.tolist() == [1, 1, 4, 4, 4, 2, 3, 0, 4, 4]
    assert instance_truth(labels[:0], group[:0], (2, 3)).label.tolist() == []


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedInstances:
    return save_random_instances(tmp_path_factory.mktemp("saved"))


def codes(scene: Scene) -> np.ndarray:
    """The original's ground truth: (class - 1) * 1000 + object + 1, 0 for all that is no object of the 17 classes."""
    label = scene.labels["scannet20"].astype(int)
    return np.where((label >= 2) & (label <= 18) & (scene.group >= 0), (label - 1) * 1000 + scene.group + 1, 0)


def greedy_ap50(saved: SavedInstances, c: int, min_points: int, leave: bool) -> float:
    """AP50 of a class with dense masks, for sets of predictions where at most one object is above the threshold."""
    judged, missed = [], 0
    for scene, found in zip(saved.truth, saved.found, strict=True):
        if leave and found.no_proposals:
            continue
        truth = codes(scene)
        of_class = [code for code in np.unique(truth) if code // 1000 == c - 1]
        mine = [k for k in range(len(found)) if found.label[k] == c]
        guesses = [(found.masks.mask(found.mask[k]), found.score[k]) for k in mine]
        guesses = [(mask, s) for mask, s in guesses if mask.sum() >= min_points]
        over = {}
        for code in of_class:
            points = truth == code
            over[code] = [
                k for k, (mask, _) in enumerate(guesses) if (mask & points).sum() / (mask | points).sum() > 0.5
            ]
        large = [code for code in of_class if (truth == code).sum() >= min_points]
        for code in large:
            scores = sorted(guesses[k][1] for k in over[code])
            judged += [(s, False) for s in scores[:-1]] + [(s, True) for s in scores[-1:]]
            missed += not scores
        for k, (mask, s) in enumerate(guesses):
            lost = (truth == 0) | np.isin(truth, list(set(of_class) - set(large)))
            if not any(k in each for each in over.values()) and (mask & lost).sum() / mask.sum() <= 0.5:
                judged.append((s, False))
    right = sum(hit for _, hit in judged)
    curve = []
    for cut in sorted({s for s, _ in judged}):
        hits = [hit for s, hit in judged if s >= cut]
        curve.append((sum(hits) / len(hits), sum(hits) / (right + missed)))
    recall = [curve[0][1], *(r for _, r in curve), 0.0, 0.0]
    return sum(p * (recall[k] - recall[k + 2]) / 2 for k, (p, _) in enumerate([*curve, (1.0, 0.0)]))


def test_scoring_from_files(saved: SavedInstances) -> None:
    scored = score_instances(saved.predictions, saved.scenes)
    assert list(scored.by_protocol) == list(instance_protocols())
    assert (scored.scenes, scored.points, scored.unproposed) == (4, 6000, 1)
    assert scored.predictions == sum(len(found) for found in saved.found)
    values = []
    for identifier, min_points, leave in (("regionplc-instance/1", 50, True), ("scannet-instance/1", 100, False)):
        own = scored.by_protocol[identifier]
        assert own.averaged == {"base": 13, "novel": 4}
        for c in (2, 4, 5, 9):
            wanted = greedy_ap50(saved, c, min_points, leave)
            assert 0 < wanted < 1
            assert own.scores.by_class["AP50"][own.scores.classes.index(c)] == pytest.approx(wanted, abs=1e-12)
        ap50 = dict(zip(own.scores.classes, own.scores.by_class["AP50"], strict=True))
        b, n = (np.nanmean([ap50[c] for c in side if c > 1]) for side in (B15N4.base_idx, B15N4.novel_idx))
        told = own.metrics
        assert [told["AP50_base"], told["AP50_novel"]] == pytest.approx([100 * b, 100 * n], abs=0.006)
        assert told["hAP50"] == pytest.approx(200 * b * n / (b + n), abs=0.006)
        assert set(told) == {f"{head}{name}{side}" for name in ("AP", "AP50", "AP25")
                             for head, side in (("h", ""), ("", "_base"), ("", "_novel"), ("", ""))}  # fmt: skip
        values.append(told["hAP50"])
        table = per_class_table(own.scores, "scannet20", B15N4)
        assert list(table.columns) == ["class", "role", "ap", "ap50", "ap25", "instances", "predictions"]
        assert len(table) == 17 and table["class"][0] == "cabinet" and set(table["role"]) == {"base", "novel"}
        absent = table[table["class"] == "bed"].iloc[0]
        assert absent["ap50"] is None and absent["instances"] == 0
    assert values[0] != values[1]


def test_a_choice_of_protocols(saved: SavedInstances) -> None:
    scored = score_instances(saved.predictions, saved.scenes, ["scannet-instance/1"])
    assert list(scored.by_protocol) == ["scannet-instance/1"]
    with pytest.raises(UserError, match="no protocol of instance scores 'scanet-instance/1'; did you mean 'scannet-in"):
        score_instances(saved.predictions, saved.scenes, ["scanet-instance/1"])


def test_files_that_do_not_match_are_refused(tmp_path: Path) -> None:
    saved = save_random_instances(tmp_path, scenes=2)
    one, two = (saved.predictions / f"scene000{k}_00{SUFFIX}" for k in (0, 1))

    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message):
            score_instances(saved.predictions, saved.scenes)

    one.write_bytes(two.read_bytes())
    refused("scene0000_00: .*differs from the manifest")
    write_facts(saved.predictions)
    refused("scene0001_00: .*scene0000_00.instances.safetensors: made for other vertices")
    one.unlink()
    refused("scene0000_00: .*no predicted instances for this scene")
    write_facts(saved.predictions)
    refused("scene0000_00: .*its manifest has no instances for this scene")


def test_a_published_version_never_changes() -> None:
    def rule(identifier: str) -> str:
        kept = instance_protocol(identifier).model_copy(update={"title": "", "source": "", "class_sets": ()})
        return hashlib.sha256(kept.canonical().encode()).hexdigest()[:12]

    assert {identifier: rule(identifier) for identifier in instance_protocols()} == VERSIONS


def test_what_protocols_say() -> None:
    ours, official = instance_protocols().values()
    assert (ours.min_points, ours.no_proposals, official.min_points, official.no_proposals) == (
        50, "skipped", 100, "counted",
    )  # fmt: skip
    names = class_set("scannet20").names
    for novel, counts in (((5, 9, 12, 16), (13, 4)), ((3, 5, 7, 9, 11, 13, 16), (10, 7))):
        roles = Partition(tuple(c for c in range(19) if c not in novel), novel, (19,))
        sides = ours.averaged(roles, "scannet20")
        assert (len(sides["base"]), len(sides["novel"])) == counts
        assert {names[c] for c in range(20)} - {names[c] for c in sum(sides.values(), ())} == {
            "wall", "floor", "otherfurniture",
        }  # fmt: skip
    assert "without annotation" in (ours.misfit("scannet20", FREE20) or "")
    assert "is for scannet20, not scannet200" in (ours.misfit("scannet200", B15N4) or "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("min_points: 0", "instance_protocols.yaml: a/1: min_points"),
        ("excluded: [sky]", "no class 'sky' in scannet20"),
        ("class_sets: [nyu40]", "no class set 'nyu40'"),
        ("no_proposal: counted", "unknown key; did you mean 'no_proposals'"),
    ],
)
def test_protocols_that_are_none_are_refused(change: str, message: str) -> None:
    entry = {
        "id": "a/1", "title": "a", "source": "b", "class_sets": "[scannet20]", "excluded": "[wall]", "min_points": "50",
        "no_proposals": "counted",
    }  # fmt: skip

    def text(values: dict[str, str]) -> str:
        return "- " + "\n  ".join(f"{key}: {value}" for key, value in values.items())

    assert list(parse(text(entry))) == ["a/1"]
    with pytest.raises(UserError, match="2 entries of this id"):
        parse(f"{text(entry)}\n{text(entry)}")
    key, value = change.split(": ")
    with pytest.raises(UserError, match=message):
        parse(text(entry | {key: value}))


def test_scores_do_not_depend_on_what_else_is_saved(saved: SavedInstances) -> None:
    file = saved.predictions / f"scene0000_00{SUFFIX}"
    found = load_instances(file, saved.truth[0].coords_sha256, len(saved.truth[0]))
    order = np.random.default_rng(0).permutation(len(found.masks))
    offsets, ids = found.masks.ids()
    parts = np.split(ids, offsets[1:-1])
    shuffled = Masks.of([parts[m] for m in order], found.masks.points)
    scene = saved.truth[0]
    truth = instance_truth(scene.labels["scannet20"], scene.group, range(2, 19))
    one = scene_matches(truth, found.masks, found.mask, found.label, found.score)
    other = scene_matches(truth, shuffled, np.argsort(order)[found.mask], found.label, found.score)
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(other, name))
