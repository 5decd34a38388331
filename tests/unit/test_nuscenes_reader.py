"""Raw nuScenes drives to stored drives: values against what was written, splits, roots, and every kind of damage."""

from __future__ import annotations

import copy
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tiny_nuscenes import CAMERA_YAWS, OBJECTS, TinyNuScenes, write_tiny_nuscenes

from regionzoo.artifacts import sha256_file
from regionzoo.classes import class_set
from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.drives import Drive, load_drive, save_drive
from regionzoo.scenes.nuscenes import NuScenesRoot
from regionzoo.scenes.nuscenes_layout import official_split

LISTS: dict[str, str | None] = {"train": None, "val": None}
SCENE = "scene-0002"


def open_root(tiny: TinyNuScenes, lists: dict[str, str | None] = LISTS, exclude: tuple[str, ...] = ()) -> NuScenesRoot:
    index = tiny.root.with_name(f"{tiny.root.name}-index") / "tables.sqlite"
    return NuScenesRoot.open(tiny.root, tiny.version, lists, exclude, index)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TinyNuScenes:
    """Not to be edited."""
    return write_tiny_nuscenes(tmp_path_factory.mktemp("nuscenes") / "raw")


@pytest.fixture(scope="module")
def drive(whole: TinyNuScenes) -> Drive:
    return open_root(whole).read_drive(SCENE, "train", "synthetic-streets")


@pytest.fixture
def tiny(tmp_path: Path) -> TinyNuScenes:
    return write_tiny_nuscenes(tmp_path / "raw", points=30, images=False)


def test_points_labels_and_order_are_those_of_the_files(whole, drive):
    lidars = [whole.data(sample, "LIDAR_TOP")["token"] for sample in whole.samples(SCENE)]
    sweeps = np.concatenate([whole.sweeps[lidar] for lidar in lidars])
    assert (drive.scene_id, drive.split, drive.source) == (SCENE, "train", "synthetic-streets")
    assert np.array_equal(drive.coords, sweeps[:, :3]) and drive.coords.dtype == np.float32
    assert np.array_equal(drive.intensity, sweeps[:, 3]) and drive.intensity.dtype == np.float32
    # The second drive of the tree: 80 points, one more for each sweep before.
    assert drive.offsets.tolist() == [0, 82, 165] and drive.offsets.dtype == np.int64
    assert drive.tokens == tuple(sample["token"] for sample in whole.samples(SCENE))
    names = class_set("nuscenes16").names
    told = {24: "driveable_surface", 25: "other_flat", 26: "sidewalk", 27: "terrain", 28: "manmade", 30: "vegetation"}
    told |= {9: "barrier", 12: "traffic_cone", 17: "car", 2: "pedestrian"}
    fine = np.concatenate([whole.fine[lidar] for lidar in lidars])
    assert set(fine.tolist()) == {*told, 29}
    expected = [names.index(told[value]) if value in told else -100 for value in fine.tolist()]
    assert drive.labels["nuscenes16"].tolist() == expected
    assert drive.labels["nuscenes16"].dtype == np.int16 and list(drive.labels) == ["nuscenes16"]


def test_a_point_has_the_group_of_its_only_box(whole, drive):
    inside = np.concatenate([whole.inside[whole.data(s, "LIDAR_TOP")["token"]] for s in whole.samples(SCENE)])
    several = 0
    for k in range(2):
        for n in range(drive.offsets[k], drive.offsets[k + 1]):
            holders = np.flatnonzero(inside[n])
            several += len(holders) > 1
            assert drive.group[n] == (holders[0] + k * len(OBJECTS) if len(holders) == 1 else -100)
    assert several > 5 and drive.group.dtype == np.int32
    assert drive.categories == tuple(category for category, *_ in OBJECTS) * 2
    assert set(drive.group.tolist()) == {-100, *range(8)}


