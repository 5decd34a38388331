"""A tiny row trained, predicted and scored: the same numbers by any number of processes, and what they say of it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_rooms import TinyRow, annotation_free, make_tiny_row
from tiny_training import CPU, predict_paths

from regionzoo.artifacts import read_json, sha256_file, tree_hashes, write_manifest
from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.evaluation.predict import predict_scenes
from regionzoo.evaluation.predictions import VARIANTS, load_facts, load_predictions
from regionzoo.evaluation.score import score
from regionzoo.report.figures import draw_result
from regionzoo.scenes.store import load_scene
from regionzoo.settings.train import Classes, EvaluateSettings, PredictSettings, TrainSettings
from regionzoo.stages import evaluate, predict, train
from regionzoo.text.table import load_table
from regionzoo.training.build import build_network, class_vectors
from regionzoo.training.checkpoint import load_model
from regionzoo.training.collate import collate
from regionzoo.training.dataset import evaluation_item
from regionzoo.training.distributed import World

SETTINGS = EvaluateSettings(row="tiny", protocol="regionplc-base/1", also=("all-20/1",))
VAL = [f"scene{index:04}_00" for index in (6, 7, 8)]


def train_row(tiny: TinyRow, settings: TrainSettings, out: Path) -> None:
    train.run(settings, train.TrainPaths(tiny.scenes, tiny.captions, tiny.features, tiny.text, out, out / "state"), CPU)


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyRow, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    tiny, out = make_tiny_row(folder), folder / "results" / "tiny"
    changes = {
        "recipe": tiny.settings.recipe.model_copy(update={"epochs": 40}),
        "augmentation": tiny.settings.augmentation.model_copy(update={"matrix_noise": 0.0, "elastic": ()}),
    }
    tiny = replace(tiny, settings=tiny.settings.model_copy(update=changes))
    train_row(tiny, tiny.settings, out)
    predict.run(PredictSettings(row="tiny", classes=tiny.settings.classes), predict_paths(tiny, out, out), CPU)
    evaluate.run(SETTINGS, tiny.scenes, out / "predictions", out, trained=out)
    return tiny, out


def test_scores_equal_a_count_point_by_point(row: tuple[TinyRow, Path]) -> None:
    tiny, out = row
    network = build_network(tiny.settings, load_table(tiny.text), "native").eval()
    load_model(out / "model.safetensors", network)
    inter, union = np.zeros(20), np.zeros(20)
    base, novel = list(network.partition.base_idx), list(network.partition.novel_idx)
    for scene_id in VAL:
        scene = load_scene(tiny.scenes / f"{scene_id}.safetensors")
        result = network.predict(collate([evaluation_item(scene, tiny.settings.recipe.voxel_size)]))
        base_side = torch.sigmoid(result.binary_logit.double())
        chances = torch.zeros(len(scene), 20, dtype=torch.float64)
        chances[:, base] = torch.softmax(result.logits[:, base].double(), 1) * base_side[:, None]
        chances[:, novel] = torch.softmax(result.logits[:, novel].double(), 1) * (1 - base_side)[:, None]
        said, truth = chances.argmax(1).numpy(), scene.labels["scannet20"]
        for c in range(20):
            inter[c] += ((said == c) & (truth == c)).sum()
            union[c] += ((said == c) | (truth == c)).sum()
    metrics = read_json(out / "metrics.json")
    for c, name in enumerate(class_set("scannet20").names):
        assert metrics["per_class"][name] == pytest.approx(100 * inter[c] / max(union[c], 1), abs=0.02), name
    assert metrics["metrics"]["mIoU_novel"] == pytest.approx(
        np.mean([metrics["per_class"][class_set("scannet20").names[c]] for c in novel]), abs=0.02
    )


def test_it_has_learnt_the_boxes(row: tuple[TinyRow, Path]) -> None:
    metrics = read_json(row[1] / "metrics.json")
    assert metrics["per_class"]["floor"] > 60 and metrics["metrics"]["binary_mAcc"] > 70


def test_the_record_says_what_the_numbers_are(row: tuple[TinyRow, Path]) -> None:
    tiny, out = row
    metrics = read_json(out / "metrics.json")
    data = metrics["data"]
    assert data["source"] == "synthetic-rooms" and "Synthetic" in data["note"] and data["scale"] == tiny.settings.scale
    assert data["scenes"] == 3 and data["points"] == 3 * 900
    assert data["captions"] == {"on": True, "captioners": ["hand"]} and data["text"] == {"encoder": "random"}
    assert data["features"] == {"provider": "none"} and data["unlabelled_as"] is None
    assert data["scenes_manifest_sha256"] == sha256_file(tiny.scenes.with_name("scenes.manifest.json"))
    assert metrics["weights_sha256"] == sha256_file(out / "model.safetensors")
    assert metrics["protocol"]["id"] == "regionplc-base/1" and metrics["unit"] == "percent"
    assert metrics["row"] == metrics["trained_row"] == "tiny" and metrics["seed"] == tiny.settings.seed
    assert set(metrics["protocols"]) == {"regionplc-base/1", "all-20/1"}
    assert metrics["packages"]["torch"] == torch.__version__.split("+")[0] or metrics["packages"]["torch"]
    assert {"train_hours", "predict_hours", "threads", "device", "engine"} <= set(metrics["cost"])
    assert metrics["device"].startswith("cpu")
    table = pd.read_csv(out / "per_class.csv")
    assert list(table.columns) == ["class", "role", "iou", "accuracy", "points"] and len(table) == 20
    assert table.role.value_counts().to_dict() == {"base": 15, "novel": 4, "ignored": 1}


def test_scoring_again_gives_the_very_same_numbers(row: tuple[TinyRow, Path]) -> None:
    tiny, out = row
    metrics = read_json(out / "metrics.json")
    again = score(out / "predictions", tiny.scenes)
    for identifier, values in metrics["protocols"].items():
        assert again.by_protocol[identifier].metrics == values
    assert metrics["metrics"] == metrics["protocols"]["regionplc-base/1"]


def test_scoring_needs_no_torch(repository: Path) -> None:
    code = "import sys, regionzoo.stages.evaluate, regionzoo.evaluation.command; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository, check=True)
    assert done.stdout.strip() == "False"


def test_two_processes_predict_what_one_does(row: tuple[TinyRow, Path], tmp_path: Path) -> None:
    tiny, out = row
    settings = PredictSettings(row="tiny", classes=tiny.settings.classes)
    paths = predict_paths(tiny, out, tmp_path)
    # What a killed run left behind, and the predictions of an earlier one, are replaced.
    for name in (".predictions.tmp", ".predictions.old", "predictions"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stale.safetensors").write_bytes(b"")
    arguments = [
        "predict-scenes", "--settings", settings.canonical(), "--scenes", tiny.scenes, "--captions", tiny.captions,
        "--text", tiny.text, "--result", out, "--out", paths.out, "--manifest", paths.manifest,
        "--device", "cpu", "--threads", "1", "--processes", "2",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "regionzoo", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions", "predictions.manifest.json"]
    assert tree_hashes(paths.out) == tree_hashes(out / "predictions")
    several, alone = load_facts(paths.out), load_facts(out / "predictions")
    assert several[1] == alone[1] and set(several[1]) == {f"{scene_id}.safetensors" for scene_id in VAL}
    assert several[0].training == alone[0].training and several[0].classes == alone[0].classes


@pytest.mark.parametrize("size", [2, 4])
def test_each_scene_falls_to_exactly_one_process(row: tuple[TinyRow, Path], tmp_path: Path, size: int) -> None:
    tiny, out = row
    network = build_network(tiny.settings, load_table(tiny.text), "native")
    load_model(out / "model.safetensors", network)
    written = []
    for rank in range(size):
        here = World(rank, size, torch.device("cpu"))
        predict_scenes(network, tiny.scenes, VAL, "scannet20", 0.1, tmp_path / str(rank), here, "predict")
        written += sorted(path.name for path in (tmp_path / str(rank)).glob("*"))
    assert sorted(written) == [f"{scene_id}.safetensors" for scene_id in VAL]


def test_the_untrained_network_can_be_scored(row: tuple[TinyRow, Path], tmp_path: Path) -> None:
    tiny, _ = row
    settings = tiny.settings.model_copy(update={"recipe": tiny.settings.recipe.model_copy(update={"epochs": 0})})
    train_row(tiny, settings, tmp_path)
    predict.run(PredictSettings(row="tiny", classes=settings.classes), predict_paths(tiny, tmp_path, tmp_path), CPU)
    evaluate.run(SETTINGS, tiny.scenes, tmp_path / "predictions", tmp_path)
    untrained = read_json(tmp_path / "metrics.json")["metrics"]
    assert untrained["hIoU"] < read_json(row[1] / "metrics.json")["metrics"]["hIoU"]


def test_weights_asked_for_other_classes(row: tuple[TinyRow, Path], tmp_path: Path) -> None:
    tiny, _ = row
    free = annotation_free(tiny.settings)
    train_row(tiny, free, tmp_path / "trained")
    other = Classes(set="scannet200", annotated=False, ignore=("wall", "floor", "ceiling", "luggage"))
    settings = PredictSettings(row="shared", classes=other)
    predict.run(settings, predict_paths(tiny, tmp_path / "trained", tmp_path), CPU)
    facts, _, _ = load_facts(tmp_path / "predictions")
    assert facts.row == "shared" and facts.training.row == "tiny" and facts.classes.set == "scannet200"
    assert not facts.classes.annotated and len(facts.classes.novel) == 196
    # The very network, its text matrix replaced by hand.
    table = load_table(tiny.text)
    network = build_network(free, table, "native").eval()
    load_model(tmp_path / "trained" / "model.safetensors", network)
    vectors = class_vectors("scannet200", "identity", table)
    ignored = [class_set("scannet200").index(name) for name in other.ignore]
    for scene_id in VAL:
        scene = load_scene(tiny.scenes / f"{scene_id}.safetensors")
        batch = collate([evaluation_item(scene, free.recipe.voxel_size)])
        with torch.no_grad():
            scores = (network.encode(batch).adapted.numpy() @ vectors.T)[batch.v2p]
        path = tmp_path / "predictions" / f"{scene_id}.safetensors"
        found = load_predictions(path, scene.coords_sha256, len(scene))
        assert found.is_base is None and set(found.labels) == set(VARIANTS)
        best = scores.max(axis=1)
        np.testing.assert_allclose(scores[np.arange(len(scene)), found.labels["all"]], best, rtol=1e-5)
        scores[:, ignored] = -np.inf
        best = scores.max(axis=1)
        np.testing.assert_allclose(scores[np.arange(len(scene)), found.labels["row"]], best, rtol=1e-5)
    evaluate.run(
        EvaluateSettings(row="shared", protocol="regionplc-free/1", also=("foreground-197/1",)),
        tiny.scenes, tmp_path / "predictions", tmp_path,
    )  # fmt: skip
    metrics = read_json(tmp_path / "metrics.json")
    assert metrics["trained_row"] == "tiny" and metrics["protocol"]["averaged"] == {"all": 196}


def test_a_failed_prediction_keeps_the_old_one(row: tuple[TinyRow, Path], tmp_path: Path) -> None:
    tiny, out = row
    paths = replace(predict_paths(tiny, out, tmp_path), scenes=tmp_path / "scenes")
    (tmp_path / "scenes").mkdir()
    for name in ("splits.json", f"{VAL[0]}.safetensors"):
        (tmp_path / "scenes" / name).write_bytes((tiny.scenes / name).read_bytes())
    # The folder is what its manifest says, so that the second scene is missed in the middle of the work.
    write_manifest(tmp_path / "scenes.manifest.json", tree_hashes(tmp_path / "scenes"), {})
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "kept.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match=f"{VAL[1]}: .*no such processed scene"):
        predict.run(PredictSettings(row="tiny", classes=tiny.settings.classes), paths, CPU)
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == ["kept.safetensors"]
    assert not paths.manifest.exists() and not (tmp_path / ".predictions.tmp").exists()


def test_figures_are_drawn(row: tuple[TinyRow, Path]) -> None:
    paths = draw_result(row[1])
    assert [path.name for path in paths] == ["history.png", "per_class.png"]
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert pixels.shape == (540, 960, 3) and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_an_unknown_protocol_is_refused(row: tuple[TinyRow, Path]) -> None:
    tiny, out = row
    before = (out / "metrics.json").read_text()
    with pytest.raises(UserError, match="no evaluation protocol 'x/1'"):
        evaluate.run(EvaluateSettings(row="tiny", protocol="x/1", also=()), tiny.scenes, out / "predictions", out)
    assert (out / "metrics.json").read_text() == before
