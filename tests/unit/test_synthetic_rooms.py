"""Synthetic rooms: their files are what the official download holds, and images and meshes show the same room."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plyfile import PlyData

from regionzoo.artifacts import tree_hashes
from regionzoo.classes import class_set
from regionzoo.scenes.synthetic import GENERATOR_VERSION, RoomSettings, generate, scene_ids
from regionzoo.scenes.synthetic.table import nyu40_ids

SETTINGS = RoomSettings(train_scenes=3, val_scenes=1, frames=3, vertex_spacing=0.05, seed=3)
OFFICIAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "scannet_official"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set with frames."""
    path = tmp_path_factory.mktemp("rooms")
    generate(path, SETTINGS, workers=1)
    return path


def read_text(path: Path) -> dict[str, str]:
    return dict(line.split(" = ", 1) for line in path.read_text().splitlines())


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def mesh(root: Path, scene: str, kind: str = "") -> PlyData:
    return PlyData.read(root / "scans" / scene / f"{scene}_vh_clean_2{kind}.ply")


def vertices(ply: PlyData) -> np.ndarray:
    return np.stack([ply["vertex"][axis] for axis in "xyz"], axis=1)


def annotation(root: Path, scene: str) -> tuple[np.ndarray, list[dict]]:
    folder = root / "scans" / scene
    segments = json.loads((folder / f"{scene}_vh_clean_2.0.010000.segs.json").read_text())
    groups = json.loads((folder / f"{scene}.aggregation.json").read_text())
    assert groups["segmentsFile"] == f"scannet.{scene}_vh_clean_2.0.010000.segs.json"
    assert segments["sceneId"] == groups["sceneId"] == f"scannet.{scene}"
    return np.array(segments["segIndices"]), groups["segGroups"]


def owners(root: Path, scene: str) -> tuple[np.ndarray, list[dict]]:
    """objectId of each vertex, -1 for none, by the way of the official exporters."""
    segments, groups = annotation(root, scene)
    owner = np.full(len(segments), -1)
    for group in groups:
        owner[np.isin(segments, group["segments"])] = group["objectId"]
    return owner, groups


def test_meshes_have_the_official_records(root: Path) -> None:
    for scene in scene_ids(SETTINGS)[0]:
        photo, labels = mesh(root, scene), mesh(root, scene, ".labels")
        count = len(photo["vertex"].data)
        for kind, ply, size in (("", photo, 16), (".labels", labels, 18)):
            raw = (root / "scans" / scene / f"{scene}_vh_clean_2{kind}.ply").read_bytes()
            head, _, body = raw.partition(b"end_header\n")
            lines = head.decode("ascii").splitlines()
            assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
            expected = [f"property float {axis}" for axis in "xyz"]
            expected += [f"property uchar {name}" for name in ("red", "green", "blue", "alpha")]
            expected += ["property ushort label"] if kind else []
            assert [line for line in lines if line.startswith("property") and "list" not in line] == expected
            assert lines[-1] == "property list uchar int vertex_indices"
            assert len(body) == size * count + 13 * len(ply["face"].data)
            assert (ply["vertex"]["alpha"] == 255).all()
        assert np.array_equal(vertices(photo), vertices(labels))
        triangles = np.stack(photo["face"]["vertex_indices"])
        assert np.array_equal(triangles, np.stack(labels["face"]["vertex_indices"]))
        assert np.array_equal(np.unique(triangles), np.arange(count)), "every vertex belongs to a face"
        corners = vertices(photo)[triangles]
        doubled_area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        assert (doubled_area > 0).mean() > 0.999


