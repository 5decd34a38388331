"""Raw scans to scenes: values against what was written, every quirk, and every kind of damage."""

from __future__ import annotations

import copy
import json
import shutil

import numpy as np
import pytest
from raw_scene import RawScene, group, random_scene, truncate, write_frames, write_scene, write_table, write_tree

from regionzoo.artifacts import sha256_file
from regionzoo.classes import class_set
from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.labels import LabelTable
from regionzoo.scenes.raw_layout import LABEL_TABLE_FILE
from regionzoo.scenes.scannet import (
    Group,
    ScanNetRoot,
    drop_repeated_half,
    groups_of_vertices,
    pointgroup_instances,
    read_axis_alignment,
    read_scene,
    read_vertices,
)
from regionzoo.scenes.splits import read_split_list

SCENE = "scene0000_00"
LISTS = {"train": "train.txt"}


def open_root(root, raw: RawScene | None = None, **options) -> ScanNetRoot:
    write_table(root)
    (root / "train.txt").write_text(f"{SCENE}\n")
    if raw is not None:
        write_scene(root, raw, **options)
    return ScanNetRoot.open(root, LISTS)


def hand_made() -> RawScene:
    """Eight vertices, five segments; 4 objects: a wall, a chair, an unlisted category, a table."""
    return RawScene(
        scene_id=SCENE,
        coords=np.arange(24, dtype=np.float32).reshape(8, 3),
        colors=np.arange(24, dtype=np.uint8).reshape(8, 3),
        nyu40=np.array([1, 1, 5, 5, 0, 50, 7, 149], np.uint16),
        segments=np.array([0, 0, 2, 2, 4, 5, 6, 6]),
        groups=[group(0, "wall", [0]), group(1, "chair", [2]), group(2, "spaceship", [5]), group(3, "table", [6])],
        alignment=np.arange(16.0).reshape(4, 4),
    )


def test_hand_made_scene(tmp_path):
    root, notices = open_root(tmp_path, hand_made()), []
    scene = read_scene(root, SCENE, "train", "scannet", notices)
    assert np.array_equal(scene.coords, hand_made().coords) and scene.coords.dtype == np.float32
    assert np.array_equal(scene.colors, hand_made().colors) and scene.colors.dtype == np.uint8
    assert scene.superpoint.tolist() == [0, 0, 2, 2, 4, 5, 6, 6] and scene.superpoint.dtype == np.int32
    assert scene.group.tolist() == [0, 0, 1, 1, -100, 2, 3, 3] and scene.group.dtype == np.int32
    assert scene.categories == ("wall", "chair", "spaceship", "table")
    # chair is 4 and table 6 in scannet20, but 1 and 3 in scannet200; the ids 50 and 149 are ignore.
    assert scene.labels["scannet20"].tolist() == [0, 0, 4, 4, -100, -100, 6, -100]
    assert scene.labels["scannet200"].tolist() == [0, 0, 1, 1, -100, -100, 3, 3]
    assert all(labels.dtype == np.int16 for labels in scene.labels.values())
    assert np.array_equal(scene.axis_alignment, hand_made().alignment)
    assert (scene.split, scene.source) == ("train", "scannet")
    assert notices == [f"{SCENE}: not in {LABEL_TABLE_FILE}, hence unlabelled: spaceship"]


def test_hashes_are_those_of_every_file_read(tmp_path):
    root = open_root(tmp_path, hand_made())
    scene = read_scene(root, SCENE, "train")
    files = {path.name: sha256_file(path) for path in (tmp_path / "scans" / SCENE).iterdir()}
    assert len(files) == 5
    assert scene.raw_sha256 == files | {LABEL_TABLE_FILE: sha256_file(tmp_path / LABEL_TABLE_FILE)}


def test_vertex_order_and_duplicates_are_kept(tmp_path):
    raw = random_scene(SCENE, seed=3, points=500)
    raw.coords[100:200] = raw.coords[0]
    scene = read_scene(open_root(tmp_path, raw), SCENE, "train")
    assert np.array_equal(scene.coords, raw.coords)
    assert np.array_equal(scene.colors, raw.colors)


def test_mesh_without_faces(tmp_path):
    raw = hand_made()
    assert len(raw.faces) == 0
    path = write_scene(tmp_path, raw) / f"{SCENE}_vh_clean_2.ply"
    assert len(read_vertices(path, SCENE)) == 8
    # A point cloud whose header does not speak of faces at all, in text form with doubles.
    rows = "\n".join(f"{i}.5 0 1 9 8 7" for i in range(3))
    types = "".join(f"property double {axis}\n" for axis in "xyz")
    types += "".join(f"property uchar {channel}\n" for channel in ("red", "green", "blue"))
    path.write_text(f"ply\nformat ascii 1.0\nelement vertex 3\n{types}end_header\n{rows}\n")
    assert read_vertices(path, SCENE)["x"].tolist() == [0.5, 1.5, 2.5]


