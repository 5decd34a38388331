"""A trained tiny row, scored: the same numbers by any number of processes, with everything that says what they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_rooms import TinyRow, make_tiny_row

from regionzoo.artifacts import read_json
from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.report.figures import draw_result
from regionzoo.scenes.store import load_scene
from regionzoo.settings.train import EvaluateSettings
from regionzoo.stages import evaluate, train
from regionzoo.stages._runtime import Runtime
from regionzoo.text.table import load_table
from regionzoo.training.build import build_network, partition_of
from regionzoo.training.checkpoint import load_model
from regionzoo.training.collate import collate
from regionzoo.training.dataset import evaluation_item

CPU = Runtime(device="cpu", threads=1)
SETTINGS = EvaluateSettings(row="tiny", protocol="regionplc-base/1")


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyRow, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    tiny, out = make_tiny_row(folder), folder / "results" / "tiny"
    changes = {
        "recipe": tiny.settings.recipe.model_copy(update={"epochs": 40}),
        "augmentation": tiny.settings.augmentation.model_copy(update={"matrix_noise": 0.0, "elastic": ()}),
    }
    tiny = TinyRow(tiny.settings.model_copy(update=changes), tiny.scenes, tiny.captions, tiny.text, tiny.train_ids)
    train.run(tiny.settings, train.TrainPaths(tiny.scenes, tiny.captions, tiny.text, out, folder / "state"), CPU)
    evaluate.run(SETTINGS, evaluate.EvaluatePaths(tiny.scenes, tiny.captions, tiny.text, out), CPU)
    return tiny, out


def test_scores_equal_a_count_point_by_point(row: tuple[TinyRow, Path]) -> None:
    tiny, out = row
    table = load_table(tiny.text)
    network = build_network(tiny.settings, table, "native").eval()
    load_model(out / "model.safetensors", network)
    partition = partition_of(tiny.settings)
    inter, union = np.zeros(20), np.zeros(20)
    base, novel = list(partition.base_idx), list(partition.novel_idx)
    for index in (6, 7, 8):
        scene = load_scene(tiny.scenes / f"scene{index:04}_00.safetensors")
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
    metrics = read_json(row[1] / "metrics.json")
    assert metrics["data"]["source"] == "synthetic-rooms" and "Synthetic" in metrics["data"]["note"]
    assert metrics["data"]["scenes"] == 3 and metrics["data"]["points"] == 3 * 900
    assert metrics["protocol"]["id"] == "regionplc-base/1" and metrics["unit"] == "percent"
    assert metrics["packages"]["torch"] == torch.__version__.split("+")[0] or metrics["packages"]["torch"]
    assert {"train_hours", "threads", "device", "engine"} <= set(metrics["cost"])
    table = pd.read_csv(row[1] / "per_class.csv")
    assert list(table.columns) == ["class", "role", "iou", "accuracy", "points"] and len(table) == 20
    assert table.role.value_counts().to_dict() == {"base": 15, "novel": 4, "ignored": 1}


@pytest.mark.parametrize("processes", [2, 4])
def test_any_number_of_processes_counts_each_scene_once(
    row: tuple[TinyRow, Path], tmp_path: Path, processes: int
) -> None:
    tiny, out = row
    result = tmp_path / "result"
    result.mkdir()
    for name in ("model.safetensors", "config.json"):
        (result / name).write_bytes((out / name).read_bytes())
    arguments = [
        "evaluate", "--settings", SETTINGS.canonical(), "--scenes", tiny.scenes, "--captions", tiny.captions,
        "--text", tiny.text, "--result", result, "--device", "cpu", "--threads", "1", "--processes", processes,
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "regionzoo", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    several, alone = read_json(result / "metrics.json"), read_json(out / "metrics.json")
    for key in ("metrics", "per_class"):
        assert several[key] == alone[key]
    assert several["data"]["scenes"] == 3 and several["data"]["points"] == alone["data"]["points"]


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
        evaluate.run(
            EvaluateSettings(row="tiny", protocol="x/1"),
            evaluate.EvaluatePaths(tiny.scenes, tiny.captions, tiny.text, out),
            CPU,
        )
    assert (out / "metrics.json").read_text() == before
    assert json.loads(before)["row"] == "tiny"