def test_superpoints_and_groups(root: Path) -> None:
    table = {row["raw_category"]: row for row in read_table(root / "scannetv2-labels.combined.tsv")}
    unannotated = []
    for scene in scene_ids(SETTINGS)[0]:
        segments, groups = annotation(root, scene)
        labels = mesh(root, scene, ".labels")["vertex"]["label"]
        assert len(segments) == len(labels)
        roots = np.unique(segments)
        assert np.array_equal(segments[roots], roots), "a superpoint is named by one of its own vertices"
        assert roots.max() > len(roots), "names are sparse"
        assert [group["objectId"] for group in groups] == [group["id"] for group in groups] == list(range(len(groups)))
        claimed = [segment for group in groups for segment in group["segments"]]
        assert len(claimed) == len(set(claimed)) and set(claimed) <= set(roots.tolist())
        names = {group["label"] for group in groups}
        assert {"wall", "floor", "door"} <= names <= set(table)
        owner, _ = owners(root, scene)
        by_group = np.array([int(table[group["label"]]["nyu40id"]) for group in groups] + [0])
        assert np.array_equal(by_group[owner], labels)
        unannotated.append((labels == 0).mean())
    assert 0 < max(unannotated) < 0.15


def test_label_colors_are_the_datasets_own(root: Path) -> None:
    scene = scene_ids(SETTINGS)[0][0]
    data = mesh(root, scene, ".labels")["vertex"].data
    classes = class_set("scannet20")
    for nyu40, color in zip(classes.nyu40_ids, classes.colors, strict=True):
        mine = data[data["label"] == nyu40]
        assert all(
            (mine[channel] == value).all() for channel, value in zip(("red", "green", "blue"), color, strict=True)
        )


def test_label_table(root: Path) -> None:
    rows = read_table(root / "scannetv2-labels.combined.tsv")
    assert len(rows[0]) == 17
    by_name = {row["raw_category"]: row for row in rows}
    classes = class_set("scannet200")
    for name, raw_id, nyu40 in zip(classes.names, classes.raw_ids, classes.nyu40_ids, strict=True):
        assert (int(by_name[name]["id"]), int(by_name[name]["nyu40id"])) == (raw_id, nyu40)
    assert by_name["refrigerator"]["nyu40class"] == "refridgerator"


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="no official files here")
def test_label_table_agrees_with_the_official_one(root: Path) -> None:
    official: dict[str, dict[str, str]] = {}
    for row in read_table(OFFICIAL / "scannetv2-labels.combined.tsv"):
        official.setdefault(row["raw_category"], row)
    rows = read_table(root / "scannetv2-labels.combined.tsv")
    assert list(rows[0]) == list(next(iter(official.values())))
    for row in rows:
        expected = official[row["raw_category"]]
        assert [row[key] for key in ("id", "nyu40id", "nyu40class")] == [
            expected[key] for key in ("id", "nyu40id", "nyu40class")
        ]


def test_alignment_stands_the_room_on_zero_and_along_the_axes(root: Path) -> None:
    for scene in [*scene_ids(SETTINGS)[0], *scene_ids(SETTINGS)[1]]:
        text = read_text(root / "scans" / scene / f"{scene}.txt")
        assert list(text) == sorted(text, key=str.lower)
        matrix = np.array(text["axisAlignment"].split(), float).reshape(4, 4)
        assert np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-5)
        assert np.allclose(matrix[2, :3], (0, 0, 1)) and not np.allclose(matrix[:3, :3], np.eye(3), atol=0.02)
        points = vertices(mesh(root, scene)) @ matrix[:3, :3].T + matrix[:3, 3]
        labels = mesh(root, scene, ".labels")["vertex"]["label"]
        floor, wall = points[labels == 2], points[labels == 1]
        assert abs(np.median(floor[:, 2])) < 0.01
        # Walls are planes x = const or y = const: nearly all their points lie in few thin slabs.
        near = np.zeros(len(wall), bool)
        for axis in (0, 1):
            bins = np.bincount(((wall[:, axis] + 10) / 0.05).astype(int), minlength=400)
            near |= bins[((wall[:, axis] + 10) / 0.05).astype(int)] > 0.04 * len(wall)
        assert near.mean() > 0.9
        assert np.abs(np.median(points[:, :2], axis=0)).max() < 1.5