def test_cameras_are_in_their_order_with_their_matrices(whole, drive):
    assert drive.intrinsics.shape == (2, 6, 3, 3) and drive.lidar_to_camera.shape == (2, 6, 4, 4)
    assert drive.intrinsics.dtype == drive.lidar_to_camera.dtype == np.float64
    points = np.random.default_rng(0).uniform(-30, 30, (20, 3))
    for k, sample in enumerate(whole.samples(SCENE)):
        assert [Path(name).parts[1] for name in drive.images[k]] == list(CAMERA_YAWS)
        for c, channel in enumerate(CAMERA_YAWS):
            record = whole.data(sample, channel)
            assert drive.images[k][c] == record["filename"] and (whole.root / record["filename"]).is_file()
            mount = whole.get("calibrated_sensor", record["calibrated_sensor_token"])
            assert drive.intrinsics[k, c].tolist() == mount["camera_intrinsic"]
            # Step by step: to the car, to the map, to the car at the camera's time, to the camera.
            moved = points
            for of in ("LIDAR_TOP", channel):
                data = whole.data(sample, of)
                steps = [
                    whole.get("calibrated_sensor", data["calibrated_sensor_token"]),
                    whole.get("ego_pose", data["ego_pose_token"]),
                ]
                for step in steps if of == "LIDAR_TOP" else steps[::-1]:
                    turn = Rotation.from_quat(step["rotation"], scalar_first=True)
                    if of == "LIDAR_TOP":
                        moved = turn.apply(moved) + step["translation"]
                    else:
                        moved = turn.inv().apply(moved - np.array(step["translation"]))
            matrix = drive.lidar_to_camera[k, c]
            assert np.allclose(points @ matrix[:3, :3].T + matrix[:3, 3], moved, rtol=0, atol=1e-9)


def test_a_box_is_seen_by_the_camera_on_its_side(drive):
    """The car stands ahead and a little to the left: in the middle of the front camera's image."""
    car = drive.coords[drive.group == 0].astype(float)
    matrix, intrinsics = drive.lidar_to_camera[0, 0], drive.intrinsics[0, 0]
    image = (car @ matrix[:3, :3].T + matrix[:3, 3]) @ intrinsics.T
    pixels = image[:, :2] / image[:, 2:]
    assert (image[:, 2] > 5).all() and (np.abs(pixels - [800, 450]) < [600, 300]).all()


def test_hashes_are_those_of_the_files_and_of_the_records(whole, drive):
    root = open_root(whole)
    files = root.raw_files(SCENE)
    assert len(files) == 4 and files == sorted(files)
    assert root.raw_sha256(SCENE) == drive.raw_sha256
    assert drive.raw_sha256.keys() == {*files, "tables"}
    assert all(drive.raw_sha256[name] == sha256_file(whole.root / name) for name in files)
    for sample in whole.samples(SCENE):
        lidar = whole.data(sample, "LIDAR_TOP")
        assert {lidar["filename"], f"lidarseg/{whole.version}/{lidar['token']}_lidarseg.bin"} <= set(files)


def test_a_stored_drive_is_what_was_read(tmp_path, drive):
    save_drive(tmp_path / f"{SCENE}.safetensors", drive)
    found = load_drive(tmp_path / f"{SCENE}.safetensors")
    assert (found.tokens, found.images, found.raw_sha256) == (drive.tokens, drive.images, drive.raw_sha256)
    assert np.array_equal(found.group, drive.group)


def test_images_are_not_opened(tiny):
    assert not (tiny.root / "samples" / "CAM_FRONT").exists()
    assert open_root(tiny).read_drive(SCENE, "train").images[0][0].startswith("samples/CAM_FRONT/")


def test_a_root_travels_to_other_processes(whole, drive):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(open_root(whole).read_drive, (SCENE, "train", "synthetic-streets"))
    assert found.coords_sha256 == drive.coords_sha256 and found.raw_sha256 == drive.raw_sha256


def test_strange_intensities_are_told(tiny):
    notices: list[str] = []
    open_root(tiny).read_drive(SCENE, "train", notices=notices)
    assert notices == []
    path = tiny.root / open_root(tiny).raw_files(SCENE)[-1]
    sweep = np.fromfile(path, "<f4").reshape(-1, 5)
    sweep[0, 3], sweep[1, 3] = 256, -3
    path.write_bytes(sweep.tobytes())
    open_root(tiny).read_drive(SCENE, "train", notices=notices)
    assert notices == [f"{SCENE}: intensities -3..256, expected 0..255"]


Damage = Callable[[TinyNuScenes, Path, Path], object]


def resize(by: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[:by] if by < 0 else path.read_bytes() + bytes(by))


def set_value(path: Path, row: int, column: int, value: float) -> None:
    sweep = np.fromfile(path, "<f4").reshape(-1, 5)
    sweep[row, column] = value
    path.write_bytes(sweep.tobytes())


