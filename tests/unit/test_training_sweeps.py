"""Items and batches of drives: what of a stored keyframe reaches the network, and where it lands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tiny_drives import OBJECTS, POINTS, caption_of, make_tiny_drives, shipped_settings, tiny_table
from tiny_rooms import TinyRow

from regionzoo.captions.store import from_regions, load_captions, save_captions
from regionzoo.classes import class_set
from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.drives import load_drive, load_keyframe, save_drive
from regionzoo.settings.train import Classes, StreetAugmentation, TrainSettings
from regionzoo.training.collate import collate_sweeps
from regionzoo.training.items import SweepItem
from regionzoo.training.samples import training_scenes
from regionzoo.training.sweeps import TrainingSweeps, evaluation_sweep

STILL = StreetAugmentation(flip=False, rotate=False, scale=0.0, translate=0.0, voxel_shift=False)
BASE = (0, 1, 2, 3, 4, 8, 9, 10, 12, 13, 14, 15)
"""The base classes of nuscenes_b12n3, in the order of the training columns."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRow:
    return make_tiny_drives(tmp_path_factory.mktemp("drives"), train=3, val=0, keyframes=3)


def sweeps(tiny: TinyRow, captions: bool = True, **changes: object) -> TrainingSweeps:
    settings = tiny.settings.model_copy(update={"augmentation": STILL} | changes)
    folder = tiny.captions if captions else None
    return TrainingSweeps(tiny.scenes, tiny.train_ids[::-1], folder, tiny_table(3), settings)


