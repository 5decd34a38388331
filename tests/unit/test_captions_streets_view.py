"""Which lidar points a camera of a drive sees and which lie in a box of it, against loops over points."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from caption_drives import CAMERAS, K, pack, random_drive
from PIL import Image

from regionzoo.captions.street_view import CameraImage, street_views
from regionzoo.errors import SceneError

ROOT = Path(__file__).resolve().parents[3] / "shared" / "data" / "nuscenes_onesample"


def views_of(drive, keyframes=None):
    return list(street_views(drive, Path("raw"), range(drive.keyframes) if keyframes is None else keyframes))


def seen_one_by_one(points, to_camera, camera):
    """{position: (column, row)} by the rules for one point at a time, with Python's own numbers."""
    (fx, skew, cx), (_, fy, cy), _ = camera.tolist()
    rows = to_camera.tolist()
    seen = {}
    for position, point in enumerate(points.tolist()):
        x, y, z = (sum(row[k] * point[k] for k in range(3)) + row[3] for row in rows[:3])
        if z <= 1:
            continue
        u, v = (fx * x + skew * y) / z + cx, fy * y / z + cy
        if 1 < u < 1599 and 1 < v < 899:
            seen[position] = (int(u), int(v))
    return seen


@pytest.mark.parametrize("seed", range(2))
def test_views_and_regions_equal_a_loop_over_points(seed):
    drive = random_drive(seed, keyframes=2, points=2000)
    rng = np.random.default_rng(seed)
    views = views_of(drive)
    assert len(views) == 12
    for number, view in enumerate(views):
        keyframe, camera = divmod(number, 6)
        assert (view.scene_id, view.name) == (drive.scene_id, f"{keyframe}/{CAMERAS[camera].lower()}")
        assert (view.keyframe, view.camera) == (keyframe, camera)
        assert view.path == Path("raw") / drive.images[keyframe][camera]
        start, part = drive.offsets[keyframe], drive.coords[drive.part(keyframe)]
        expected = seen_one_by_one(part, drive.lidar_to_camera[keyframe, camera], drive.intrinsics[keyframe, camera])
        assert len(expected) > 50
        assert (view.points - start).tolist() == list(expected)
        assert list(zip(view.u.tolist(), view.v.tolist(), strict=True)) == list(expected.values())
        assert view.labels.tolist() == [drive.labels["nuscenes16"][start + k] for k in expected]
        assert view.group.tolist() == [drive.group[start + k] for k in expected]
        for _ in range(5):
            left, right = sorted(rng.uniform(0, 1600, 2))
            top, bottom = sorted(rng.uniform(0, 900, 2))
            inside = [start + k for k, (u, v) in expected.items() if left < u < right and top < v < bottom]
            found = view.region((left, top, right, bottom))
            assert found.tolist() == inside
            assert found.dtype == np.int32


def drive_of_pixels(pixels, depth=1000.0):
    """One keyframe whose first camera sees points at exact pixels; the others look away."""
    coords = np.array([(u, v, depth) for u, v in pixels])
    drive = pack([(coords, np.full(len(coords), 10), np.full(len(coords), -100))], ())
    camera = np.array([[1000.0, 0, 0], [0, 1000.0, 0], [0, 0, 1]])
    away = np.diag([1.0, 1, -1, 1])
    matrices = np.array([[np.eye(4)] + [away] * 5])
    return replace(drive, intrinsics=np.tile(camera, (1, 6, 1, 1)), lidar_to_camera=matrices)


def test_pixels_on_the_margin_of_the_image_are_not_seen():
    inside = [(1.5, 1.5), (1598.5, 898.5), (800, 1.25), (1.25, 450)]
    outside = [(1, 450), (1599, 450), (800, 1), (800, 899), (0.5, 450), (-0.5, 450), (1600, 450), (800, 899.5)]
    first, *others = views_of(drive_of_pixels(outside + inside))
    assert first.points.tolist() == list(range(len(outside), len(outside + inside)))
    assert first.u.tolist() == [1, 1598, 800, 1]
    assert first.v.tolist() == [1, 898, 1, 450]
    assert [len(view.points) for view in others] == [0] * 5


def test_fractions_are_dropped_before_the_box_is_asked():
    pixels = [(10.875, 50.5), (11, 50.5), (19.875, 50.5), (20, 50.5), (15, 40.9375), (15, 41), (15, 59.5), (15, 60)]
    view = views_of(drive_of_pixels(pixels))[0]
    # 10.875 is in column 10, on the box' edge; 19.875 is in column 19, inside.
    assert view.region((10.0, 40.0, 20.0, 60.0)).tolist() == [1, 2, 5, 6]
    assert view.region((10.0, 40.9, 20.0, 60.0)).tolist() == [1, 2, 5, 6]
    assert view.region((9.9, 39.9, 20.1, 60.1)).tolist() == list(range(8))


def test_nothing_hides_a_point_and_near_ones_are_left_out():
    pixels = [(100, 100)] * 4
    drive = drive_of_pixels(pixels)
    depths = np.array([1.0, 1.0625, 2.0, 60.0])
    coords = np.stack([depths / 10, depths / 10, depths], axis=1).astype(np.float32)
    assert views_of(replace(drive, coords=coords))[0].points.tolist() == [1, 2, 3]


