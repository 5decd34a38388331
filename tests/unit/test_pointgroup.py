"""PointGroup's tuples become the scenes that the raw files would have given, as far as such a file can tell."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pickled import Call
from raw_scene import random_scene, write_scene, write_table

from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.instances import instance_ids
from regionzoo.scenes.labels import LabelTable
from regionzoo.scenes.pointgroup import PointGroupRoot, _colors
from regionzoo.scenes.processed import class_labels, coordinates, group_categories, object_groups, per_vertex
from regionzoo.scenes.scannet import ScanNetRoot, pointgroup_instances, read_scene
from regionzoo.scenes.store import load_scene, save_scene

torch = pytest.importorskip("torch")

TRAIN, VAL = "scene0001_00", "scene0002_00"


@pytest.fixture
def raw(tmp_path):
    """The same two scans as raw files: scene id -> Scene."""
    root = tmp_path / "raw"
    root.mkdir()
    write_table(root)
    for k, scene_id in enumerate((TRAIN, VAL)):
        write_scene(root, random_scene(scene_id, k, 80))
    opened = ScanNetRoot.open(root)
    return {scene_id: read_scene(opened, scene_id, "train") for scene_id in (TRAIN, VAL)}


def arrays(scene, table, classes="scannet20", dtype=np.float64):
    """What PointGroup's script saves of a scene, in its steps."""
    coords = scene.coords - scene.coords.mean(0)
    colors = scene.colors / 127.5 - 1
    instances = pointgroup_instances(scene, table)
    return (coords.astype(dtype), colors.astype(dtype), scene.labels[classes].astype(float), instances.astype(float))


def save(root, raw, classes="scannet20", suffix=".pth", zipped=True, dtype=np.float64):
    table = LabelTable.read(root.parent / "raw" / "scannetv2-labels.combined.tsv")
    for scene_id, split in ((TRAIN, "train"), (VAL, "val")):
        (root / split).mkdir(parents=True, exist_ok=True)
        path = root / split / f"{scene_id}{suffix}"
        torch.save(arrays(raw[scene_id], table, classes, dtype), path, _use_new_zipfile_serialization=zipped)
    return root


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f8", "f4"])
@pytest.mark.parametrize(("suffix", "zipped"), [(".pth", True), ("_inst_nostuff.pth", False)])
def test_scenes(tmp_path, raw, dtype, suffix, zipped):
    opened = PointGroupRoot.open(save(tmp_path / "pg", raw, suffix=suffix, zipped=zipped, dtype=dtype))
    assert opened.splits == {"train": (TRAIN,), "val": (VAL,)}
    assert opened.class_sets == ("scannet20",)
    assert opened.notices == ()
    for scene_id, split in ((TRAIN, "train"), (VAL, "val")):
        scene, truth = opened.read_scene(scene_id, split, "pointgroup"), raw[scene_id]
        np.testing.assert_array_equal(scene.colors, truth.colors)
        np.testing.assert_allclose(scene.coords, truth.coords - truth.coords.mean(0), atol=1e-6)
        np.testing.assert_array_equal(scene.labels["scannet20"], truth.labels["scannet20"])
        # The same objects: points share a group here exactly if they do there, walls and floors left out.
        ours, theirs = (instance_ids(s.labels["scannet20"], s.group) for s in (scene, truth))
        np.testing.assert_array_equal(ours >= 0, (theirs >= 0) & (scene.group >= 0))
        inside = ours >= 0
        assert len(set(zip(ours[inside], theirs[inside], strict=True))) == len(set(ours[inside]))
        assert (scene.superpoint == -1).all() and scene.axis_alignment is None
        assert scene.raw_sha256 == opened.raw_sha256(scene_id)
        assert set(scene.raw_sha256) == {f"{scene_id}{suffix}"}
        assert opened.raw_paths(scene_id) == {f"{scene_id}{suffix}": f"{split}/{scene_id}{suffix}"}
        save_scene(tmp_path / "a.safetensors", scene)
        assert load_scene(tmp_path / "a.safetensors").coords_sha256 == scene.coords_sha256