def test_last_group_wins_and_absent_segments_are_told(tmp_path):
    raw = hand_made()
    raw.groups = [group(0, "chair", [2, 6]), group(1, "table", [6, 77]), group(2, "couch", [])]
    notices: list[str] = []
    scene = read_scene(open_root(tmp_path, raw), SCENE, "train", notices=notices)
    assert scene.group.tolist() == [-100, -100, 0, 0, -100, -100, 1, 1]
    assert notices == [f"{SCENE}: 1 segments of its objects do not exist; passed over"]


def test_repeated_listing_is_halved(tmp_path):
    raw, once = hand_made(), hand_made()
    # As in val scene0217_00: the same objects once more. Object numbers may or may not go on counting.
    raw.groups = once.groups + [entry | {"objectId": entry["objectId"] + 4} for entry in once.groups]
    notices: list[str] = []
    (tmp_path / "a").mkdir()
    root = open_root(tmp_path / "a", raw)
    twice = read_scene(root, SCENE, "val", notices=notices)
    (tmp_path / "b").mkdir()
    single = read_scene(open_root(tmp_path / "b", once), SCENE, "val")
    assert twice.group.tolist() == single.group.tolist()
    assert twice.categories == single.categories
    assert notices[0] == f"{SCENE}: lists its 4 objects twice; the second half is dropped"


def test_what_is_not_a_repeated_listing():
    chairs = tuple(Group("chair", (i,), i) for i in range(4))
    empty = (Group("chair", (), 0), Group("chair", (), 1))
    other = (Group("chair", (1,), 0), Group("table", (1,), 1))
    for groups in ((), chairs, chairs[:3], empty, other, chairs[:2] + chairs[1::-1]):
        assert drop_repeated_half(groups) == groups
    assert drop_repeated_half(chairs + chairs) == chairs


def test_groups_of_no_groups():
    group_ids, absent = groups_of_vertices(np.array([4, 9, 9]), ())
    assert group_ids.tolist() == [-100, -100, -100] and absent == 0


def test_test_scan_without_annotation(tmp_path):
    root = open_root(tmp_path, hand_made(), scans="scans_test", annotated=False)
    scene = read_scene(root, SCENE, "test")
    assert set(scene.group.tolist()) == {-100}
    assert set(scene.superpoint.tolist()) == {-1}
    assert all(set(labels.tolist()) == {-100} for labels in scene.labels.values())
    assert scene.axis_alignment is None
    assert scene.categories == ()
    assert f"{SCENE}_vh_clean_2.ply" in scene.raw_sha256 and f"{SCENE}_vh_clean_2.labels.ply" not in scene.raw_sha256
    with pytest.raises(SceneError, match=r"labels\.ply: missing"):
        read_scene(root, SCENE, "train")


def test_test_scan_with_annotation_is_read(tmp_path):
    scene = read_scene(open_root(tmp_path, hand_made()), SCENE, "test")
    assert scene.labels["scannet20"].tolist() == [0, 0, 4, 4, -100, -100, 6, -100]


def test_pointgroup_instances(tmp_path):
    raw = hand_made()
    raw.groups = [
        group(0, "wall", [0]),
        group(1, "chair", [2]),
        group(2, "shower walls", [4]),
        group(3, "spaceship", [5]),
        group(4, "couch", []),
        group(5, "table", [6]),
    ]
    root = open_root(tmp_path, raw)
    instances = pointgroup_instances(read_scene(root, SCENE, "train"), root.table)
    # Walls by NYU40 are out; the unlisted category and the empty couch take the numbers 1 and 2.
    assert instances.tolist() == [-100, -100, 0, 0, -100, 1, 3, 3]
    assert instances.dtype == np.int32


def test_pointgroup_instances_against_the_original_loop(tmp_path):
    write_table(tmp_path)
    table = LabelTable.read(tmp_path / LABEL_TABLE_FILE)
    for seed in range(5):
        raw = random_scene(SCENE, seed, points=200, segments=20)
        scene = read_scene(open_root(tmp_path, raw), SCENE, "train")
        points_of: dict[int, list[int]] = {}
        for vertex, segment in enumerate(raw.segments.tolist()):
            points_of.setdefault(segment, []).append(vertex)
        expected, running = [-100] * 200, 0
        for entry in raw.groups:
            if table.nyu40_ids[entry["label"]] in (1, 2):
                continue
            for segment in entry["segments"]:
                for vertex in points_of[segment]:
                    expected[vertex] = running
            running += 1
        assert pointgroup_instances(scene, table).tolist() == expected
        assert (scene.labels["scannet20"] >= 0).sum() == np.isin(raw.nyu40, class_set("scannet20").raw_ids).sum()