def test_frames_have_the_official_formats(root: Path) -> None:
    train, val = scene_ids(SETTINGS)
    assert sorted(path.name for path in (root / "scannet_frames_25k").iterdir()) == sorted(train)
    assert not set(val) & set(train)
    for scene in train:
        folder = root / "scannet_frames_25k" / scene
        stems = [path.stem for path in sorted((folder / "color").iterdir())]
        assert stems == ["000000", "000100", "000200"]
        depth_k, color_k = np.loadtxt(folder / "intrinsics_depth.txt"), np.loadtxt(folder / "intrinsics_color.txt")
        assert depth_k.shape == color_k.shape == (4, 4)
        assert depth_k[0, 2] == 319.5 and depth_k[1, 2] == 239.5 and abs(depth_k[0, 0] - 571.6) < 0.1
        for stem in stems:
            color = Image.open(folder / "color" / f"{stem}.jpg")
            assert color.format == "JPEG" and color.size == (1296, 968) and color.mode == "RGB"
            depth = Image.open(folder / "depth" / f"{stem}.png")
            assert depth.size == (640, 480) and depth.mode == "I;16"
            label = np.array(Image.open(folder / "label" / f"{stem}.png"))
            instance = np.array(Image.open(folder / "instance" / f"{stem}.png"))
            assert label.shape == instance.shape == (968, 1296)
            assert label.dtype == np.uint8 and instance.dtype == np.uint16
            assert np.array_equal(instance // 1000, label)
            assert ((instance % 1000 > 0) == (label > 0)).all()
            holes = (np.array(depth) == 0).mean()
            assert 0 < holes < 0.3


def test_images_and_mesh_show_the_same_room(root: Path) -> None:
    """Project the mesh by hand: what passes the depth test has the label and the instance of its pixel."""
    checked = 0
    for scene in scene_ids(SETTINGS)[0]:
        points = vertices(mesh(root, scene)).astype(float)
        labels = mesh(root, scene, ".labels")["vertex"]["label"]
        colors = np.stack([mesh(root, scene)["vertex"][c] for c in ("red", "green", "blue")], axis=1).astype(float)
        owner, groups = owners(root, scene)
        used: dict[int, int] = {}
        ids = []
        for group in groups:
            nyu40 = nyu40_ids()[group["label"]]
            used[nyu40] = used.get(nyu40, 0) + 1
            ids.append(nyu40 * 1000 + used[nyu40])
        instance = np.array([*ids, 0])[owner]
        folder = root / "scannet_frames_25k" / scene
        matrix = np.loadtxt(folder / "intrinsics_depth.txt")
        for path in sorted((folder / "pose").iterdir()):
            pose = np.loadtxt(path)
            if not np.isfinite(pose).all():
                continue
            assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-4)
            assert np.linalg.det(pose[:3, :3]) > 0 and pose[2, 1] < 0, "right-handed, y points down"
            depth = np.array(Image.open(folder / "depth" / f"{path.stem}.png")) / 1000
            camera = np.linalg.inv(pose) @ np.c_[points, np.ones(len(points))].T
            u = np.round(matrix[0, 0] * camera[0] / camera[2] + matrix[0, 2])
            v = np.round(matrix[1, 1] * camera[1] / camera[2] + matrix[1, 2])
            at = np.flatnonzero((camera[2] > 0.1) & (u >= 0) & (u < 640) & (v >= 0) & (v < 480))
            u, v, z = u[at].astype(int), v[at].astype(int), camera[2, at]
            seen = (depth[v, u] > 0) & (np.abs(depth[v, u] - z) <= 0.05 * depth[v, u])
            front = (depth[v, u] > 0) & (z < 0.95 * depth[v, u])
            assert front.mean() < 0.05, "nothing of the mesh floats before the depth image"
            at, u, v = at[seen], u[seen], v[seen]
            assert len(at) > 500
            label = np.array(Image.open(folder / "label" / f"{path.stem}.png"))
            number = np.array(Image.open(folder / "instance" / f"{path.stem}.png"))
            color = np.array(Image.open(folder / "color" / f"{path.stem}.jpg")).astype(float)
            row, column = (v * 968 / 480).astype(int), (u * 1296 / 640).astype(int)
            assert (label[row, column] == labels[at]).mean() >= 0.9
            assert (number[row, column] == instance[at]).mean() >= 0.9
            assert np.median(np.abs(color[row, column] - colors[at])) < 12
            checked += 1
    assert checked >= 6