# Each damages the sweep or the labels of the second keyframe, which has 33 points.
DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "no sweep": (lambda sweep, labels: sweep.unlink(), "sweep", "missing; unpack the part of the download"),
    "sweep is a folder": (lambda sweep, labels: (sweep.unlink(), sweep.mkdir()), "sweep", "cannot be read"),
    "sweep cut": (lambda sweep, labels: resize(-1)(sweep), "sweep", "659 bytes; expected 5 float32 a point"),
    "sweep cut by a number": (lambda sweep, labels: resize(-4)(sweep), "sweep", "656 bytes"),
    "sweep empty": (lambda sweep, labels: sweep.write_bytes(b""), "sweep", "0 bytes"),
    "not finite": (lambda sweep, labels: set_value(sweep, 7, 2, np.nan), "sweep", "1 of 33 points are not finite"),
    "infinite": (lambda sweep, labels: set_value(sweep, 9, 3, np.inf), "sweep", "not finite, first is 9"),
    "a point less": (lambda sweep, labels: resize(-20)(sweep), "labels", "33 labels, but its sweep has 32 points"),
    "no labels": (lambda sweep, labels: labels.rename(labels.with_name("x.bin")), "labels", "missing; unpack"),
    "a label less": (lambda sweep, labels: resize(-1)(labels), "labels", "32 labels, but its sweep has 33"),
    "a label more": (lambda sweep, labels: resize(1)(labels), "labels", "34 labels"),
    "no fine class": (
        lambda sweep, labels: labels.write_bytes(b"\x20" + labels.read_bytes()[1:]), "labels",
        r"fine class 32; expected 0\.\.31; copy it again"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_one_line_with_scene_and_file(tiny, name):
    damage, kind, told = DAMAGES[name]
    root = open_root(tiny)
    lidar = tiny.data(tiny.samples(SCENE)[1], "LIDAR_TOP")
    paths = {"sweep": tiny.root / lidar["filename"], "labels": tiny.label_file(lidar["token"])}
    damage(**paths)
    with pytest.raises(SceneError, match=told) as caught:
        root.read_drive(SCENE, "train")
    message = str(caught.value)
    assert message.startswith(f"{SCENE}: {paths[kind]}: ") and "\n" not in message
    assert str(copy.copy(caught.value)) == message
    # The other drives are as good as before.
    assert len(root.read_drive("scene-0003", "val")) == 34 + 35
    if "missing" in told:
        with pytest.raises(SceneError, match="missing"):
            root.raw_sha256(SCENE)


def test_fewer_or_more_label_files_than_records(tiny):
    root = open_root(tiny)
    files = sorted((tiny.root / "lidarseg" / tiny.version).iterdir())
    (files[0].parent / "more_lidarseg.bin").write_bytes(b"")
    told = "7 label files, but lidarseg.json has 6 records; unpack nuScenes-lidarseg over the download"
    with pytest.raises(UserError, match=told):
        open_root(tiny)
    (files[0].parent / "more_lidarseg.bin").rename(files[0].parent / "readme.txt")
    assert open_root(tiny) == root
    files[0].unlink()
    with pytest.raises(UserError, match="5 label files, but"):
        open_root(tiny)
    shutil.rmtree(files[0].parent)
    with pytest.raises(UserError, match=rf"lidarseg/{tiny.version}: no such folder of label files; unpack"):
        open_root(tiny)


def test_official_splits_are_those_that_the_tables_have(tiny):
    root = open_root(tiny)
    assert root.splits == {"train": ("scene-0001", SCENE), "val": ("scene-0003",)}
    assert root.notices == (
        "train: 698 of the 700 scenes of the official split are not in the tables",
        "val: 149 of the 150 scenes of the official split are not in the tables",
    )
    with pytest.raises(UserError, match=r"v1\.0-trainval has no official split test; its splits are train, val"):
        open_root(tiny, {"test": None})
    only_train = write_tiny_nuscenes(tiny.root.with_name("train"), scenes=(SCENE,), images=False)
    with pytest.raises(UserError, match=r"scene\.json: has none of the 150 scenes of the official split val; name a"):
        open_root(only_train)


def test_the_mini_version(tmp_path):
    tiny = write_tiny_nuscenes(tmp_path / "raw", "v1.0-mini", images=False)
    root = open_root(tiny)
    assert root.splits == {"train": ("scene-0061", "scene-0553"), "val": ("scene-0103",)}
    assert len(root.read_drive("scene-0103", "val").tokens) == 2
    assert [len(official_split("v1.0-mini")[split]) for split in ("train", "val")] == [8, 2]
    assert [len(official_split("v1.0-trainval")[split]) for split in ("train", "val")] == [700, 150]


def test_own_lists(tiny):
    (tiny.root / "mine.txt").write_text(f"scene-0003\n\n{SCENE}\nscene-0003\n")
    (tiny.root / "rest.txt").write_text("scene-0001\n")
    root = open_root(tiny, {"train": "mine.txt", "val": str(tiny.root / "rest.txt")})
    assert root.splits == {"train": (SCENE, "scene-0003"), "val": ("scene-0001",)}
    assert root.notices == ("mine.txt: line 4 repeats scene-0003; it is used once",)
    with pytest.raises(UserError, match="both list scene-0003"):
        open_root(tiny, {"train": "mine.txt", "val": None})
    with pytest.raises(UserError, match=r"none\.txt: no such scene list; .*data\.nuscenes"):
        open_root(tiny, {"train": "none.txt"})
    (tiny.root / "rest.txt").write_text("scene-0001\nscene-0777\nscene-0666\n")
    with pytest.raises(UserError, match=r"rest\.txt: lists scene-0666, which .*scene\.json does not have \(2 in all\)"):
        open_root(tiny, {"train": "rest.txt"})


def test_exclude(tiny):
    root = open_root(tiny, exclude=("scene-0001", "scene-0009"))
    assert root.splits == {"train": (SCENE,), "val": ("scene-0003",)}
    assert root.notices[-1] == "excluded scene-0009 is in no list"
    assert "train: scene-0001 is excluded" in root.notices and len(root.notices) == 4
    with pytest.raises(UserError, match=r"split val: no scene is left .*data\.nuscenes\.exclude"):
        open_root(tiny, exclude=("scene-0003",))


def test_roots_one_level_off_are_told_the_right_one(tmp_path):
    tiny = write_tiny_nuscenes(tmp_path / "data" / "nuscenes", images=False)

    def told(root: Path, version: str = "v1.0-trainval") -> str:
        with pytest.raises(UserError) as caught:
            NuScenesRoot.open(root, version, LISTS, (), tmp_path / "index.sqlite")
        assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{root}: ")
        assert not (tmp_path / "index.sqlite").exists()
        return str(caught.value)

    for wrong in (tmp_path / "data", tiny.root / tiny.version, tiny.root / "samples"):
        assert f"but {tiny.root} does; data.nuscenes.root must be the folder that holds v1.0-trainval/" in told(wrong)
    assert "no such folder; data.nuscenes.root must be" in told(tmp_path / "none")
    assert "no such folder" in told(tiny.table("scene"))
    assert "holds no tables v1.0-trainval/*.json; data" in told(tmp_path)
    assert "holds v1.0-trainval, not v1.0-mini; set data.nuscenes.version" in told(tiny.root, "v1.0-mini")


def test_the_version_may_be_there_twice(tmp_path):
    """The original keeps the download in a folder of the version's name, so the name comes twice."""
    outer = tmp_path / "nuscenes"
    tiny = write_tiny_nuscenes(outer / "v1.0-trainval", images=False)
    assert len(open_root(tiny).read_drive(SCENE, "train").tokens) == 2
    for wrong in (outer, tiny.root / "v1.0-trainval"):
        with pytest.raises(UserError, match=f"holds no tables .*, but {tiny.root} does"):
            NuScenesRoot.open(wrong, "v1.0-trainval", LISTS, (), tmp_path / "index.sqlite")


def test_an_edited_table_is_another_drive(tiny):
    before = open_root(tiny).read_drive(SCENE, "train")
    box = tiny.boxes(tiny.samples(SCENE)[0])[0]
    box["translation"][2] += 30.0
    tiny.write_tables("sample_annotation")
    root = open_root(tiny)
    after = root.read_drive(SCENE, "train")
    assert after.raw_sha256["tables"] != before.raw_sha256["tables"]
    assert (before.group == 0).any() and not (after.group == 0).any()
    assert root.raw_sha256("scene-0001") == open_root(tiny).raw_sha256("scene-0001")


def test_the_devkit_reads_the_same_from_the_tiny_tree(whole, drive):
    pytest.importorskip("nuscenes")
    from nuscenes.nuscenes import NuScenes
    from nuscenes.utils.geometry_utils import points_in_box

    devkit = NuScenes(whole.version, str(whole.root), verbose=False)
    token = next(record["first_sample_token"] for record in devkit.scene if record["name"] == SCENE)
    for k in range(2):
        sample = devkit.get("sample", token)
        assert drive.tokens[k] == token
        lidar, names = sample["data"]["LIDAR_TOP"], drive.categories[4 * k : 4 * k + 4]
        _, boxes, _ = devkit.get_sample_data(lidar)
        assert tuple(box.name for box in boxes) == names
        for number, box in enumerate(boxes):
            held = set(np.flatnonzero(points_in_box(box, drive.coords[drive.part(k)].T)))
            own = np.flatnonzero(drive.group[drive.part(k)] == 4 * k + number)
            assert len(own) > 3 and held.issuperset(own)
        token = sample["next"]
    assert token == ""
