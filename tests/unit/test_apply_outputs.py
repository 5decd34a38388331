"""What is written for own scans, and that nothing is written when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from apply_cases import PARAMS, Points, load, room, save_result, small, tiny_result
from plyfile import PlyData
from tiny_instances import with_instances
from tiny_rooms import tiny_scene, tiny_settings
from typer.testing import CliRunner

from regionzoo.apply.clouds import read_cloud
from regionzoo.apply.colors import NOTHING, class_colors, heat_colors
from regionzoo.apply.grid import make_voxels
from regionzoo.apply.instances import instance_of_points
from regionzoo.apply.predict import Wish, predict
from regionzoo.apply.question import Asked
from regionzoo.apply.run import Runtime
from regionzoo.apply.weights import Weights
from regionzoo.classes import class_set
from regionzoo.cli_apply import own_scans
from regionzoo.errors import UserError
from regionzoo.evaluation.instance_store import InstancePredictions
from regionzoo.evaluation.run_length import Masks
from regionzoo.training.collate import collate
from regionzoo.training.items import Item
from regionzoo.training.room_points import PlacedRoom

CPU = Runtime("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("row")
    tiny_result(folder)
    return folder


@pytest.fixture(scope="module")
def weights(folder: Path) -> Weights:
    return load(folder)


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def test_a_labelled_ply_has_the_colours_of_its_legend(weights: Weights, tmp_path: Path) -> None:
    points = room(800)
    points.coords[5] = np.nan
    outputs = tmp_path / "new" / "out.ply", tmp_path / "new" / "out.npz"
    predict(weights, Asked(), points.ply(tmp_path / "scan.ply"), Wish(outputs), CPU)
    found, vertex = arrays(outputs[1]), PlyData.read(str(outputs[0]))["vertex"]
    legend = json.loads((tmp_path / "new" / "out.legend.json").read_text())
    np.testing.assert_array_equal(np.stack([vertex[a] for a in "xyz"], 1), points.coords)
    np.testing.assert_array_equal(vertex["label"], found["labels"])
    np.testing.assert_array_equal(vertex["confidence"], found["confidence"])
    colors = {entry["label"]: entry["color"] for entry in [*legend["classes"], legend["unlabelled"]]}
    shown = np.stack([vertex[c] for c in ("red", "green", "blue")], 1)
    np.testing.assert_array_equal(shown, [colors[label] for label in found["labels"]])
    points_of = {entry["name"]: entry["points"] for entry in legend["classes"]}
    names = found["class_names"].tolist()
    assert points_of == {name: (found["labels"] == c).sum() for c, name in enumerate(names)}
    assert legend["unlabelled"]["points"] == 1 and found["labels"][5] == -1
    assert legend["made_with"]["weights_sha256"] == weights.sha256 and legend["made_with"]["calibrated"] is True
    assert (tmp_path / "new" / "out.legend.png").read_bytes()[:4] == b"\x89PNG"
    assert {path.name for path in outputs[0].parent.iterdir()} == {
        "out.ply", "out.npz", "out.legend.json", "out.legend.png"
    }  # fmt: skip


def test_the_result_can_be_read_as_a_scan_again(weights: Weights, tmp_path: Path) -> None:
    points = room(300)
    predict(weights, Asked(), points.ply(tmp_path / "scan.ply"), Wish((tmp_path / "out.ply",)), CPU)
    np.testing.assert_array_equal(read_cloud(tmp_path / "out.ply").coords, points.coords)


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_scans_of_a_few_points_work(weights: Weights, tmp_path: Path, count: int) -> None:
    outputs = tmp_path / "out.ply", tmp_path / "out.npz"
    predict(weights, Asked(), room(count).ply(tmp_path / "scan.ply"), Wish(outputs), CPU)
    assert len(arrays(outputs[1])["labels"]) == count


def test_equal_inputs_are_equal_files(weights: Weights, tmp_path: Path) -> None:
    source, made = room(400).ply(tmp_path / "scan.ply"), []
    for k in range(2):
        outputs = tmp_path / str(k) / "out.ply", tmp_path / str(k) / "out.npz"
        predict(weights, Asked(), source, Wish(outputs, frozenset({"features"})), CPU)
        made.append({path.name: path.read_bytes() for path in outputs[0].parent.iterdir()})
    assert made[0] == made[1]


def test_every_scan_of_a_folder_and_none_hinders_another(weights: Weights, tmp_path: Path, capsys) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        room(200, seed=seed).ply(root / "scans" / name / f"{name}_vh_clean_2.ply")
    broken = root / "scans" / "b" / "b_vh_clean_2.ply"
    broken.write_bytes(broken.read_bytes()[:500])
    with pytest.raises(UserError, match=r"1 of 3 scans failed: b"):
        predict(weights, Asked(), root, Wish((out / "{scan}.npz",)), CPU)
    assert sorted(path.name for path in out.iterdir()) == ["a.npz", "c.npz"]
    assert "not a whole PLY" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"there are 3 scans; put \{scan\}"):
        predict(weights, Asked(), root, Wish((out / "all.npz",)), CPU)


def test_wishes_that_cannot_be_met_are_refused_before_anything_is_written(weights: Weights, tmp_path: Path) -> None:
    source = room(100).ply(tmp_path / "scan.ply")
    (tmp_path / "taken.npz").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())

    def wish(output: str, *save: str, half: bool = False) -> Wish:
        return Wish((tmp_path / output,), frozenset(save), half)

    for wished, told in (
        (wish("out.npz", "logit"), "--save: 'logit' is unknown"),
        (wish("out.ply", "logits"), "arrays go into an .npz"),
        (wish("out.las"), "unknown kind of output '.las'"),
        (wish("out.npz", half=True), "add --save features"),
        (wish("out.npz", "instances"), "has no instance head"),
        (wish("out"), "a folder takes instances"),
        (wish("taken.npz"), "is a folder"),
        (wish("scan.ply"), "is the scan itself"),
        (Wish(()), "name a file to write"),
    ):
        with pytest.raises(UserError, match=told):
            predict(weights, Asked(), source, wished, CPU)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_clouds_that_are_no_rooms_are_refused(weights: Weights, tmp_path: Path) -> None:
    millions = Points(room(100).coords * np.float32(1e6), room(100).colors)
    nowhere = Points(np.full((10, 3), np.nan, np.float32), np.zeros((10, 3), np.uint8))
    for points, told in ((millions, "are its coordinates in metres"), (nowhere, "no point has finite coordinates")):
        with pytest.raises(UserError, match=told):
            predict(weights, Asked(), points.ply(tmp_path / "scan.ply"), Wish((tmp_path / "o.npz",)), CPU)
    assert not (tmp_path / "o.npz").exists()


def test_doubtful_scans_are_labelled_with_a_note(weights: Weights, tmp_path: Path, capsys) -> None:
    scene = room(100)
    coords = scene.coords * np.float32(200)
    coords[7] = np.nan
    wish = Wish((tmp_path / "o.npz",))
    predict(weights, Asked(), Points(coords, scene.colors).ply(tmp_path / "scan.ply"), wish, CPU)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(told) == 2 and "are the coordinates in metres" in told[0] and "1 points have no finite" in told[1]


# -- instances -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Weights, Points, Path]:
    """Outputs of a network that takes every point for a candidate of every class."""
    folder = tmp_path_factory.mktemp("instances")
    head = {"score_threshold": 0.0, "min_candidates": 1, "min_points": 30, "radius": 0.12, "mask_threshold": -2.0}
    settings = small(with_instances(tiny_settings(), **head), 0.1)
    weights = load(save_result(folder / "row", settings, None))
    scene = tiny_scene(0, "val")
    # The first point has no place: all others are one further on than the network sees them.
    coords = np.concatenate([np.full((1, 3), np.nan, np.float32), scene.coords])
    points = Points(coords, np.concatenate([scene.colors[:1], scene.colors]))
    outputs = folder / "out.npz", folder / "out.ply", folder / "benchmark"
    predict(weights, Asked(), points.ply(folder / "scan.ply"), Wish(outputs, frozenset({"instances"})), CPU)
    return weights, points, folder


def test_instances_are_those_of_the_network(found: tuple[Weights, Points, Path]) -> None:
    weights, points, folder = found
    made = arrays(folder / "out.npz")
    cloud = read_cloud(folder / "scan.ply")
    voxels = make_voxels(cloud, 0.1)
    cells = voxels.coords[voxels.v2p[1:]].numpy().astype(np.int64)
    coords, colors = points.coords[1:], points.colors[1:]
    feats = np.concatenate([colors.astype(np.float32) / 127.5 - 1, coords - coords.mean(0)], 1).astype(np.float32)
    network = weights.network("native", weights.own_vectors)
    batch = collate([Item("scan", PlacedRoom(cells, feats), np.arange(len(cells)), None, None, (), (), None)])
    expected = network.find_instances(network.encode(batch), batch)
    assert len(expected.mask) > 3
    np.testing.assert_array_equal(made["instance_label"], expected.label)
    np.testing.assert_array_equal(made["instance_score"], expected.score)
    runs = (made[f"instance_{part}"] for part in ("offsets", "starts", "lengths"))
    masks = Masks(*runs, points=len(points.coords))
    for k, mask in enumerate(made["instance_mask"]):
        np.testing.assert_array_equal(masks.ids(mask, mask + 1)[1] - 1, expected.points_of(expected.mask[k]))


def test_instances_are_written_as_the_benchmark_reads_them(found: tuple[Weights, Points, Path]) -> None:
    _, points, folder = found
    made = arrays(folder / "out.npz")
    lines = [line.split() for line in (folder / "benchmark" / "scan.txt").read_text().splitlines()]
    ids = class_set("scannet20").raw_ids
    assert [int(line[1]) for line in lines] == [ids[label] for label in made["instance_label"]]
    mask = np.loadtxt(folder / "benchmark" / lines[0][0])
    assert mask.shape == (len(points.coords),) and set(mask) == {0, 1} and mask[0] == 0


def test_each_point_has_the_number_of_its_best_mask(found: tuple[Weights, Points, Path]) -> None:
    masks = [np.arange(2, 6), np.arange(4, 9), np.arange(0, 10)]
    scores = np.array([0.5, 0.9, 0.05, 0.3], np.float32)
    # Mask 0 is predicted as two classes; mask 2 scores too little to be shown.
    made = InstancePredictions("s", "", Masks.of(masks, 12), np.array([0, 1, 2, 0]), np.array([4, 5, 6, 7]), scores)
    np.testing.assert_array_equal(instance_of_points(made, 12), [-1, -1, 1, 1, 0, 0, 0, 0, 0, -1, -1, -1])
    assert "instance" in PlyData.read(str(found[2] / "out.ply"))["vertex"].data.dtype.names


def test_instances_want_the_rows_classes_and_one_pass(found: tuple[Weights, Points, Path], tmp_path: Path) -> None:
    weights, _, folder = found
    wish = Wish((tmp_path / "out.npz",), frozenset({"instances"}))
    with pytest.raises(UserError, match="leave --classes out"):
        predict(weights, Asked(classes=(("chair",),)), folder / "scan.ply", wish, CPU)
    with pytest.raises(UserError, match="raise --max-voxels"):
        predict(weights, Asked(), folder / "scan.ply", wish, Runtime("cpu", voxels=100))
    assert not list(tmp_path.iterdir())
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="exists already"):
        predict(weights, Asked(), folder / "scan.ply", Wish((kept,), frozenset({"instances"})), CPU)
    assert (kept / "thesis.tex").is_file()


# -- colours and the command line ------------------------------------------------------------------------------------


def test_no_two_classes_share_a_colour() -> None:
    known = {*class_set("scannet20").names, *class_set("scannet200").names, *class_set("nuscenes16").names}
    names = [*sorted(known), "settee", "whiteboard eraser", *(f"thing {k}" for k in range(300))]
    colors = class_colors(names)
    assert len({tuple(color) for color in colors.tolist()} | {NOTHING}) == len(names) + 1
    assert tuple(class_colors(["plant", "sofa"])[1]) == class_set("scannet20").colors[5]


def test_heat_runs_from_dark_to_bright() -> None:
    shown = heat_colors(np.array([-9.0, 0, 0.25, 0.5, 0.75, 1, 9, np.nan]), 0, 1)
    light = shown.astype(int) @ [299, 587, 114]
    assert (shown[0] == shown[1]).all() and (shown[5] == shown[6]).all() and tuple(shown[7]) == NOTHING
    assert (np.diff(light[1:6]) > 0).all()
    assert heat_colors(np.full(3, 0.5), 0.5, 0.5).shape == (3, 3)


def run(*arguments: object) -> tuple[int, str, BaseException | None]:
    done = CliRunner(env={"COLUMNS": "120", "TERM": "dumb"}).invoke(own_scans, [str(each) for each in arguments])
    return done.exit_code, done.output, done.exception


def test_the_command_line_teaches_by_example() -> None:
    for command in ("predict", "query"):
        code, text, _ = run(command, "--help")
        assert code == 0 and "Examples" in text and f"regionzoo {command} " in text


def test_the_command_of_the_issue_works_on_an_own_result(folder: Path, tmp_path: Path) -> None:
    source = room(300).ply(tmp_path / "scene.ply")
    command = ["predict", "--checkpoint", folder, "--input", source, "--output", tmp_path / "out.npz"]
    code, text, _ = run(*command, "--save", "logits,binary", "--save", "features", "--half", "--params", PARAMS)
    assert code == 0 and "300 points" in text
    made = arrays(tmp_path / "out.npz")
    assert made["logits"].shape == (300, 20) and made["features"].dtype == np.float16
    assert json.loads(str(made["made_with"]))["row"] == "tiny"
    code, _, error = run(*command[:-1], tmp_path / "out.xyz", "--params", PARAMS)
    assert code == 1 and isinstance(error, UserError) and "unknown kind of output" in str(error)
