"""The store of predicted instances: what is written is what is read, and nothing else is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from regionzoo.artifacts import sha256_file, write_safetensors
from regionzoo.errors import SceneError
from regionzoo.evaluation.instance_store import SUFFIX, InstancePredictions, load_instances, save_instances
from regionzoo.evaluation.run_length import Masks, masks_of_counts

N = 12
VERTICES = "ab" * 32
MASKS = [np.array([0, 1, 2, 7, 8]), np.array([11]), np.array([4, 6])]


def some(**changes: object) -> InstancePredictions:
    made = InstancePredictions(
        "scene0000_00",
        VERTICES,
        Masks.of(MASKS, N),
        np.array([0, 0, 2, 1], np.int32),
        np.array([2, 5, 18, 4], np.int16),
        np.array([0.5, 0.25, 1.0, 0.0], np.float32),
    )
    return replace(made, **changes)


def nothing(no_proposals: bool) -> InstancePredictions:
    empty = np.zeros(0)
    return InstancePredictions("scene0000_00", VERTICES, Masks.of([], N), empty, empty, empty, no_proposals)


@pytest.mark.parametrize("made", [some(), nothing(True), nothing(False)])
def test_round_trip(tmp_path: Path, made: InstancePredictions) -> None:
    path = tmp_path / f"scene0000_00{SUFFIX}"
    save_instances(path, made)
    read = load_instances(path, VERTICES, N, sha256_file(path))
    told = ("scene_id", "coords_sha256", "no_proposals", "class_set")
    assert [getattr(read, name) for name in told] == [getattr(made, name) for name in told]
    assert len(read) == len(made) and read.masks.points == N
    for name, kind in (("mask", np.int32), ("label", np.int16), ("score", np.float32)):
        assert getattr(read, name).dtype == kind
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
    for name in ("offsets", "starts", "lengths"):
        assert getattr(read.masks, name).dtype == np.int32
        np.testing.assert_array_equal(getattr(read.masks, name), getattr(made.masks, name))
    save_instances(tmp_path / "again", read)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_masks_are_stored_as_runs() -> None:
    masks = some().masks
    assert masks.offsets.tolist() == [0, 2, 3, 5]
    assert masks.starts.tolist() == [0, 7, 11, 4, 6] and masks.lengths.tolist() == [3, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[0, 0]], "ascend strictly"),
        ([[3, 2]], "ascend strictly"),
        ([[0, 12]], "point ids 0..12 outside 0..11"),
        ([[-1, 2]], "point ids -1..2 outside 0..11"),
    ],
)
def test_ids_that_are_no_mask_are_refused(ids: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Masks.of([np.array(each) for each in ids], N)


@pytest.mark.parametrize(
    ("text", "message"),
    [("1 2 3", "pairs"), ("0 2", "outside"), ("12 2", "outside"), ("1 2 3 1", "touch"), ("5 1 1 1", "do not ascend")],
)
def test_text_that_is_no_mask_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        masks_of_counts([text], N)


def runs(offsets: list[int], starts: list[int], lengths: list[int], points: int = N) -> Masks:
    return Masks(*(np.array(values, np.int32) for values in (offsets, starts, lengths)), points)


BAD = [
    (some(mask=np.array([0, 0, 3, 1], np.int32)), r"'mask' has values 0..3 outside 0..2"),
    (some(label=np.array([2, 5, 20, 4], np.int16)), r"'label' has values 2..20 outside 0..19"),
    (some(label=np.array([2, -1, 5, 4], np.int16)), r"'label' has values -1..5 outside"),
    (some(score=np.array([0.5, np.nan, 0.5, 0.5], np.float32)), r"'score' has values nan..nan outside 0..1"),
    (some(score=np.array([0.5, 1.5, 0.5, 0.5], np.float32)), r"'score' has values 0.5..1.5 outside 0..1"),
    (some(score=np.zeros(3, np.float32)), "4 masks, 4 labels and 3 scores"),
    (some(no_proposals=True), "no proposals, and yet predictions"),
    (some(class_set="nyu40"), "no class set 'nyu40'"),
    (some(masks=runs([0, 2, 3, 4], [0, 7, 11, 4, 6], [3, 2, 1, 1, 1])), "offsets of masks do not fit"),
    (some(masks=runs([0, 3, 2, 5], [0, 7, 11, 4, 6], [3, 2, 1, 1, 1])), "offsets of masks do not fit"),
    (some(masks=runs([0, 2, 3, 5], [0, 7, 11, 4, 6], [3, 2, 1, 1, 7])), "runs outside of 0..11"),
    (some(masks=runs([0, 2, 3, 5], [0, 7, 11, 4, 6], [3, 0, 1, 1, 1])), "runs outside of 0..11"),
    (some(masks=runs([0, 2, 3, 5], [0, 3, 11, 4, 6], [3, 2, 1, 1, 1])), "touch or do not ascend"),
]


@pytest.mark.parametrize(("made", "message"), BAD)
def test_what_does_not_fit_together_is_neither_saved_nor_read(
    tmp_path: Path, made: InstancePredictions, message: str
) -> None:
    path = tmp_path / f"scene0000_00{SUFFIX}"
    with pytest.raises(ValueError, match=message):
        save_instances(path, made)
    assert list(tmp_path.iterdir()) == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InstancePredictions, "problem", lambda self: None)
        save_instances(path, made)
    with pytest.raises(SceneError, match=message) as caught:
        load_instances(path, VERTICES, N)
    assert str(caught.value).startswith("scene0000_00: ") and "run the predict rule again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / f"scene0000_00{SUFFIX}"

    def refused(message: str, vertices: str = VERTICES, points: int = N, sha256: str | None = None) -> None:
        with pytest.raises(SceneError, match=message) as caught:
            load_instances(path, vertices, points, sha256)
        assert str(caught.value).startswith("scene0000_00: ") and "\n" not in str(caught.value)

    refused("no predicted instances for this scene")
    save_instances(path, some())
    digest, whole = sha256_file(path), path.read_bytes()
    refused("made for other vertices", vertices="cd" * 32)
    refused("made for 12 points, the scene has 13", points=13)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused("differs from the manifest", sha256=digest)
    path.write_bytes(whole[:100])
    refused("damaged")
    write_safetensors(path, {"a": np.zeros(1)}, {"format": "1"})
    refused("no file of predicted instances")
    write_safetensors(path, {"a": np.zeros(1)}, {"format": "2", "kind": "instances"})
    refused("format 2, expected 1")
    facts = {"format": "1", "kind": "instances", "scene_id": "scene0000_00", "coords_sha256": VERTICES}
    write_safetensors(path, {"a": np.zeros(1)}, facts)
    refused("its metadata lack 'class_set'")
    facts |= {"class_set": "scannet20", "points": "12", "no_proposals": "false"}
    write_safetensors(path, {"offsets": np.zeros(1, np.int64)}, facts)
    refused("'offsets' is missing or not a int32 vector")
