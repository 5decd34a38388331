"""Pointcept's folders become the scenes that the raw files would have given."""

import numpy as np
import pytest
from pickled import pickled
from raw_scene import random_scene, write_scene, write_table

from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.instances import instance_ids
from regionzoo.scenes.pointcept import PointceptRoot
from regionzoo.scenes.scannet import ScanNetRoot, read_scene
from regionzoo.scenes.store import load_scene, save_scene

SPLITS = {"scene0001_00": "train", "scene0003_01": "train", "scene0002_00": "val"}
N = 80


@pytest.fixture
def raw(tmp_path):
    root = tmp_path / "raw"
    root.mkdir()
    write_table(root)
    for k, scene_id in enumerate(SPLITS):
        write_scene(root, random_scene(scene_id, k, N))
    opened = ScanNetRoot.open(root)
    return {scene_id: read_scene(opened, scene_id, split) for scene_id, split in SPLITS.items()}


def arrays(scene):
    def minus_one(values, dtype):
        return np.where(values < 0, -1, values).astype(dtype)

    return {
        "coord": scene.coords,
        "color": scene.colors,
        "normal": np.zeros_like(scene.coords),
        "segment20": minus_one(scene.labels["scannet20"], np.int16),
        "segment200": minus_one(scene.labels["scannet200"], np.int64),
        "instance": minus_one(scene.group, np.int32),
    }


@pytest.fixture
def root(tmp_path, raw):
    for scene_id, split in SPLITS.items():
        folder = tmp_path / "pc" / split / scene_id
        folder.mkdir(parents=True)
        for name, array in arrays(raw[scene_id]).items():
            np.save(folder / f"{name}.npy", array)
    return tmp_path / "pc"


def test_scenes(tmp_path, root, raw):
    opened = PointceptRoot.open(root)
    assert opened.splits == {"train": ("scene0001_00", "scene0003_01"), "val": ("scene0002_00",)}
    assert (opened.class_sets, opened.notices) == (("scannet20", "scannet200"), ())
    for scene_id, split in SPLITS.items():
        scene, truth = opened.read_scene(scene_id, split, "pointcept"), raw[scene_id]
        assert scene.coords_sha256 == truth.coords_sha256
        np.testing.assert_array_equal(scene.colors, truth.colors)
        np.testing.assert_array_equal(scene.group, truth.group)
        for name in ("scannet20", "scannet200"):
            np.testing.assert_array_equal(scene.labels[name], truth.labels[name])
        ours, theirs = (instance_ids(s.labels["scannet20"], s.group) for s in (scene, truth))
        np.testing.assert_array_equal(ours, theirs)
        assert (scene.superpoint == -1).all()
        used = ("color", "coord", "instance", "segment20", "segment200")
        assert sorted(scene.raw_sha256) == [f"{name}.npy" for name in used]
        assert scene.raw_sha256 == opened.raw_sha256(scene_id)
        assert opened.raw_paths(scene_id)["coord.npy"] == f"{split}/{scene_id}/coord.npy"
        save_scene(tmp_path / "a.safetensors", scene)
        assert load_scene(tmp_path / "a.safetensors").categories == scene.categories


def test_a_hash_changes_with_its_file(root):
    opened = PointceptRoot.open(root)
    before = opened.raw_sha256("scene0001_00")
    np.save(root / "train" / "scene0001_00" / "color.npy", np.zeros((N, 3), np.uint8))
    after = opened.raw_sha256("scene0001_00")
    assert {name for name in before if before[name] != after[name]} == {"color.npy"}


def test_test_scenes_have_no_labels(root, raw):
    folder = root / "test" / "scene0707_00"
    folder.mkdir(parents=True)
    for name in ("coord", "color"):
        np.save(folder / f"{name}.npy", arrays(raw["scene0001_00"])[name])
    opened = PointceptRoot.open(root, {"train": None, "test": None})
    scene = opened.read_scene("scene0707_00", "test", "pointcept")
    assert all((labels == -100).all() for labels in scene.labels.values()) and (scene.group == -100).all()
    assert sorted(scene.raw_sha256) == ["color.npy", "coord.npy"]
    with pytest.raises(SceneError, match=r"^scene0707_00: .*segment20\.npy: missing"):
        opened.read_scene("scene0707_00", "train", "pointcept")