def test_200_classes_from_a_second_folder(tmp_path, raw):
    root = save(tmp_path / "pg", raw)
    second = save(tmp_path / "pg200", raw, "scannet200", dtype=np.float32)
    (root / "scannet200").symlink_to(second)
    opened = PointGroupRoot.open(root)
    assert opened.class_sets == ("scannet20", "scannet200")
    scene = opened.read_scene(TRAIN, "train", "pointgroup")
    for name in opened.class_sets:
        np.testing.assert_array_equal(scene.labels[name], raw[TRAIN].labels[name])
    paths = {f"{TRAIN}.pth": f"train/{TRAIN}.pth", f"scannet200/{TRAIN}.pth": f"scannet200/train/{TRAIN}.pth"}
    assert opened.raw_paths(TRAIN) == paths and set(scene.raw_sha256) == set(paths)
    with pytest.raises(SceneError, match=rf"{TRAIN}: .*pg200.*expected 0\.\.19 \(scannet20\)"):
        PointGroupRoot.open(second).read_scene(TRAIN, "train", "pointgroup")
    (second / "train" / f"{TRAIN}.pth").write_bytes((second / "val" / f"{VAL}.pth").read_bytes())
    with pytest.raises(SceneError, match=rf"{TRAIN}: .*scannet200.*its 80 vertices are not the 80 of .*pg/train"):
        opened.read_scene(TRAIN, "train", "pointgroup")


def test_test_scenes_and_superpoints(tmp_path, raw):
    root = save(tmp_path / "pg", raw)
    xyz, rgb, labels, instances = arrays(
        raw[TRAIN], LabelTable.read(tmp_path / "raw" / "scannetv2-labels.combined.tsv")
    )
    (root / "test").mkdir()
    torch.save((xyz, rgb), root / "test" / "scene0707_00.pth")
    superpoints = torch.from_numpy(raw[TRAIN].superpoint)
    torch.save((xyz, rgb, labels, instances, None, superpoints), root / "train" / f"{TRAIN}.pth")
    assert set(PointGroupRoot.open(root).splits) == {"train", "val"}
    opened = PointGroupRoot.open(root, {"train": None, "test": None})
    assert opened.splits["test"] == ("scene0707_00",)
    test = opened.read_scene("scene0707_00", "test", "pointgroup")
    assert (test.labels["scannet20"] == -100).all() and (test.group == -100).all() and test.categories == ()
    np.testing.assert_array_equal(opened.read_scene(TRAIN, "train", "pg").superpoint, raw[TRAIN].superpoint)
    with pytest.raises(SceneError, match=r"holds \(array, array\), expected"):
        opened.read_scene("scene0707_00", "train", "pointgroup")


def test_lists_and_exclusions(tmp_path, raw):
    root = save(tmp_path / "pg", raw)
    (root / "list.txt").write_text(f"{VAL}\n{TRAIN}\n")
    (tmp_path / "val.txt").write_text(f"{VAL}\n")
    assert PointGroupRoot.open(root, {"train": "list.txt"}).splits == {"train": (TRAIN, VAL)}
    opened = PointGroupRoot.open(root, {"train": "list.txt"}, exclude=[VAL, "x"])
    assert opened.splits == {"train": (TRAIN,)}
    assert opened.notices == (f"train: {VAL} is excluded", "excluded x is in no list")
    with pytest.raises(UserError, match=rf"list\.txt and .*val\.txt: both list {VAL}"):
        PointGroupRoot.open(root, {"train": "list.txt", "val": str(tmp_path / "val.txt")})
    with pytest.raises(UserError, match=r"no scene is left for the split val; check data\.scannet\.exclude"):
        PointGroupRoot.open(root, exclude=[VAL])
    with pytest.raises(UserError, match=r"pg/none\.txt: no such scene list; .*or null for all scenes of .*pg/train$"):
        PointGroupRoot.open(root, {"train": "none.txt"})
    with pytest.raises(UserError, match=r"pg2: no such folder; data\.other\.root must be the folder above train/"):
        PointGroupRoot.open(tmp_path / "pg2", dataset="other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty/train: holds no scenes; data\.scannet\.root must be"):
        PointGroupRoot.open(tmp_path / "empty")
    with pytest.raises(
        SceneError, match=r"scene0009_00: .*train/scene0009_00\.pth: missing, in the other splits\' folders too"
    ):
        PointGroupRoot.open(root).read_scene("scene0009_00", "train", "pointgroup")


