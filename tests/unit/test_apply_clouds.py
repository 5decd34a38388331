"""Scans in the formats that their owners have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from apply_cases import Points, room
from plyfile import PlyData, PlyElement
from raw_scene import random_scene, truncate, write_scene

from regionzoo.apply.clouds import GREY, read_cloud
from regionzoo.apply.scans import find_scans
from regionzoo.errors import UserError

POINTS = room(200)


def vertices(points: Points, axes: str = "<f4", channels: str = "u1", scale: float = 1) -> np.ndarray:
    made = np.zeros(len(points.coords), [(a, axes) for a in "xyz"] + [(c, channels) for c in ("red", "green", "blue")])
    for k, (axis, channel) in enumerate(zip("xyz", ("red", "green", "blue"), strict=True)):
        made[axis], made[channel] = points.coords[:, k], points.colors[:, k].astype(float) * scale
    return made


def save_ply(path: Path, data: np.ndarray, text: bool = False, order: str = "<", faces: int = 0) -> Path:
    elements = [PlyElement.describe(data, "vertex")]
    if faces:
        corners = np.zeros(40, [("vertex_indices", "O")])
        corners["vertex_indices"] = [np.arange(faces, dtype=np.int32)] * 40
        elements.append(PlyElement.describe(corners, "face", len_types={"vertex_indices": "u1"}))
    PlyData(elements, text=text, byte_order="=" if text else order).write(str(path))
    return path


@pytest.mark.parametrize("faces", [0, 3, 4])
@pytest.mark.parametrize(("text", "order"), [(False, "<"), (False, ">"), (True, "=")])
def test_ply_in_every_encoding(tmp_path: Path, text: bool, order: str, faces: int) -> None:
    cloud = read_cloud(save_ply(tmp_path / "scan.ply", vertices(POINTS), text, order, faces))
    assert cloud.coords.dtype == np.float32 and cloud.colors.dtype == np.uint8 and cloud.notices == ()
    np.testing.assert_allclose(cloud.coords, POINTS.coords, rtol=1e-6)
    np.testing.assert_array_equal(cloud.colors, POINTS.colors)


def test_wide_coordinates_keep_their_digits(tmp_path: Path) -> None:
    data = vertices(POINTS, "<f8")
    data["x"] += 5_334_760.123456
    cloud = read_cloud(save_ply(tmp_path / "scan.ply", data))
    assert cloud.coords.dtype == np.float64
    np.testing.assert_array_equal(cloud.coords[:, 0], data["x"])


@pytest.mark.parametrize(
    ("channels", "scale", "told"),
    [
        ("f4", 1 / 255, "taken as 0..1"),
        ("f8", 1 / 255, "taken as 0..1"),
        ("f4", 1, None),
        ("u2", 257, "16 bits"),
        ("i4", 1, None),
    ],
)
def test_colours_of_every_type_mean_the_same(tmp_path: Path, channels: str, scale: float, told: str | None) -> None:
    cloud = read_cloud(save_ply(tmp_path / "scan.ply", vertices(POINTS, channels=channels, scale=scale)))
    np.testing.assert_allclose(cloud.colors.astype(float), POINTS.colors, atol=1e-3)
    assert [told in notice for notice in cloud.notices] == ([True] if told else [])


def test_centred_colours_are_told_by_their_sign(tmp_path: Path) -> None:
    np.savez(tmp_path / "scan.npz", coords=POINTS.coords, colors=POINTS.colors / 127.5 - 1)
    cloud = read_cloud(tmp_path / "scan.npz")
    np.testing.assert_allclose(cloud.colors, POINTS.colors, atol=1e-3)
    assert "-1..1" in cloud.notices[0]


def test_a_scan_without_colours_is_grey_and_says_so(tmp_path: Path) -> None:
    data = vertices(POINTS)[["x", "y", "z"]].astype([(a, "<f4") for a in "xyz"])
    cloud = read_cloud(save_ply(tmp_path / "scan.ply", data))
    assert (cloud.colors == GREY).all() and "no colours" in cloud.notices[0]


@pytest.mark.parametrize("keys", [("coords", "colors"), ("coord", "color"), ("xyz", "rgb"), ("points", "colors")])
def test_archives_under_common_names(tmp_path: Path, keys: tuple[str, str]) -> None:
    np.savez(tmp_path / "scan.npz", **dict(zip(keys, (POINTS.coords, POINTS.colors), strict=True)), more=np.zeros(3))
    cloud = read_cloud(tmp_path / "scan.npz")
    np.testing.assert_array_equal(cloud.coords, POINTS.coords)
    np.testing.assert_array_equal(cloud.colors, POINTS.colors)


def test_plain_arrays_and_texts(tmp_path: Path) -> None:
    table = np.column_stack([POINTS.coords.astype(np.float64), POINTS.colors])
    np.save(tmp_path / "scan.npy", table)
    lines = [" ".join(f"{value:.7g}" for value in row) for row in table]
    (tmp_path / "scan.xyz").write_text("\n".join(lines))
    bright = [" ".join([*line.split()[:3], "-1500", *line.split()[3:]]) for line in lines]
    (tmp_path / "scan.pts").write_text("\n".join([str(len(bright)), *bright]) + "\n")
    for name in ("scan.npy", "scan.xyz", "scan.pts"):
        cloud = read_cloud(tmp_path / name)
        np.testing.assert_allclose(cloud.coords, POINTS.coords, atol=1e-5)
        np.testing.assert_array_equal(cloud.colors, POINTS.colors)
    (tmp_path / "bare.txt").write_text("1 2 3\n4 5 6\n")
    assert (read_cloud(tmp_path / "bare.txt").colors == GREY).all()


BAD_FILES = [
    ("scan.obj", b"v 0 0 0", "unknown kind of scan"),
    ("scan.ply", b"no ply at all", "not a whole PLY"),
    ("scan.npz", b"PK\x03\x04 broken", "cannot be read as npz"),
    ("scan.npy", b"\x93NUMPY broken", "cannot be read as npy"),
    ("scan.pts", b"3\n1 2 3\n4 5\n", "cannot be read as a line of numbers"),
    ("scan.xyz", b"1 2 3 4 5\n", "5 columns"),
    ("scan.txt", b"", "."),
]


@pytest.mark.parametrize(("name", "content", "told"), BAD_FILES, ids=[name for name, _, _ in BAD_FILES])
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_broken_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=told) as error:
        read_cloud(tmp_path / name)
    assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0.999, 0.6, 0.01])
def test_cut_files_are_refused(tmp_path: Path, keep: float) -> None:
    path = POINTS.ply(tmp_path / "scan.ply")
    truncate(path, keep)
    with pytest.raises(UserError, match=r"not a whole PLY|cannot be read as PLY"):
        read_cloud(path)


def test_arrays_that_run_code_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "scan.npz", coords=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="cannot be read as npz"):
        read_cloud(tmp_path / "scan.npz")


BAD_ARRAYS = [
    ({"places": np.zeros((3, 3))}, "no array 'coords'"),
    ({"coords": np.zeros((3, 2))}, r"shape \[3, 2\]"),
    ({"coords": np.zeros((0, 3))}, "no points"),
    ({"coords": np.zeros((3, 3)), "colors": np.zeros((2, 3))}, "colors of shape"),
    ({"coords": np.zeros((3, 3)), "colors": np.full((3, 3), 300.5)}, "colours from 300.5"),
    ({"coords": np.zeros((3, 3)), "colors": np.full((3, 3), np.nan)}, "not finite"),
    ({"coords": np.zeros((3, 3)), "colors": np.array([[-1, 0, 9]] * 3)}, "colours from -1"),
    ({"coords": np.array([["a"] * 3])}, "real numbers"),
]


@pytest.mark.parametrize(("arrays", "told"), BAD_ARRAYS, ids=[told for _, told in BAD_ARRAYS])
def test_arrays_that_are_no_cloud_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], told: str) -> None:
    np.savez(tmp_path / "scan.npz", **arrays)
    with pytest.raises(UserError, match=told):
        read_cloud(tmp_path / "scan.npz")


def test_a_ply_without_places_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no property z"):
        read_cloud(save_ply(tmp_path / "scan.ply", vertices(POINTS)[["x", "y"]].astype([("x", "<f4"), ("y", "<f4")])))


def test_folders_are_searched_as_scannet_lays_them_out(tmp_path: Path) -> None:
    for name, folder in (("scene0001_00", "scans"), ("scene0000_00", "scans"), ("scene0707_00", "scans_test")):
        write_scene(tmp_path, random_scene(name), folder)
    names = ["scene0000_00", "scene0001_00", "scene0707_00"]
    assert [scan.name for scan in find_scans(tmp_path)] == names
    assert [scan.name for scan in find_scans(tmp_path / "scans")] == names[:2]
    one = find_scans(tmp_path / "scans" / names[0])
    assert [scan.name for scan in one] == names[:1]
    assert read_cloud(one[0].path).name == names[0]
    assert find_scans(one[0].path) == one
    with pytest.raises(UserError, match="no such file or folder"):
        find_scans(tmp_path / "elsewhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no scan in this folder"):
        find_scans(tmp_path / "empty")