def test_same_settings_give_the_same_bytes_whatever_the_workers_and_the_count(root: Path, tmp_path: Path) -> None:
    more = RoomSettings(train_scenes=4, val_scenes=2, frames=3, vertex_spacing=0.05, seed=3)
    generate(tmp_path, more, workers=2)
    first, second = tree_hashes(root), tree_hashes(tmp_path)
    shared = [name for name in first if name.startswith(("scans/", "scannet_frames_25k/"))]
    assert len(shared) == 3 * (5 + 3 * 5 + 2) + 5
    assert all(second[name] == first[name] for name in shared)
    other = RoomSettings(train_scenes=1, val_scenes=0, frames=0, vertex_spacing=0.2, seed=4)
    generate(tmp_path / "other", other, workers=1)
    name = "scene0000_00_vh_clean_2.ply"
    assert (tmp_path / "other/scans/scene0000_00" / name).read_bytes() != (
        root / "scans/scene0000_00" / name
    ).read_bytes()


def test_a_killed_run_leaves_no_half_scene_and_is_taken_up(tmp_path: Path) -> None:
    settings = RoomSettings(train_scenes=2, val_scenes=1, frames=1, vertex_spacing=0.2, seed=0)

    def stop(done: int, total: int) -> None:
        assert total == 3
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, settings, 1, stop)
    scans = tmp_path / "scans"
    assert [path.name for path in scans.iterdir()] == ["scene0000_00"]
    assert not (tmp_path / "scannetv2_train.txt").exists()
    # What a kill in the middle of a scan leaves: a folder that is not yet renamed.
    (scans / ".scene0001_00.tmp").mkdir()
    (scans / ".scene0001_00.tmp" / "half.ply").write_text("ply")
    kept = (scans / "scene0000_00" / "scene0000_00.txt").stat().st_mtime_ns
    calls: list[tuple[int, int]] = []
    generate(tmp_path, settings, 1, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert sorted(path.name for path in scans.iterdir()) == ["scene0000_00", "scene0001_00", "scene5000_00"]
    assert (scans / "scene0000_00" / "scene0000_00.txt").stat().st_mtime_ns == kept
    key = json.loads((scans / "scene0000_00" / ".generator.json").read_text())
    assert key["generator"] == GENERATOR_VERSION and "frames" not in key


def test_changed_settings_rewrite_what_they_affect_and_clear_the_rest(tmp_path: Path) -> None:
    def make(train: int, frames: int, spacing: float) -> None:
        generate(tmp_path, RoomSettings(train, 0, frames, spacing, 0), 1)

    (tmp_path / "scans" / "mine").mkdir(parents=True)
    make(2, 1, 0.2)
    ply = tmp_path / "scans/scene0000_00/scene0000_00_vh_clean_2.ply"
    before, size = ply.stat().st_mtime_ns, ply.stat().st_size
    make(1, 2, 0.2)
    assert ply.stat().st_mtime_ns == before, "frames do not touch the mesh"
    assert len(list((tmp_path / "scannet_frames_25k/scene0000_00/color").iterdir())) == 2
    assert sorted(path.name for path in (tmp_path / "scans").iterdir()) == ["mine", "scene0000_00"]
    make(1, 0, 0.15)
    assert ply.stat().st_size > size
    assert not list((tmp_path / "scannet_frames_25k").iterdir())


def test_split_lists_hold_every_scan_once_and_are_not_sorted(tmp_path: Path) -> None:
    settings = RoomSettings(train_scenes=12, val_scenes=3, frames=0, vertex_spacing=0.5, seed=1)
    generate(tmp_path, settings, 1)
    train = (tmp_path / "scannetv2_train.txt").read_text()
    names = train.split("\n")[:-1]
    assert train.endswith("\n") and names != sorted(names)
    assert (
        sorted(names) == sorted(scene_ids(settings)[0]) == sorted(p.name for p in (tmp_path / "scans").glob("scene0*"))
    )
    assert "scene0008_00" in names and "scene0008_01" in names, "some rooms are scanned twice"
    spaces = {name[:9] for name in names}
    assert not spaces & {name[:9] for name in (tmp_path / "scannetv2_val.txt").read_text().split()}