@pytest.mark.parametrize(
    ("place", "change", "told"),
    [
        (0, lambda a: a[:, :2], r"coordinates are float64 \[80, 2\]"),
        (1, lambda a: (a + 1) * 127.5, r"colour .* at vertex 0, expected value / 127\.5 - 1"),
        (2, lambda a: np.full(80, 20.0), r"label 20 at vertex 0, expected 0\.\.19"),
        (3, lambda a: a[:-1], r"instances are float64 \[79\], expected a whole number for each of 80"),
        (3, lambda a: None, r"holds \(array, array, array, another object\)"),
        (3, lambda a: Call(os.system, "touch marker"), "names 'posix.system'"),
    ],
)
def test_broken_scenes(tmp_path, raw, place, change, told, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = save(tmp_path / "pg", raw)
    content = list(arrays(raw[TRAIN], LabelTable.read(tmp_path / "raw" / "scannetv2-labels.combined.tsv")))
    content[place] = change(content[place])
    torch.save(tuple(content), root / "train" / f"{TRAIN}.pth")
    with pytest.raises(UserError, match=rf"^{TRAIN}: .*{TRAIN}\.pth: {told}"):
        PointGroupRoot.open(root).read_scene(TRAIN, "train", "pointgroup")
    assert not (tmp_path / "marker").exists()


POINTS = np.random.default_rng(0).random((80, 3))


@pytest.mark.parametrize(
    ("check", "told"),
    [
        (lambda: coordinates(POINTS[:0], "s", "f"), r"coordinates are float64 \[0, 3\]"),
        (lambda: coordinates(POINTS.astype(int), "s", "f"), "coordinates are int64"),
        (
            lambda: coordinates(np.where(np.eye(80, 3) > 0, np.nan, POINTS), "s", "f"),
            "3 of 80 .* not finite, first is 0",
        ),
        (lambda: _colors(np.zeros((79, 3)), 80, "s", "f"), r"colours are float64 \[79, 3\], expected floats \[80, 3\]"),
        (lambda: _colors(np.zeros((80, 3), int), 80, "s", "f"), "colours are int64"),
        (lambda: _colors(np.full((80, 3), 1.01), 80, "s", "f"), r"colour \[1.01, 1.01, 1.01\] at vertex 0"),
        (lambda: _colors(np.full((80, 3), np.nan), 80, "s", "f"), r"colour \[nan, nan, nan\] at vertex 0"),
        (lambda: _colors((np.arange(240) / 127.5 * 0.999 - 1).reshape(80, 3), 80, "s", "f"), "colour .* at vertex 6"),
        (lambda: per_vertex(np.arange(9) + 0.5, 9, "labels", "s", "f"), r"labels: 0\.5 at vertex 0, expected a whole"),
        (lambda: per_vertex(np.full(9, np.nan), 9, "labels", "s", "f"), "labels: nan at vertex 0"),
        (lambda: per_vertex(np.full(9, 2**40), 9, "labels", "s", "f"), "labels: 1099511627776 at vertex 0"),
        (lambda: per_vertex(np.full(9, 2**63, np.uint64), 9, "labels", "s", "f"), "labels: 9223372036854775808 at"),
        (lambda: per_vertex(np.zeros((9, 2)), 9, "labels", "s", "f"), r"labels are float64 \[9, 2\]"),
        (lambda: object_groups(np.full(80, 80), "s", "f"), "instance 80 of a scene with 80 vertices"),
    ],
)
def test_arrays_that_are_something_else(check, told):
    with pytest.raises(SceneError, match=f"^s: f: {told}"):
        check()


def test_cut_files(tmp_path, raw):
    path = save(tmp_path / "pg", raw) / "train" / f"{TRAIN}.pth"
    content = path.read_bytes()
    for share in (0, 0.5, 0.99):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(UserError, match=rf"^{TRAIN}: .*\.pth: "):
            PointGroupRoot.open(tmp_path / "pg").read_scene(TRAIN, "train", "pointgroup")


def test_every_colour_comes_back(tmp_path):
    values = np.arange(256).repeat(3).reshape(-1, 3)
    for dtype in (np.float64, np.float32):
        stored = values.astype(dtype) / dtype(127.5) - dtype(1)
        np.testing.assert_array_equal(_colors(stored, 256, "s", tmp_path), values)


@given(labels=st.lists(st.integers(-100, 300), min_size=1, max_size=20))
def test_labels_of_both_class_sets(labels):
    for classes, count in (("scannet20", 20), ("scannet200", 200)):
        values = per_vertex(np.array(labels, np.float32), len(labels), "labels", "s", "file")
        if all(0 <= value < count or value in (-100, -1, 255) for value in labels):
            expected = [value if 0 <= value < count else -100 for value in labels]
            assert class_labels(values, classes, "s", "file").tolist() == expected
        else:
            first = next(k for k, value in enumerate(labels) if not (0 <= value < count or value in (-100, -1, 255)))
            with pytest.raises(SceneError, match=rf"^s: file: label {labels[first]} at vertex {first},"):
                class_labels(values, classes, "s", "file")


def test_categories_are_what_most_labelled_vertices_are():
    group = np.array([0, 0, 0, 2, 2, -100, 3])
    labels = {
        "scannet20": np.array([4, 4, 0, -100, 1, 5, -100]),
        "scannet200": np.array([-100, -100, -100, -100, 0, 0, -100]),
    }
    assert group_categories(group, labels) == ("chair", "", "wall", "")
    assert group_categories(np.full(7, -100), labels) == ()
    assert object_groups(np.array([-1, -100, 2, 0]), "s", "file").tolist() == [-100, -100, 2, 0]
