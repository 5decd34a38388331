"""What the original computes of a scan, computed again by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from apply_cases import (
    PARAMS,
    HandNet,
    Points,
    awake,
    hand_cells,
    hand_probabilities,
    room,
    tiny_paper,
    tiny_result,
)
from typer.testing import CliRunner

from regionzoo.apply.clouds import Cloud, read_cloud
from regionzoo.apply.grid import make_voxels
from regionzoo.apply.predict import Wish, predict
from regionzoo.apply.question import Asked
from regionzoo.apply.run import Runtime
from regionzoo.apply.weights import Weights
from regionzoo.classes import class_set
from regionzoo.cli_apply import own_scans
from regionzoo.config import load_params
from regionzoo.scenes.centring import centred
from regionzoo.scenes.store import Scene
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.table import TextTable
from regionzoo.training.build import build_network
from regionzoo.training.collate import collate
from regionzoo.training.dataset import evaluation_item
from regionzoo.training.items import Item
from regionzoo.training.room_points import PlacedRoom
from regionzoo.training.voxels import cells

CPU = Runtime(device="cpu")
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]
NOVEL = ["sofa", "bookshelf", "desk", "toilet"]
ALL = frozenset({"logits", "probabilities", "binary", "features"})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return tiny_result(tmp_path_factory.mktemp("exact"))


def asked_of(weights: Weights, points: Points, folder: Path, asked: Asked = Asked()) -> dict[str, np.ndarray]:  # noqa: B008
    out = folder / "out.npz"
    predict(weights, asked, points.ply(folder / "scan.ply"), Wish((out,), ALL), CPU)
    with np.load(out) as file:
        return dict(file)


def roles() -> tuple[list[int], list[int], list[int]]:
    names = class_set("scannet20").names
    novel = [names.index(name) for name in NOVEL]
    return [c for c in range(19) if c not in novel], novel, [19]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("levels", [2, 7])
def test_a_checkpoint_of_the_original_says_of_a_scan_what_it_says_by_hand(
    levels: int, device: str, tmp_path: Path
) -> None:
    if levels == 2:
        params, settings = tiny_paper(tmp_path)
    else:  # the published network
        params, settings = PARAMS, load_params(PARAMS).model_copy(update={"scale": "paper"}).train("scannet_b15n4")
    vectors = np.random.default_rng(3).standard_normal((20, 512)).astype(np.float32)
    vectors *= 0.9 / np.linalg.norm(vectors, axis=1, keepdims=True)  # whatever the file holds is used as it is
    table = TextTable(tuple(class_prompts("scannet20", "identity")), vectors)
    state = awake(build_network(settings, table, "native")).state_dict()
    content = {"epoch": 128, "it": 19200, "model_state": state, "version": "pcseg+0", "best_metric": 0.0}
    torch.save(content, tmp_path / "b15n4.pth", _use_new_zipfile_serialization=False)
    points = room() if levels == 2 else room(1500, seed=9)
    points.ply(tmp_path / "scene.ply")
    command = ["predict", "--row", "scannet_b15n4", "--checkpoint", tmp_path / "b15n4.pth", "--input"]
    command += [tmp_path / "scene.ply", "--output", tmp_path / "out.npz", "--save", "logits", "--params", params]
    done = CliRunner().invoke(own_scans, [*map(str, command), "--device", device], catch_exceptions=False)
    assert done.exit_code == 0
    with np.load(tmp_path / "out.npz") as file:
        found = dict(file)

    _, logits, b = HandNet(state, levels=levels)(points)
    base, novel, ignored = roles()
    logits[:, ignored] = -1e6
    probability = hand_probabilities(logits, b, base, novel)
    assert found["logits"].dtype == np.float32 and found["labels"].dtype == np.int64
    extent = np.ptp(logits[:, :19])
    assert extent > 1  # not a flat network
    # Random weights of seven levels give logits in the hundreds, and float32 rounds accordingly.
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4 if levels == 2 else 1e-5 * extent)
    top = np.sort(probability, 1)
    clear = top[:, -1] - top[:, -2] > 1e-4
    assert clear.mean() > 0.98 and len(set(found["labels"][clear])) > 2
    np.testing.assert_array_equal(found["labels"][clear], probability.argmax(1)[clear])
    assert levels == 7 or (found["labels"] != logits.argmax(1)).mean() > 0.05  # the calibration matters here
    assert found["class_names"].tolist() == list(class_set("scannet20").names)


def test_scores_are_those_of_the_network_itself_to_the_bit(weights: Weights, tmp_path: Path) -> None:
    points = room(seed=1)
    found = asked_of(weights, points, tmp_path)
    places, voxels = hand_cells(points)
    feats = np.concatenate([(points.colors.astype(np.float32) / 127.5 - 1), places], 1).astype(np.float32)
    origin = np.arange(len(places))
    item = Item("scan", PlacedRoom(voxels, feats), origin, None, None, (), (), None)
    network = weights.network("native", weights.own_vectors)
    prediction = network.predict(collate([item]))
    np.testing.assert_array_equal(found["logits"], prediction.logits.numpy())
    np.testing.assert_array_equal(found["labels"], prediction.labels().numpy())
    np.testing.assert_array_equal(found["binary"], prediction.binary_logit.numpy())
    # What validation scenes go through is the same.
    labels = np.zeros(len(points.coords), np.int32)
    scene = Scene("scan", "val", "scannet", points.coords, points.colors, labels, labels, {})
    np.testing.assert_array_equal(evaluation_item(scene, 0.02).room.voxels, voxels)
    np.testing.assert_array_equal(evaluation_item(scene, 0.02).room.feats, feats)


def test_probabilities_follow_from_logits_and_the_binary_head(weights: Weights, tmp_path: Path) -> None:
    found = asked_of(weights, room(seed=2), tmp_path)
    base, novel, _ = roles()
    by_hand = hand_probabilities(found["logits"].astype(np.float64), found["binary"].astype(np.float64), base, novel)
    np.testing.assert_allclose(found["probabilities"], by_hand, atol=1e-5)
    np.testing.assert_array_equal(found["labels"], found["probabilities"].argmax(1))
    np.testing.assert_array_equal(found["confidence"], found["probabilities"].max(1))
    matrix = weights.text_matrix
    np.testing.assert_allclose(found["logits"][:, :19], (found["features"] @ matrix.T)[:, :19], atol=1e-4)


def test_without_calibration_the_best_score_counts(weights: Weights, tmp_path: Path) -> None:
    calibrated = asked_of(weights, room(seed=2), tmp_path)
    found = asked_of(weights, room(seed=2), tmp_path, Asked(calibrate=False))
    np.testing.assert_array_equal(found["logits"], calibrated["logits"])
    np.testing.assert_array_equal(found["labels"], found["logits"].argmax(1))
    assert (found["labels"] != calibrated["labels"]).any()
    np.testing.assert_allclose(found["probabilities"].sum(1), 1, atol=1e-5)


def test_the_order_of_the_points_is_kept_and_changes_nothing(weights: Weights, tmp_path: Path) -> None:
    points = room(seed=3)
    order = np.random.default_rng(0).permutation(len(points.coords))
    one = asked_of(weights, points, tmp_path)
    other = asked_of(weights, Points(points.coords[order], points.colors[order]), tmp_path)
    np.testing.assert_allclose(other["logits"], one["logits"][order], atol=2e-3)
    assert (other["labels"] == one["labels"][order]).mean() > 0.99


@pytest.mark.parametrize("count", [1, 2, 7, 5000])
def test_cells_are_those_of_float32_arithmetic_point_by_point(count: int) -> None:
    points = room(count, seed=4)
    places, voxels = hand_cells(points)
    np.testing.assert_array_equal(centred(points.coords), places)
    np.testing.assert_array_equal(cells(centred(points.coords), 0.02), voxels)


def test_points_on_the_borders_of_cells_fall_as_in_the_original() -> None:
    # On a lattice of 1 cm, half of all coordinates lie on a border of 2 cm cells: float64 would place many elsewhere.
    lattice = np.stack(np.meshgrid(*[np.arange(20) * 0.01] * 3, indexing="ij"), -1).reshape(-1, 3)
    points = Points((lattice + np.array([1.23, 4.56, 0.1])).astype(np.float32), np.zeros((8000, 3), np.uint8))
    _, voxels = hand_cells(points)
    np.testing.assert_array_equal(cells(centred(points.coords), 0.02), voxels)
    exact = (points.coords.astype(np.float64) - points.coords.mean(0, dtype=np.float64)) / 0.02
    assert (np.floor(exact - exact.min(0)) != voxels).any()


def test_a_float32_mean_that_has_lost_its_digits_is_not_used() -> None:
    # Half a million points a hundred metres away: the sum is counted in steps of 4.
    coords = np.full((500_000, 3), 100.1, np.float32)
    coords[::2] += np.float32(0.2)
    assert abs(float(coords.mean(0)[0]) - 100.2) > 0.01
    np.testing.assert_allclose(centred(coords)[:2], [[0.1] * 3, [-0.1] * 3], atol=1e-4)


def world(points: Points) -> Cloud:
    """The same points in a national grid, hundreds of kilometres from its origin."""
    corner = np.array([691_608.25, 5_334_760.5, 512.0])
    return Cloud("scan", points.coords.astype(np.float64) + corner, points.colors)


def test_coordinates_of_a_national_grid_lose_no_digits() -> None:
    points = room(seed=5)
    here, there = centred(points.coords), centred(world(points).coords)
    assert there.dtype == np.float32
    np.testing.assert_allclose(there, here, atol=1e-5)


def broken(points: Points) -> Cloud:
    coords = points.coords.copy()
    coords[[0, 7, 100]] = [[np.nan, 0, 0], [np.inf, 1, 1], [0, 0, -np.inf]]
    return Cloud("scan", coords, points.colors)


def test_points_without_place_get_no_label_and_change_nothing(weights: Weights, tmp_path: Path) -> None:
    cloud = broken(room(seed=6))
    kept = np.isfinite(cloud.coords).all(1)
    found = asked_of(weights, Points(cloud.coords, cloud.colors), tmp_path)
    alone = asked_of(weights, Points(cloud.coords[kept], cloud.colors[kept]), tmp_path)
    assert (found["labels"][~kept] == -1).all() and np.isnan(found["logits"][~kept]).all()
    for name in ("labels", "logits", "features", "binary", "probabilities", "confidence"):
        np.testing.assert_array_equal(found[name][kept], alone[name])


@pytest.mark.parametrize("change", [world, broken])
def test_voxels_hold_the_mean_of_their_points(change: Callable[[Points], Cloud]) -> None:
    cloud = change(room(400, seed=7))
    voxels = make_voxels(cloud, 0.1)
    kept = np.flatnonzero(np.isfinite(cloud.coords).all(1))
    exact = cloud.coords[kept].astype(np.float64)
    feats = np.concatenate([cloud.colors[kept] / 127.5 - 1, exact - exact.mean(0)], 1)
    for voxel in range(len(voxels)):
        mine = voxels.v2p[kept] == voxel
        np.testing.assert_allclose(voxels.feats[voxel].numpy(), feats[mine].mean(0), atol=1e-5)
    assert (voxels.v2p[np.setdiff1d(np.arange(len(cloud)), kept)] == -1).all()


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    points = room(seed=8)
    cloud = read_cloud(points.ply(tmp_path / "scene0000_00_vh_clean_2.ply"))
    assert cloud.name == "scene0000_00"
    np.testing.assert_array_equal(cloud.coords, points.coords)
    np.testing.assert_array_equal(cloud.colors, points.colors)
