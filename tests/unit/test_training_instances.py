"""What an instance head is to find: numbers, classes and offsets of base instances, item by item and in a batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from tiny_instances import with_instances
from tiny_rooms import TinyRow, make_tiny_row, tiny_scene

from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.scenes.instances import instance_ids
from regionzoo.scenes.store import Scene, load_scene, save_scene
from regionzoo.settings.train import Classes
from regionzoo.text.table import load_table
from regionzoo.training import dataset
from regionzoo.training.collate import collate
from regionzoo.training.dataset import Item, TrainingScenes, evaluation_item
from regionzoo.training.instances import ItemInstances, item_instances
from regionzoo.training.labels import binary_labels, partition_of, training_labels

NAMES = class_set("scannet20").names
B13N4 = partition_of(
    Classes(set="scannet20", novel=("sofa", "bookshelf", "desk", "toilet"), ignore=("otherfurniture",))
)
# Training columns of the two base boxes of a tiny room: places of chair and table among the 15 base classes.
CHAIR, TABLE = 4, 5


# -- numbers, classes, offsets --------------------------------------------------------------------------------------


def check_by_hand(
    found: ItemInstances, ids: np.ndarray, labels: np.ndarray, binary: np.ndarray, points: np.ndarray
) -> None:
    """Compare with a loop over the points of each id; which instance has which number is free."""
    members: dict[int, list[int]] = {}
    for i in range(len(ids)):
        if ids[i] >= 0 and labels[i] >= 0 and binary[i] == 1:
            members.setdefault(int(ids[i]), []).append(i)
    numbers = [int(found.labels[inside[0]]) for inside in members.values()]
    assert sorted(numbers) == list(range(len(members))) and len(found.classes) == len(members)
    expected = np.full(len(ids), -100)
    offsets = np.zeros((len(ids), 3))
    for number, inside in zip(numbers, members.values(), strict=True):
        assert found.classes[number] == labels[inside[0]]
        centre = [sum(float(points[i, axis]) for i in inside) / len(inside) for axis in range(3)]
        for i in inside:
            expected[i] = number
            offsets[i] = [centre[axis] - float(points[i, axis]) for axis in range(3)]
    assert found.labels.tolist() == expected.tolist()
    np.testing.assert_allclose(found.offsets, offsets, atol=1e-5)
    assert (found.labels.dtype, found.classes.dtype, found.offsets.dtype) == (np.int64, np.int64, np.float32)


ONE_POINT = st.tuples(
    st.sampled_from([-100, -1, 0, 3, 4, 90_000]),
    st.sampled_from([-100, 0, 4, 14]),
    st.sampled_from([1.0, 1.0, 0.0, -100.0]),
    st.tuples(*[st.floats(-5, 5, width=32)] * 3),
)


@hypothesis(max_examples=80, deadline=None)
@given(st.lists(ONE_POINT, max_size=40))
def test_instances_equal_a_loop_over_the_points(rows: list[tuple[int, int, float, tuple[float, ...]]]) -> None:
    ids, labels, binary = (np.array([row[k] for row in rows]) for k in range(3))
    points = np.array([row[3] for row in rows], np.float32).reshape(-1, 3)
    ids, labels, binary = ids.astype(np.int32), labels.astype(np.int64), binary.astype(np.float32)
    check_by_hand(item_instances(ids, labels, binary, points), ids, labels, binary, points)


def test_novel_ignored_and_unlabelled_objects_give_no_instance() -> None:
    labels = np.repeat([*range(20), -100], 3)
    group = np.repeat(np.arange(21), 3)
    ids = instance_ids(labels, group)
    columns, binary = training_labels(labels, B13N4), binary_labels(labels, B13N4)
    found = item_instances(ids, columns, binary, np.zeros((63, 3), np.float32))
    named = {NAMES[label] for label in labels[found.labels >= 0]}
    assert named == {
        "cabinet", "bed", "chair", "table", "door", "window", "picture", "counter", "curtain", "refrigerator",
        "shower curtain", "sink", "bathtub",
    }  # fmt: skip
    assert [NAMES[B13N4.base_idx[c]] for c in found.classes] == [name for name in NAMES if name in named]


def test_a_point_that_is_no_base_point_leaves_its_instance() -> None:
    ids, points = np.array([5, 5, 5, 5, 2]), np.array([[0, 0, 0], [2, 0, 0], [10, 0, 0], [20, 0, 0], [1, 1, 1]])
    found = item_instances(
        ids, np.array([4, 4, -100, 4, 1]), np.array([1, 1, 1, 0, 1], np.float32), points.astype(np.float32)
    )
    assert found.labels.tolist() == [1, 1, -100, -100, 0] and found.classes.tolist() == [1, 4]
    assert found.offsets[:, 0].tolist() == [1, -1, 0, 0, 0]


# -- items ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRow:
    made = make_tiny_row(tmp_path_factory.mktemp("tiny"))
    settings = with_instances(made.settings)
    # A window of 1 m in rooms of 2 m: a crop keeps some objects whole, cuts some and loses some.
    cut = settings.augmentation.model_copy(update={"elastic": (), "crop_window": 10, "crop_step": 1})
    return replace(made, settings=settings.model_copy(update={"augmentation": cut}))


def scenes_of(tiny: TinyRow, **recipe: object) -> TrainingScenes:
    settings = tiny.settings.model_copy(update={"recipe": tiny.settings.recipe.model_copy(update=recipe)})
    return TrainingScenes(tiny.scenes, tiny.train_ids, tiny.captions, None, load_table(tiny.text), settings)


def without_head(scenes: TrainingScenes) -> TrainingScenes:
    settings = scenes.settings.model_copy(update={"instances": None})
    return TrainingScenes(scenes.scenes_dir, scenes.scene_ids, scenes.captions_dir, None, scenes.table, settings)


def names_of(item: Item, scene: Scene) -> np.ndarray:
    return np.array([NAMES[label] for label in scene.labels["scannet20"][item.origin]])


@pytest.mark.parametrize("max_points", [10_000, 350])
def test_items_have_the_base_boxes_that_are_left(tiny: TinyRow, max_points: int) -> None:
    scenes = scenes_of(tiny, max_points=max_points)
    sizes = set()
    for sample in range(12):
        item = scenes.item(sample % 2, sample % len(scenes))
        scene = load_scene(tiny.scenes / f"{item.scene_id}.safetensors")
        names, found = names_of(item, scene), item.instances
        assert found is not None
        np.testing.assert_array_equal(found.labels >= 0, np.isin(names, ["chair", "table"]))
        for number, column in enumerate(found.classes):
            inside = found.labels == number
            assert set(names[inside]) == {{CHAIR: "chair", TABLE: "table"}[int(column)]}
            # The points as the network sees them: turned, jittered, cropped.
            xyz = item.room.feats[inside, 3:].astype(np.float64)
            np.testing.assert_allclose(xyz + found.offsets[inside], np.tile(xyz.mean(0), (len(xyz), 1)), atol=1e-5)
            sizes.add(len(xyz))
    assert sizes == {150} if max_points == 10_000 else len(sizes) > 3


def test_the_head_changes_nothing_else_of_an_item(tiny: TinyRow) -> None:
    scenes = scenes_of(tiny)
    item, plain = scenes.item(0, 1), without_head(scenes).item(0, 1)
    assert plain.instances is None
    for name in ("voxels", "feats"):
        np.testing.assert_array_equal(getattr(item.room, name), getattr(plain.room, name))
    for name in ("origin", "labels", "binary"):
        np.testing.assert_array_equal(getattr(item, name), getattr(plain, name))


def test_a_crop_without_a_base_instance_is_drawn_again(tiny: TinyRow) -> None:
    scenes = scenes_of(tiny, max_points=60)
    lost = []
    for sample in range(60):
        epoch, k = divmod(sample, len(scenes))
        item, again, plain = scenes.item(epoch, k), scenes.item(epoch, k), without_head(scenes).item(epoch, k)
        assert item.instances is not None and len(item.instances.classes) and len(item.origin)
        np.testing.assert_array_equal(item.room.feats, again.room.feats)
        names = names_of(plain, load_scene(tiny.scenes / f"{plain.scene_id}.safetensors"))
        if not np.isin(names, ["chair", "table"]).any():
            lost.append((item.scene_id, plain.scene_id))
        else:
            np.testing.assert_array_equal(item.room.feats, plain.room.feats)
    # Some crops had none, and then another scene was drawn.
    assert 3 < len(lost) < 57 and any(drawn != first for drawn, first in lost)


def write_scenes(folder: Path, bare: list[int], count: int) -> list[str]:
    """Scenes of which those in ``bare`` have no chair and no table: their boxes are sofas and toilets."""
    twenty, ids = class_set("scannet20"), []
    swap = {twenty.index("chair"): twenty.index("sofa"), twenty.index("table"): twenty.index("otherfurniture")}
    for index in range(count):
        scene = tiny_scene(index, "train")
        if index in bare:
            labels = np.array([swap.get(int(label), label) for label in scene.labels["scannet20"]], np.int16)
            scene = replace(scene, labels=scene.labels | {"scannet20": labels})
        save_scene(folder / f"{scene.scene_id}.safetensors", scene)
        ids.append(scene.scene_id)
    (folder / "splits.json").write_text(json.dumps({"train": ids, "val": []}))
    return ids


def test_a_scene_without_base_instances_gives_way_to_another(tiny: TinyRow, tmp_path: Path) -> None:
    ids = write_scenes(tmp_path, [0, 2], 3)
    settings = tiny.settings
    scenes = TrainingScenes(tmp_path, ids, None, None, load_table(tiny.text), settings)
    assert {scenes.item(epoch, sample).scene_id for epoch in range(4) for sample in range(3)} == {ids[1]}
    assert without_head(scenes).item(0, 0).scene_id == ids[0]


def test_too_many_redraws_end_in_one_line(tiny: TinyRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = write_scenes(tmp_path, [0, 1], 2)
    scenes = TrainingScenes(tmp_path, ids, None, None, load_table(tiny.text), tiny.settings)
    drawn: list[str] = []
    draw = TrainingScenes._draw

    def counted(self: TrainingScenes, scene_id: str, seed: list[int], late: bool) -> Item:
        drawn.append(scene_id)
        return draw(self, scene_id, seed, late)

    monkeypatch.setattr(TrainingScenes, "_draw", counted)
    with pytest.raises(UserError, match="20 scenes had no instance of a base class in the crop window") as caught:
        scenes.item(0, 0)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert len(drawn) == dataset.MAX_REDRAWS == 20 and set(drawn) == set(ids)


# -- batches --------------------------------------------------------------------------------------------------------


def test_a_batch_numbers_the_instances_of_its_items(tiny: TinyRow) -> None:
    scenes = scenes_of(tiny, max_points=350)
    items = [scenes.item(0, sample) for sample in range(4)]
    batch = collate(items, scenes.table)
    targets = batch.instances
    assert targets is not None and batch.points is not None
    owner = [
        (k, int(number)) if number >= 0 else None for k, item in enumerate(items) for number in item.instances.labels
    ]
    told: dict[tuple[int, int], int] = {}
    for pair, number in zip(owner, targets.labels.tolist(), strict=True):
        if pair is None:
            assert number == -100
        else:
            assert told.setdefault(pair, number) == number
    # One number an instance, none twice, none left out.
    assert sorted(told.values()) == list(range(len(targets.classes)))
    assert len(told) == sum(len(item.instances.classes) for item in items) > 4
    for (k, number), joined in told.items():
        assert targets.classes[joined] == items[k].instances.classes[number]
    at = 0
    for item in items:
        rows = slice(at, at + len(item.origin))
        at += len(item.origin)
        np.testing.assert_array_equal(targets.offsets[rows], item.instances.offsets)
        np.testing.assert_array_equal(batch.points[rows], item.room.feats[:, [3, 4, 5]])
    assert at == batch.num_points == len(targets.labels) == len(batch.points)
    assert (targets.labels.dtype, targets.classes.dtype) == (torch.int64, torch.int64)
    assert targets.offsets.dtype == batch.points.dtype == torch.float32
    moved = batch.to("meta")
    assert moved.points.is_meta and all(value.is_meta for value in vars(moved.instances).values())


@pytest.mark.parametrize("max_points", [10_000, 350])
def test_a_batch_that_is_augmented_late_has_the_same_instances(tiny: TinyRow, max_points: int) -> None:
    scenes = scenes_of(tiny, max_points=max_points)
    late, at_once = (
        scenes.collate([scenes.item(1, k, kind) for k in range(4)], scenes.table, (1, 0, 0), kind)
        for kind in (True, False)
    )
    found = late.voxelised()
    for name in ("labels", "classes", "offsets"):
        assert torch.equal(getattr(found.instances, name), getattr(at_once.instances, name))
    for name in ("voxel_coords", "voxel_feats", "points", "labels", "binary_labels"):
        assert torch.equal(getattr(found, name), getattr(at_once, name)), name
    assert torch.equal(found.captions.point_ids, at_once.captions.point_ids) and len(found.captions)


def test_items_without_instances_give_none(tiny: TinyRow) -> None:
    scene = load_scene(tiny.scenes / f"{tiny.train_ids[0]}.safetensors")
    batch = collate([evaluation_item(scene, 0.1)])
    assert batch.instances is None
    np.testing.assert_allclose(batch.points.numpy(), scene.coords - scene.coords.mean(0), atol=1e-4)
    scenes = without_head(scenes_of(tiny))
    assert collate([scenes.item(0, 0), scenes.item(0, 1)], scenes.table).instances is None
