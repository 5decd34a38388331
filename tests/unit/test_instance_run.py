"""A tiny instance row trained, predicted, scored and drawn: what is written, and the same numbers again from it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_instances import with_instances
from tiny_rooms import TinyRow, make_tiny_row
from tiny_training import CPU, ENVIRONMENT, predict_paths, trained

from regionzoo.artifacts import read_json, tree_hashes
from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.evaluation.instance_score import score_instances
from regionzoo.evaluation.instance_store import SUFFIX, load_instances
from regionzoo.evaluation.predictions import load_facts, load_predictions
from regionzoo.evaluation.score import score
from regionzoo.scenes.store import load_scene
from regionzoo.settings.train import EvaluateSettings, PredictSettings
from regionzoo.stages import evaluate, predict
from regionzoo.text.table import load_table
from regionzoo.training.build import build_network
from regionzoo.training.checkpoint import load_model
from regionzoo.training.collate import collate
from regionzoo.training.dataset import evaluation_item

SETTINGS = EvaluateSettings(
    row="tiny", protocol="regionplc-instance/1", also=("scannet-instance/1", "regionplc-base/1")
)
VAL = [f"scene{index:04}_00" for index in (6, 7, 8, 9)]
THINGS = ("chair", "table", "sofa", "toilet")


def run(tiny: TinyRow, out: Path) -> dict[str, Any]:
    """Train, predict and score into ``out``; the metrics."""
    trained(tiny, out)
    predict.run(PredictSettings(row="tiny", classes=tiny.settings.classes), predict_paths(tiny, out, out), CPU)
    evaluate.run(SETTINGS, tiny.scenes, out / "predictions", out, trained=out)
    return read_json(out / "metrics.json")


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyRow, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    tiny, out = make_tiny_row(folder, val=4), folder / "results" / "tiny"
    still = tiny.settings.augmentation.model_copy(update={"matrix_noise": 0.0, "elastic": ()})
    changes = {"augmentation": still, "lr": 0.02}
    settings = with_instances(tiny.settings, epochs=40, step_epoch=20, warmup_epochs=10)
    tiny = replace(tiny, settings=settings.model_copy(update=changes))
    run(tiny, out)
    return tiny, out


def copied(row: tuple[TinyRow, Path], folder: Path) -> Path:
    """A copy of the predictions and their manifest alone, without weights."""
    shutil.copytree(row[1] / "predictions", folder / "predictions")
    shutil.copy(row[1] / "predictions.manifest.json", folder)
    return folder / "predictions"


# -- predictions ----------------------------------------------------------------------------------------------------


def test_instances_stand_beside_the_classes_of_points(row: tuple[TinyRow, Path]) -> None:
    tiny, out = row
    facts, files, _ = load_facts(out / "predictions")
    assert facts.task == "instance" and facts.scenes == 4
    told = {f"{scene_id}{suffix}" for scene_id in VAL for suffix in (".safetensors", SUFFIX)}
    assert set(files) == told == {path.name for path in (out / "predictions").iterdir()}
    network = build_network(tiny.settings, load_table(tiny.text), "native").eval()
    load_model(out / "model.safetensors", network)
    for scene_id in VAL:
        scene = load_scene(tiny.scenes / f"{scene_id}.safetensors")
        batch = collate([evaluation_item(scene, tiny.settings.recipe.voxel_size)])
        found = load_instances(out / "predictions" / f"{scene_id}{SUFFIX}", scene.coords_sha256, len(scene))
        again = network.find_instances(network.encode(batch), batch)
        masks = np.split(found.masks.ids()[1], found.masks.ids()[0][1:-1])
        assert [mask.tolist() for mask in masks] == [again.points_of(m).tolist() for m in range(len(masks))]
        for name in ("mask", "label", "score"):
            np.testing.assert_array_equal(getattr(found, name), getattr(again, name))
        assert set(found.label.tolist()) <= set(range(2, 19)) and len(found) > 4
        assert found.masks.sizes().min() >= tiny.settings.instances.min_mask_points
        points = load_predictions(out / "predictions" / f"{scene_id}.safetensors", scene.coords_sha256, len(scene))
        np.testing.assert_array_equal(points.labels["row"], network.predict(batch).labels().numpy())


def test_two_processes_predict_the_instances_that_one_does(row: tuple[TinyRow, Path], tmp_path: Path) -> None:
    tiny, out = row
    paths = predict_paths(tiny, out, tmp_path)
    settings = PredictSettings(row="tiny", classes=tiny.settings.classes)
    arguments = [
        "predict-scenes", "--settings", settings.canonical(), "--scenes", tiny.scenes, "--captions", tiny.captions,
        "--text", tiny.text, "--result", out, "--out", paths.out, "--manifest", paths.manifest,
        "--device", "cpu", "--threads", "1", "--processes", "2",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "regionzoo", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert tree_hashes(paths.out) == tree_hashes(out / "predictions") == load_facts(paths.out)[1]


# -- scores ---------------------------------------------------------------------------------------------------------


def test_it_has_found_the_boxes(row: tuple[TinyRow, Path], tmp_path: Path) -> None:
    tiny, out = row
    metrics = read_json(out / "metrics.json")["metrics"]
    assert metrics["AP50_base"] > 60 and metrics["AP50_novel"] > 20 and metrics["hAP50"] > 30
    recipe = tiny.settings.recipe.model_copy(update={"epochs": 0})
    untrained = replace(tiny, settings=tiny.settings.model_copy(update={"recipe": recipe}))
    assert run(untrained, tmp_path)["metrics"]["hAP50"] < metrics["hAP50"] / 2


def test_the_record_says_what_was_scored_and_how(row: tuple[TinyRow, Path]) -> None:
    tiny, out = row
    metrics = read_json(out / "metrics.json")
    assert metrics["task"] == "instance" and metrics["row"] == metrics["trained_row"] == "tiny"
    assert metrics["protocol"]["id"] == "regionplc-instance/1"
    assert metrics["protocol"]["averaged"] == {"base": 13, "novel": 4}
    assert set(metrics["protocols"]) == {"regionplc-instance/1", "scannet-instance/1", "regionplc-base/1"}
    assert metrics["metrics"] == metrics["protocols"]["regionplc-instance/1"]
    assert {"hIoU", "mIoU_base", "mIoU_novel"} <= set(metrics["protocols"]["regionplc-base/1"])
    figures = {f"{before}{name}{after}" for name in ("AP", "AP50", "AP25") for before, after in
               (("", ""), ("h", ""), ("", "_base"), ("", "_novel"))}  # fmt: skip
    assert set(metrics["metrics"]) == figures
    data = metrics["data"]
    assert (data["scenes"], data["points"], data["scenes_without_proposals"]) == (4, 3600, 0)
    assert "Synthetic" in data["note"]
    assert read_json(out / "scores.json")["hAP50"] == metrics["metrics"]["hAP50"]


def test_the_table_of_classes_has_precision_and_iou(row: tuple[TinyRow, Path]) -> None:
    tiny, out = row
    table = pd.read_csv(out / "per_class.csv")
    assert list(table.columns) == ["class", "role", "ap", "ap50", "ap25", "instances", "predictions", "iou"]
    names = class_set("scannet20").names
    assert list(table["class"]) == list(names[2:19])
    assert set(table["class"][table.role == "novel"]) == {"sofa", "bookshelf", "desk", "toilet"}
    table = table.set_index("class")
    # One of each in every scene; what nobody annotated has no precision.
    assert table.instances.to_dict() == {name: 4 if name in THINGS else 0 for name in names[2:19]}
    assert table[["ap", "ap50", "ap25"]].notna().all(axis=1).to_dict() == {n: n in THINGS for n in names[2:19]}
    assert (table.ap25.dropna() >= table.ap50.dropna()).all() and (table.ap50.dropna() >= table.ap.dropna()).all()
    metrics = read_json(out / "metrics.json")
    for name in names[2:19]:
        said = metrics["per_class"][name]
        assert said is None if name not in THINGS else said == table.ap50[name]
    assert metrics["metrics"]["AP50_base"] == pytest.approx(table.ap50[["chair", "table"]].mean(), abs=0.01)
    assert metrics["metrics"]["AP50_novel"] == pytest.approx(table.ap50[["sofa", "toilet"]].mean(), abs=0.01)
    inter, union = np.zeros(20), np.zeros(20)
    for scene_id in VAL:
        scene = load_scene(tiny.scenes / f"{scene_id}.safetensors")
        path = out / "predictions" / f"{scene_id}.safetensors"
        said, truth = load_predictions(path, scene.coords_sha256, 900).labels["row"], scene.labels["scannet20"]
        for c in range(20):
            inter[c] += ((said == c) & (truth == c)).sum()
            union[c] += ((said == c) | (truth == c)).sum()
    for c, name in enumerate(names[2:19], 2):
        assert table.iou[name] == pytest.approx(100 * inter[c] / max(union[c], 1), abs=0.006)


def test_saved_predictions_give_the_very_same_scores_without_weights(row: tuple[TinyRow, Path], tmp_path: Path) -> None:
    tiny, out = row
    told = read_json(out / "metrics.json")["protocols"]
    predictions = copied(row, tmp_path)
    instances, points = score_instances(predictions, tiny.scenes), score(predictions, tiny.scenes)
    for identifier, values in told.items():
        found = (points if identifier == "regionplc-base/1" else instances).by_protocol[identifier]
        assert found.metrics == values
    evaluate.run(SETTINGS, tiny.scenes, predictions, tmp_path)
    for name in ("per_class.csv", "scores.json"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_the_score_command_repeats_the_metrics(row: tuple[TinyRow, Path], tmp_path: Path) -> None:
    tiny, out = row
    told = read_json(out / "metrics.json")["protocols"]
    call = [
        sys.executable, "-m", "regionzoo", "score", str(copied(row, tmp_path)), "--scenes", str(tiny.scenes),
        "--out", str(tmp_path / "scores.json"),
    ]  # fmt: skip
    chosen = [part for identifier in told for part in ("--protocol", identifier)]
    for more, count in ((chosen, 3), ([], 5)):
        done = subprocess.run([*call, *more], capture_output=True, text=True, timeout=300, env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr[-2000:]
        found = read_json(tmp_path / "scores.json")
        assert found["task"] == "instance" and len(found["protocols"]) >= count
        assert {identifier: found["protocols"][identifier] for identifier in told} == told
        for identifier, name in (("regionplc-instance/1", "hAP50"), ("regionplc-base/1", "hIoU")):
            assert identifier in done.stdout and f"{told[identifier][name]:.2f}" in done.stdout


def test_scenes_without_proposals_are_counted(row: tuple[TinyRow, Path], tmp_path: Path) -> None:
    tiny, _ = row
    nothing = with_instances(tiny.settings, epochs=0, score_threshold=1.0)
    metrics = run(replace(tiny, settings=nothing), tmp_path)
    assert metrics["data"]["scenes_without_proposals"] == 4
    assert set(metrics["metrics"].values()) == {0.0}
    # The original's rule leaves their instances out, the benchmark's counts them.
    assert set(pd.read_csv(tmp_path / "per_class.csv").instances) == {0}
    scored = score_instances(tmp_path / "predictions", tiny.scenes).by_protocol
    assert scored["scannet-instance/1"].scores.truths.sum() == 16


@pytest.mark.parametrize("asked", [("regionplc-instance/1", ()), ("regionplc-base/1", ("scannet-instance/1",))])
def test_instance_protocols_do_not_score_semantic_predictions(
    row: tuple[TinyRow, Path], tmp_path: Path, asked: tuple[str, tuple[str, ...]]
) -> None:
    tiny, _ = row
    plain = replace(tiny, settings=tiny.settings.model_copy(update={"instances": None}))
    trained(plain, tmp_path, epochs=0)
    paths = predict_paths(plain, tmp_path, tmp_path)
    predict.run(PredictSettings(row="tiny", classes=plain.settings.classes), paths, CPU)
    assert load_facts(paths.out)[0].task == "semantic"
    settings = EvaluateSettings(row="tiny", protocol=asked[0], also=asked[1])
    with pytest.raises(UserError, match="-instance/1 scores instances") as caught:
        evaluate.run(settings, tiny.scenes, paths.out, tmp_path)
    assert "\n" not in str(caught.value) and not (tmp_path / "metrics.json").exists()