def test_one_class_set_alone(root):
    for scene_id, split in SPLITS.items():
        (root / split / scene_id / "segment200.npy").unlink()
    opened = PointceptRoot.open(root)
    assert opened.class_sets == ("scannet20",)
    assert set(opened.read_scene("scene0001_00", "train", "pointcept").labels) == {"scannet20"}
    (root / "train" / "scene0001_00" / "segment20.npy").unlink()
    with pytest.raises(UserError, match=r"scene0001_00: holds neither segment20\.npy nor segment200\.npy"):
        PointceptRoot.open(root)


def test_lists_and_missing_folders(root, tmp_path):
    (tmp_path / "list.txt").write_text("scene0002_00\nscene0001_00\n")
    opened = PointceptRoot.open(root, {"train": str(tmp_path / "list.txt")}, exclude=["scene0002_00"])
    assert opened.splits == {"train": ("scene0001_00",)}
    with pytest.raises(SceneError, match=r"^scene0009_00: .*no such folder, nor one in the other splits"):
        opened.read_scene("scene0009_00", "train", "pointcept")
    with pytest.raises(UserError, match=r"no such folder; data\.scannet\.root must be the folder above train/"):
        PointceptRoot.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"train: holds no scenes; data\.scannet\.root"):
        PointceptRoot.open(tmp_path)


def header(shape, dtype="'<f4'"):
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (63 - (len(text) + 10) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


BROKEN = {
    "coord": [
        (header((10**12, 3)) + bytes(960), "not a whole .npy file"),
        (header((N, 3)) + bytes(959), "not a whole .npy file"),
        (header((N, 3), "'|O'") + bytes(960), "not a whole .npy file"),
        (header((N, 3), "[('a', '<f4')]") + bytes(960), r"holds \[\('a', '<f4'\)\], expected plain numbers"),
        (header("(open('marker', 'w'),)") + bytes(960), "not a whole .npy file"),
        (b"\x93NUMPY\x01\x00" + b"\xff\xff" + b"(" * 65535, "not a whole .npy file"),
        (pickled(np.zeros((N, 3), np.float32)), "not a whole .npy file"),
        (b"PK\x03\x04 a zip file", "not a whole .npy file"),
        (b"", "not a whole .npy file"),
        (np.zeros((N, 2), np.float32), r"coordinates are float32 \[80, 2\]"),
        (np.full((N, 3), np.inf, np.float32), "80 of 80 vertices are not finite, first is 0"),
        (np.zeros((0, 3), np.float32), "not a whole .npy file|coordinates are float32"),
        (None, "missing"),
    ],
    "color": [
        (np.zeros((N + 1, 3), np.uint8), r"colours are uint8 \[81, 3\], expected \[80, 3\]"),
        (np.full((N, 3), 0.5), r"colour \[0\.5, 0\.5, 0\.5\] at vertex 0, expected whole numbers 0\.\.255"),
        (np.full((N, 3), 256), "colour"),
        (np.full((N, 3), np.nan), "colour"),
        (np.zeros((N, 3), bool), "colours are bool"),
        (None, "missing"),
    ],
    "segment20": [
        (np.full(N, 20), r"label 20 at vertex 0, expected 0\.\.19 \(scannet20\)"),
        (np.full(N - 1, 2), r"its values are int64 \[79\]"),
        (None, "missing"),
    ],
    "instance": [(np.full(N, 80), "instance 80 of a scene with 80 vertices"), (None, "missing")],
}


@pytest.mark.parametrize(
    ("name", "content", "told"), [(name, *case) for name, cases in BROKEN.items() for case in cases]
)
def test_broken_scenes(root, name, content, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = root / "train" / "scene0003_01" / f"{name}.npy"
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(SceneError, match=rf"^scene0003_01: .*{name}\.npy: {told}") as error:
        PointceptRoot.open(root).read_scene("scene0003_01", "train", "pointcept")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "marker").exists()