def test_only_the_asked_keyframes_are_seen():
    drive = random_drive(0, keyframes=3, points=500)
    everything = {view.name: view.points.tolist() for view in views_of(drive)}
    some = {view.name: view.points.tolist() for view in views_of(drive, [2, 0])}
    assert list(some) == [f"{k}/{camera.lower()}" for k in (2, 0) for camera in CAMERAS]
    assert all(everything[name] == points for name, points in some.items())
    assert len(everything) == 18


def test_color_is_read_when_asked(tmp_path):
    image = CameraImage("scene-0001", "0/cam_front", tmp_path / "a.jpg")
    with pytest.raises(SceneError, match=r"scene-0001: .*a\.jpg.*missing"):
        image.load_color()
    Image.new("RGB", (1600, 900), (200, 30, 30)).save(image.path)
    color = image.load_color()
    assert (color.shape, color.dtype) == ((900, 1600, 3), np.uint8)
    assert np.abs(color.reshape(-1, 3).mean(axis=0) - [200, 30, 30]).max() < 5
    content = image.path.read_bytes()
    for damage, told in (
        (b"no image", "not a readable image"),
        (content[: len(content) // 2], "not a readable image"),
    ):
        image.path.write_bytes(damage)
        with pytest.raises(SceneError, match=told):
            image.load_color()
    for size, mode, told in (((1600, 800), "RGB", "1600x800 RGB"), ((1600, 900), "L", "1600x900 L")):
        Image.new(mode, size).save(image.path)
        with pytest.raises(SceneError, match=rf"{told}, expected 1600x900 RGB"):
            image.load_color()


def turned(quaternion, vector):
    """The vector part of q v q*, by Hamilton's product."""

    def product(a, b):
        w, x, y, z = a
        p, q, r, s = b
        return (
            w * p - x * q - y * r - z * s,
            w * q + x * p + y * s - z * r,
            w * r - x * s + y * p + z * q,
            w * s + x * r - y * q + z * p,
        )

    w, x, y, z = quaternion
    return product(product(quaternion, (0.0, *vector)), (w, -x, -y, -z))[1:]


def back(quaternion, vector):
    w, x, y, z = quaternion
    return turned((w, -x, -y, -z), vector)


@pytest.mark.skipif(not ROOT.is_dir(), reason="the real keyframe is not beside this checkout")
def test_a_real_keyframe_against_the_chain_of_single_poses():
    tables = ROOT / "v1.0-mini"
    records = {name: json.loads((tables / f"{name}.json").read_text()) for name in ("sample_data", "ego_pose")}
    sensors = {record["token"]: record for record in json.loads((tables / "calibrated_sensor.json").read_text())}
    egos = {record["token"]: record for record in records["ego_pose"]}
    by_channel = {record["filename"].split("/")[1]: record for record in records["sample_data"]}
    lidar = by_channel["LIDAR_TOP"]
    points = np.fromfile(ROOT / lidar["filename"], np.float32).reshape(-1, 5)[::8, :3]

    def to_camera(point, camera):
        sensor = sensors[lidar["calibrated_sensor_token"]]
        for pose in (sensor, egos[lidar["ego_pose_token"]]):
            point = [a + b for a, b in zip(turned(pose["rotation"], point), pose["translation"], strict=True)]
        for pose in (egos[camera["ego_pose_token"]], sensors[camera["calibrated_sensor_token"]]):
            point = back(pose["rotation"], [a - b for a, b in zip(point, pose["translation"], strict=True)])
        return point

    matrices, intrinsics = np.tile(np.eye(4), (1, 6, 1, 1)), np.tile(K, (1, 6, 1, 1))
    for number, name in enumerate(CAMERAS):
        corners = np.array([to_camera(corner, by_channel[name]) for corner in np.vstack([np.zeros(3), np.eye(3)])])
        matrices[0, number, :3, 3] = corners[0]
        matrices[0, number, :3, :3] = (corners[1:] - corners[0]).T
        intrinsics[0, number] = sensors[by_channel[name]["calibrated_sensor_token"]]["camera_intrinsic"]
    nothing = np.full(len(points), -100)
    drive = replace(pack([(points, nothing, nothing)], ()), lidar_to_camera=matrices, intrinsics=intrinsics)
    for number, view in enumerate(views_of(drive)):
        (fx, _, cx), (_, fy, cy), _ = intrinsics[0, number].tolist()
        expected, doubtful = {}, set()
        for position, point in enumerate(points.tolist()):
            x, y, z = to_camera(point, by_channel[CAMERAS[number]])
            if z <= 1:
                continue
            u, v = fx * x / z + cx, fy * y / z + cy
            # The two ways differ in the last digits: a pixel on the very edge may fall on either side.
            if min(abs(u - round(u)), abs(v - round(v))) < 1e-6:
                doubtful.add(position)
            if 1 < u < 1599 and 1 < v < 899:
                expected[position] = (int(u), int(v))
        found = dict(zip(view.points.tolist(), zip(view.u.tolist(), view.v.tolist(), strict=True), strict=True))
        assert len(doubtful) < 5
        assert len(expected) > 250
        assert {k: p for k, p in found.items() if k not in doubtful} == {
            k: p for k, p in expected.items() if k not in doubtful
        }