def keyframe_of(tiny: TinyRow, sample: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates, intensity and labels of a sample, cut out of the whole drive."""
    drive = load_drive(tiny.scenes / f"scene-{sample // 3:04}.safetensors")
    part = drive.part(sample % 3)
    return drive.coords[part], drive.intensity[part], drive.labels["nuscenes16"][part]


def chosen_points(item: SweepItem, coords: np.ndarray, intensity: np.ndarray) -> list[int]:
    """The point whose four numbers a voxel has, for each voxel."""
    rows = {(*map(float, xyz), float(glow)): i for i, (xyz, glow) in enumerate(zip(coords, intensity, strict=True))}
    return [rows[tuple(map(float, row))] for row in item.feats]


def test_samples_are_the_keyframes_of_the_sorted_drives(tiny: TinyRow) -> None:
    scenes = sweeps(tiny)
    assert len(scenes) == 9
    for sample in range(9):
        item, (coords, intensity, _) = scenes.item(0, sample), keyframe_of(tiny, sample)
        assert item.scene_id == f"scene-{sample // 3:04}"
        assert len(item.v2p) == len(coords) == POINTS - sample % 3 % 2
        assert len(chosen_points(item, coords, intensity)) == len(item.voxels)
    twice = sweeps(tiny, recipe=tiny.settings.recipe.model_copy(update={"repeat": 2}))
    assert len(twice) == 18 and twice.item(0, 12).scene_id == "scene-0001"


def test_a_voxel_has_the_features_and_labels_of_one_of_its_points(tiny: TinyRow) -> None:
    for sample in (0, 4):
        item, (coords, intensity, labels) = sweeps(tiny).item(2, sample), keyframe_of(tiny, sample)
        chosen = chosen_points(item, coords, intensity)
        assert item.v2p[chosen].tolist() == list(range(len(item.voxels)))
        for voxel, point in enumerate(chosen):
            label = int(labels[point])
            assert item.labels[voxel] == (BASE.index(label) if label in BASE else -100)
            assert item.binary[voxel] == (-100 if label < 0 else float(label in BASE))
        assert {1.0, 0.0, -100.0} == set(item.binary.tolist()) and (item.labels == -100).any()
        cells = np.floor((coords - coords.min(axis=0)).astype(np.float64) / [0.2, 0.2, 0.1])
        assert (item.voxels[item.v2p] == cells).mean() > 0.999
        assert item.feats[:, 3].max() > 50


def test_a_class_that_the_row_ignores_is_no_base_class_and_no_unlabelled_point(tiny: TinyRow, tmp_path: Path) -> None:
    drive = load_drive(tiny.scenes / "scene-0000.safetensors")
    flat = np.where(drive.labels["nuscenes16"] == class_set("nuscenes16").index("manmade"), 11, -100)
    save_drive(tmp_path / "scene-0000.safetensors", replace(drive, labels={"nuscenes16": flat.astype(np.int16)}))
    item = TrainingSweeps(tmp_path, ["scene-0000"], None, tiny_table(3), tiny.settings).item(0, 0)
    assert set(item.binary.tolist()) == {0.0, -100.0} and set(item.labels.tolist()) == {-100}


def test_items_depend_on_seed_epoch_and_sample_alone(tiny: TinyRow) -> None:
    def item(epoch: int, sample: int, before: int = 0, **changes: object) -> SweepItem:
        scenes = sweeps(tiny, augmentation=tiny.settings.augmentation, **changes)
        for k in range(before):
            scenes.item(epoch, k)
        return scenes.item(epoch, sample)

    first = item(1, 4)
    again = item(1, 4, before=6)
    for name in ("voxels", "feats", "v2p", "labels", "binary"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.texts == again.texts
    for other in (item(2, 4), item(1, 4, seed=1)):
        assert other.feats.shape != first.feats.shape or not np.array_equal(other.feats, first.feats)


def test_captions_change_nothing_else_of_an_item(tiny: TinyRow) -> None:
    moving = tiny.settings.augmentation
    with_, without = (sweeps(tiny, captions, augmentation=moving).item(0, 5) for captions in (True, False))
    assert without.regions == () and without.texts == () and len(with_.regions) == 3
    np.testing.assert_array_equal(with_.feats, without.feats)
    np.testing.assert_array_equal(with_.labels, without.labels)


@pytest.mark.parametrize(("ratio", "count"), [(1.0, 5), (0.6, 3), (0.5, 2), (0.1, 1)])
def test_captions_are_those_of_the_keyframe(tiny: TinyRow, ratio: float, count: int) -> None:
    scenes = sweeps(tiny, caption=tiny.settings.caption.model_copy(update={"ratio": ratio}))
    table, seen = tiny_table(3), set()
    for epoch in range(6):
        for sample in (0, 4, 8):
            item, (_, _, labels) = scenes.item(epoch, sample), keyframe_of(tiny, sample)
            assert len(item.regions) == len(item.texts) == len(set(item.texts)) == count
            for region, row in zip(item.regions, item.texts, strict=True):
                name = next(o for o in OBJECTS if caption_of(o, sample // 3) == table.strings[row])
                assert region.tolist() == np.flatnonzero(labels == class_set("nuscenes16").index(name)).tolist()
                seen.add(name)
    assert seen == set(OBJECTS)


def test_a_forgotten_drive_is_read_again(tiny: TinyRow, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [sweeps(tiny).item(0, sample).texts for sample in range(9)]
    monkeypatch.setattr("regionzoo.training.sweep_captions.KEPT_DRIVES", 1)
    scenes = sweeps(tiny)
    assert [scenes.item(0, sample).texts for sample in (0, 3, 6, 1, 4, 7, 2, 5, 8)] == [
        expected[sample] for sample in (0, 3, 6, 1, 4, 7, 2, 5, 8)
    ]
    assert list(scenes.captions._kept) == ["scene-0002"]


def broken_captions(tiny: TinyRow, folder: Path, **changes: object) -> TrainingSweeps:
    """The row with one drive whose captions are changed."""
    captions = load_captions(tiny.captions / "scene-0000.safetensors")
    save_captions(folder / "scene-0000.safetensors", replace(captions, **changes))
    return TrainingSweeps(tiny.scenes, ["scene-0000"], folder, tiny_table(3), tiny.settings)


def test_captions_of_other_points_are_refused(tiny: TinyRow, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="other vertices"):
        broken_captions(tiny, tmp_path, coords_sha256="0" * 64).item(0, 0)
    with pytest.raises(SceneError, match="no captions"):
        TrainingSweeps(tiny.scenes, ["scene-0001"], tmp_path, tiny_table(3), tiny.settings).item(0, 0)


def test_a_region_over_two_keyframes_is_refused(tiny: TinyRow, tmp_path: Path) -> None:
    drive = load_drive(tiny.scenes / "scene-0000.safetensors")
    ids = [np.array([5, int(drive.offsets[1])]), np.array([int(drive.offsets[1]), int(drive.offsets[2]) - 1])]
    for regions, problem in (([ids[1]], None), (ids[::-1], "region b has points of several keyframes")):
        names = ("a", "b")[: len(regions)]
        texts = [caption_of("car", 0)] * len(regions)
        made = from_regions(drive.scene_id, drive.coords_sha256, len(drive), names, texts, regions)
        save_captions(tmp_path / "scene-0000.safetensors", made)
        scenes = TrainingSweeps(tiny.scenes, ["scene-0000"], tmp_path, tiny_table(3), tiny.settings)
        if problem is None:
            assert [region.tolist() for region in scenes.item(0, 1).regions] == [[0, POINTS - 2]]
            assert scenes.item(0, 0).regions == ()
        else:
            with pytest.raises(SceneError, match=problem):
                scenes.item(0, 0)


def test_wrong_inputs_are_named(tiny: TinyRow, tmp_path: Path) -> None:
    table, settings = tiny_table(3), tiny.settings
    with pytest.raises(UserError, match="no training keyframe"):
        TrainingSweeps(tiny.scenes, [], None, table, settings)
    with pytest.raises(SceneError, match="no such processed scene"):
        TrainingSweeps(tiny.scenes, ["scene-0009"], None, table, settings)
    drive = load_drive(tiny.scenes / "scene-0000.safetensors")
    save_drive(tmp_path / "scene-0000.safetensors", replace(drive, labels={}))
    with pytest.raises(SceneError, match="no labels of nuscenes16"):
        TrainingSweeps(tmp_path, ["scene-0000"], None, table, settings).item(0, 0)
    rooms = settings.model_copy(update={"augmentation": shipped_settings("scannet_b15n4").augmentation})
    with pytest.raises(UserError, match="augmentation of streets"):
        TrainingSweeps(tiny.scenes, tiny.train_ids, None, table, rooms).item(0, 0)


def test_the_augmentation_decides_the_kind_of_samples(tiny: TinyRow) -> None:
    def made(settings: TrainSettings, features: Path | None = None) -> object:
        return training_scenes(tiny.scenes, tiny.train_ids, tiny.captions, features, tiny_table(3), settings)

    assert isinstance(made(tiny.settings), TrainingSweeps)
    rooms = tiny.settings.model_copy(update={"augmentation": shipped_settings("scannet_b15n4").augmentation})
    assert not isinstance(made(rooms), TrainingSweeps)
    with pytest.raises(UserError, match="distillation"):
        made(tiny.settings, tiny.features)
    with pytest.raises(UserError, match="instance head"):
        made(tiny.settings.model_copy(update={"instances": shipped_settings("scannet_inst_b13n4").instances}))


def test_without_annotation_no_label_is_seen(tiny: TinyRow) -> None:
    free = Classes(set="nuscenes16", annotated=False, ignore=("other_flat",))
    item = sweeps(tiny, classes=free).item(0, 0)
    assert item.labels is None and item.binary is None and len(item.regions) == 3
    batch = collate_sweeps([item])
    assert batch.labels is None and batch.point_binary is None


def test_a_batch_is_its_sweeps_one_after_another(tiny: TinyRow) -> None:
    scenes = sweeps(tiny)
    items = [scenes.item(0, sample) for sample in (1, 3, 8)]
    batch = collate_sweeps(items, tiny_table(3), (1, 0, 1))
    assert len(batch) == 3 and batch.voxel_labels and batch.voxel_coords.dtype == torch.int32
    assert batch.point_offsets.tolist() == np.cumsum([0, *(len(item.v2p) for item in items)]).tolist()
    voxel = point = region = 0
    for number, item in enumerate(items):
        rows = slice(voxel, voxel + len(item.voxels))
        assert batch.voxel_coords[rows].tolist() == [[number, x + 1, y, z + 1] for x, y, z in item.voxels.tolist()]
        assert batch.voxel_feats[rows].tolist() == item.feats.tolist()
        assert batch.labels[rows].tolist() == item.labels.tolist()
        assert batch.binary_labels[rows].tolist() == item.binary.tolist()
        of_points = batch.v2p[point : point + len(item.v2p)]
        assert of_points.tolist() == [v + voxel for v in item.v2p]
        assert batch.point_binary[point : point + len(item.v2p)].tolist() == [float(item.binary[v]) for v in item.v2p]
        for ids, row in zip(item.regions, item.texts, strict=True):
            span = slice(*batch.captions.offsets[region : region + 2].tolist())
            assert batch.captions.point_ids[span].tolist() == [i + point for i in ids]
            vector = batch.captions.text_vectors[batch.captions.targets[region]]
            assert vector.tolist() == tiny_table(3).vectors[row].tolist()
            region += 1
        voxel, point = voxel + len(item.voxels), point + len(item.v2p)
    assert (voxel, point, region) == (len(batch.voxel_feats), batch.num_points, len(batch.captions))
    assert batch.spatial_shape == (128, 128, 128)
    far = replace(items[0], voxels=items[0].voxels + np.array([0, 200, 0]))
    top = int(far.voxels[:, 1].max())
    assert collate_sweeps([far], None, (1, 1, 1)).spatial_shape == (128, top + 2, 128)


def test_one_shift_moves_a_whole_batch(tiny: TinyRow) -> None:
    shifting = STILL.model_copy(update={"voxel_shift": True})
    scenes, still = sweeps(tiny, augmentation=shifting), sweeps(tiny)
    items = [scenes.item(0, sample) for sample in (0, 4)]
    before = still.collate(items, None, (0, 0, 0)).voxel_coords
    assert torch.equal(before, collate_sweeps(items).voxel_coords)
    seen = []
    for place in [(epoch, step, shard) for epoch in range(4) for step in range(4) for shard in range(4)]:
        moved = scenes.collate(items, None, place).voxel_coords - before
        assert len(moved.unique(dim=0)) == 1 and int(moved[0, 0]) == 0
        seen.append(tuple(moved[0, 1:].tolist()))
        assert torch.equal(scenes.collate(items, None, place).voxel_coords - before, moved)
    # All corners of the unit cube, and epoch, step and shard all matter.
    assert set(seen) == {(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)}
    for stride in (1, 4, 16):
        assert len({seen[i * stride] for i in range(4)}) > 1


def test_the_item_of_an_evaluation_has_the_mean_of_every_voxel(tiny: TinyRow) -> None:
    path = tiny.scenes / "scene-0001.safetensors"
    keyframe = load_keyframe(path, 2)
    item = evaluation_sweep(keyframe, (0.2, 0.2, 0.1))
    coords, intensity, _ = keyframe_of(tiny, 5)
    assert len(item.v2p) == len(coords) and item.labels is None and item.binary is None
    for voxel in range(len(item.voxels)):
        members = [i for i in range(len(coords)) if item.v2p[i] == voxel]
        mean = [sum(float(coords[i, axis]) for i in members) / len(members) for axis in range(3)]
        mean.append(sum(float(intensity[i]) for i in members) / len(members))
        np.testing.assert_allclose(item.feats[voxel], mean, rtol=1e-5, atol=1e-4)
    assert len(item.voxels) < len(coords)


def test_a_keyframe_is_read_without_the_rest_of_its_drive(tiny: TinyRow, tmp_path: Path) -> None:
    """Other keyframes of the file may be spoilt: nothing of them is looked at."""
    source = (tiny.scenes / "scene-0002.safetensors").read_bytes()
    path = tmp_path / "scene-0002.safetensors"
    with safe_open(tiny.scenes / "scene-0002.safetensors", "np") as file:
        first = file.get_tensor("coords")[:5].tobytes()
    at = source.index(first)
    path.write_bytes(source[:at] + b"\xff" * len(first) + source[at + len(first) :])
    whole, spoilt = (
        TrainingSweeps(folder, ["scene-0002"], None, tiny_table(3), tiny.settings) for folder in (tiny.scenes, tmp_path)
    )
    np.testing.assert_array_equal(whole.item(0, 1).feats, spoilt.item(0, 1).feats)