@pytest.mark.parametrize("text", ["", "colorHeight = 968\n", "axisAlignmentX = 1\n# axisAlignment\n"])
def test_no_alignment(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    assert read_axis_alignment(tmp_path / "a.txt", SCENE) is None
    assert read_axis_alignment(tmp_path / "none.txt", SCENE) is None


@pytest.mark.parametrize("value", ["1 2 3", "a " * 16, "nan " * 16, ""])
def test_broken_alignment(tmp_path, value):
    (tmp_path / "a.txt").write_text(f"axisAlignment = {value}\n")
    with pytest.raises(SceneError, match="16 finite numbers"):
        read_axis_alignment(tmp_path / "a.txt", SCENE)


MESH, LABELS = f"{SCENE}_vh_clean_2.ply", f"{SCENE}_vh_clean_2.labels.ply"
SEGS, AGGREGATION = f"{SCENE}_vh_clean_2.0.010000.segs.json", f"{SCENE}.aggregation.json"


def _replace(name, old, new):
    def damage(folder):
        path = folder / name
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    return damage


def _write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def _rewrite(edit, only=None):
    """Edit the scene and write it again, or only one file of it."""

    def damage(folder):
        raw = random_scene(SCENE)
        edit(raw)
        before = {path: path.read_bytes() for path in folder.iterdir() if only and path.name != only}
        write_scene(folder.parents[1], raw)
        for path, content in before.items():
            path.write_bytes(content)

    return damage


def _shorter(raw):
    raw.coords, raw.colors, raw.nyu40, raw.segments = (
        values[:-1] for values in (raw.coords, raw.colors, raw.nyu40, raw.segments)
    )


def _not_finite(raw):
    raw.coords[[7, 9], 1] = np.nan, np.inf


def _empty(raw):
    raw.coords, raw.colors, raw.nyu40, raw.segments = (
        values[:0] for values in (raw.coords, raw.colors, raw.nyu40, raw.segments)
    )
    raw.faces = raw.faces[:0]


DAMAGES = {
    **{f"missing {name}": (lambda folder, name=name: (folder / name).unlink(), name, "missing") for name in
       (MESH, LABELS, SEGS, AGGREGATION)},
    **{f"{keep} of {name}": (lambda folder, name=name, keep=keep: truncate(folder / name, keep), name, "copy it again")
       for name in (MESH, LABELS) for keep in (0.0, 0.05, 0.3, 0.6, 0.999)},
    **{f"{keep} of {name}": (lambda folder, name=name, keep=keep: truncate(folder / name, keep), name, "not valid JSON")
       for name in (SEGS, AGGREGATION) for keep in (0.0, 0.5, 0.99)},
    "mesh is a web page": (_write(MESH, b"<html>\n<p>403\n</html>\n"), MESH, "not a whole PLY"),
    "mesh is noise": (_write(MESH, bytes(range(256)) * 4), MESH, "PLY"),
    "mesh is a folder": (lambda folder: ((folder / MESH).unlink(), (folder / MESH).mkdir()), MESH, "cannot be read"),
    "header claims more": (_replace(MESH, b"vertex 60", b"vertex 61"), MESH, "not a whole PLY"),
    "header claims far more": (_replace(MESH, b"vertex 60", b"vertex 9999999999999999"), MESH, "PLY"),
    "header claims less": (_replace(MESH, b"vertex 60", b"vertex 59"), MESH, "not a whole PLY"),
    "no vertex element": (_replace(MESH, b"element vertex", b"element point"), MESH, "no vertices"),
    "no colours": (_replace(MESH, b"uchar red", b"uchar rot"), MESH, "property red is missing, expected uchar"),
    "coordinates are whole": (_replace(MESH, b"float y", b"int y"), MESH, "y is of type int32, expected float"),
    "no label property": (_replace(LABELS, b"ushort label", b"ushort klass"), LABELS, "label is missing"),
    "labels of photo mesh": (lambda folder: shutil.copy(folder / MESH, folder / LABELS), LABELS, "label is missing"),
    "zero vertices": (_rewrite(_empty), MESH, "no vertices"),
    "not finite": (_rewrite(_not_finite), MESH, "2 of 60 vertices are not finite, first is 7"),
    "fewer vertices": (_rewrite(_shorter, LABELS), LABELS, "59 vertices, but scene0000_00_vh_clean_2.ply has 60"),
    "fewer segments": (_rewrite(_shorter, SEGS), SEGS, "59 vertices, but"),
    "segs without key": (_write(SEGS, b'{"params": {}}'), SEGS, "'segIndices'"),
    "segs is a list": (_write(SEGS, b"[1, 2]"), SEGS, "'segIndices'"),
    "segs of floats": (_write(SEGS, b'{"segIndices": [1.0, 2]}'), SEGS, "whole numbers"),
    "segs of booleans": (_write(SEGS, b'{"segIndices": [true, 2]}'), SEGS, "whole numbers"),
    "segs of lists": (_write(SEGS, b'{"segIndices": [[1], [2, 3]]}'), SEGS, "whole numbers"),
    "segs negative": (_write(SEGS, b'{"segIndices": [-1]}'), SEGS, "must lie in"),
    "segs huge": (_write(SEGS, b'{"segIndices": [99999999999999999999]}'), SEGS, "must lie in"),
    "segs not text": (_write(SEGS, b"\xff\xfe\xff\xff"), SEGS, "not valid JSON"),
    "segs very deep": (_write(SEGS, b"[" * 200_000), SEGS, "not valid JSON"),
    "aggregation without key": (_write(AGGREGATION, b"{}"), AGGREGATION, "'segGroups'"),
    "groups are numbers": (_write(AGGREGATION, b'{"segGroups": [1]}'), AGGREGATION, r"segGroups\[0\]"),
    "group without label": (_replace(AGGREGATION, b'"label"', b'"labeI"'), AGGREGATION, r"segGroups\[0\].*'label'"),
    "group without segments": (_replace(AGGREGATION, b'"segments"', b'"segmentz"'), AGGREGATION, "'segments'"),
    "segments as text": (
        _write(AGGREGATION, b'{"segGroups": [{"label": "a", "segments": ["1"]}]}'), AGGREGATION, "whole numbers"),
    "alignment cut": (_write(f"{SCENE}.txt", b"axisAlignment = 1 0 0"), f"{SCENE}.txt", "16 finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_one_line_with_scene_and_file(tmp_path, name):
    damage, file, told = DAMAGES[name]
    root = open_root(tmp_path, random_scene(SCENE))
    read_scene(root, SCENE, "train")
    folder = tmp_path / "scans" / SCENE
    damage(folder)
    with pytest.raises(SceneError, match=told) as caught:
        read_scene(root, SCENE, "train")
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    assert message.startswith(f"{SCENE}: {folder / file}: ")
    # copy rebuilds an exception the way a worker process hands it over.
    assert str(copy.copy(caught.value)) == message


def test_missing_folder(tmp_path):
    (tmp_path / "scans").mkdir()
    with pytest.raises(SceneError, match="no such folder, nor one in scans_test/"):
        read_scene(open_root(tmp_path), SCENE, "train")


def test_split_list(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"scene0002_00\r\n\r\n  scene0001_00\nscene0002_00\n\n")
    notices: list[str] = []
    assert read_split_list(path, "scannet", notices) == ("scene0001_00", "scene0002_00")
    assert notices == ["list.txt: line 4 repeats scene0002_00; it is used once"]
    for content, told in ((b"\n \n", "lists no scene"), (b"a\n../b\n", "line 2"), (b"\xff\xff", "cannot be read")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=told):
            read_split_list(path, "scannet")
    with pytest.raises(UserError, match="no such scene list"):
        read_split_list(tmp_path / "none.txt", "scannet")


def test_root_splits_and_exclude(tmp_path):
    write_tree(tmp_path, train=3, val=1)
    lists = {"train": "scannetv2_train.txt", "val": "scannetv2_val.txt"}
    root = ScanNetRoot.open(tmp_path, lists, exclude=["scene0001_00", "scene9999_00"])
    assert ScanNetRoot.open(tmp_path).splits == {}
    assert root.splits == {"train": ("scene0000_00", "scene0002_00"), "val": ("scene0003_01",)}
    assert root.notices == ("train: scene0001_00 is excluded", "excluded scene9999_00 is in no list")


def test_broken_roots(tmp_path):
    lists = {"train": "scannetv2_train.txt", "val": "scannetv2_val.txt"}
    with pytest.raises(UserError, match="no such folder"):
        ScanNetRoot.open(tmp_path / "none", lists)
    with pytest.raises(UserError, match="holds no folder scans/"):
        ScanNetRoot.open(tmp_path, lists)
    (tmp_path / "scans").mkdir()
    with pytest.raises(UserError, match=r"labels\.combined\.tsv: no such file"):
        ScanNetRoot.open(tmp_path, lists)
    write_tree(tmp_path, train=1, val=1)
    with pytest.raises(UserError, match="no scene is left for the split val"):
        ScanNetRoot.open(tmp_path, lists, exclude=["scene0001_01"])
    (tmp_path / "scannetv2_val.txt").write_text("scene0000_00\n")
    with pytest.raises(UserError, match="both list scene0000_00"):
        ScanNetRoot.open(tmp_path, lists)


def test_frames_are_not_needed_to_read_a_scan(tmp_path):
    root = open_root(tmp_path, hand_made())
    write_frames(tmp_path / "scannet_frames_25k", SCENE, ["000000"])
    assert json.dumps(read_scene(root, SCENE, "train").raw_sha256).count("000000") == 0
