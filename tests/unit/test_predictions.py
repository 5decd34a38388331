"""The predictions store, what is saved of a network, and scoring from files alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from model_cases import random_batch, small_settings, unit_rows
from saved_predictions import B15N4, FREE20, Saved, save_random

from regionzoo.artifacts import SEAL, read_json, tree_hashes, write_manifest
from regionzoo.classes import class_set
from regionzoo.errors import SceneError, UserError
from regionzoo.evaluation.command import print_protocols, score_command
from regionzoo.evaluation.predict import point_labels
from regionzoo.evaluation.predictions import VARIANTS, Predictions, load_predictions, save_predictions
from regionzoo.evaluation.protocols import protocols
from regionzoo.evaluation.score import score
from regionzoo.models.network import RegionNet
from regionzoo.models.settings import Partition
from regionzoo.scenes.store import load_scene
from regionzoo.settings.train import EvaluateSettings
from regionzoo.stages import evaluate

N = 50
VERTICES = "ab" * 32
TWO_HUNDRED = Partition(tuple(range(30, 200)), tuple(range(30)))


def some(**changes: object) -> Predictions:
    rng = np.random.default_rng(0)
    values: dict[str, object] = {
        "scene_id": "scene0000_00",
        "coords_sha256": VERTICES,
        "class_set": "scannet200",
        "labels": {variant: rng.integers(0, 200, N).astype(np.int16) for variant in VARIANTS},
        "is_base": rng.integers(0, 2, N).astype(np.uint8),
    }
    return Predictions(**(values | changes))


@pytest.mark.parametrize("with_head", [True, False])
def test_round_trip(tmp_path: Path, with_head: bool) -> None:
    made = some() if with_head else some(is_base=None)
    save_predictions(tmp_path / "s.safetensors", made)
    read = load_predictions(tmp_path / "s.safetensors", VERTICES, N)
    assert (read.scene_id, read.coords_sha256, read.class_set) == ("scene0000_00", VERTICES, "scannet200")
    assert set(read.labels) == set(VARIANTS)
    for variant in VARIANTS:
        assert read.labels[variant].dtype == np.int16
        np.testing.assert_array_equal(read.labels[variant], made.labels[variant])
    if with_head:
        assert read.is_base.dtype == np.uint8
        np.testing.assert_array_equal(read.is_base, made.is_base)
    else:
        assert read.is_base is None
    save_predictions(tmp_path / "again.safetensors", read)
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "s.safetensors").read_bytes()


def test_incomplete_predictions_are_not_saved(tmp_path: Path) -> None:
    labels = some().labels
    with pytest.raises(ValueError, match="variants"):
        save_predictions(tmp_path / "s.safetensors", some(labels={"row": labels["row"]}))
    with pytest.raises(ValueError, match="shapes"):
        save_predictions(tmp_path / "s.safetensors", some(labels=labels | {"all": labels["all"][1:]}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("made", "vertices", "points", "message"),
    [
        (some(), "cd" * 32, N, "made for other vertices than the stored scene has"),
        (some(), VERTICES, N + 1, "has 50 points, the scene 51"),
        (some(class_set="nyu40"), VERTICES, N, "no file of predictions"),
        (some(class_set="scannet20"), VERTICES, N, r"'\w+' has values \d+..\d+ outside 0..19"),
        (some(is_base=np.full(N, 2)), VERTICES, N, r"'is_base' has values 2..2 outside 0..1"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(
    tmp_path: Path, made: Predictions, vertices: str, points: int, message: str
) -> None:
    save_predictions(tmp_path / "scene0000_00.safetensors", made)
    with pytest.raises(SceneError, match=message) as caught:
        load_predictions(tmp_path / "scene0000_00.safetensors", vertices, points)
    assert str(caught.value).startswith("scene0000_00: ") and "run the predict rule again" in str(caught.value)


def test_absent_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scene0000_00.safetensors"
    with pytest.raises(SceneError, match="no predictions for this scene"):
        load_predictions(path, VERTICES, N)
    save_predictions(path, some())
    digest, whole = tree_hashes(tmp_path)[path.name], path.read_bytes()
    load_predictions(path, VERTICES, N, digest)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(SceneError, match="differs from the manifest"):
        load_predictions(path, VERTICES, N, digest)
    path.write_bytes(whole[:100])
    with pytest.raises(SceneError, match="damaged"):
        load_predictions(path, VERTICES, N)


def network20(roles: Partition, binary: bool) -> RegionNet:
    torch.manual_seed(3)
    vectors = unit_rows(20, 24, torch.Generator().manual_seed(9))
    # Statistics of the batch: with those of a fresh network every voxel gets the same class.
    return RegionNet(small_settings(binary_head=binary), vectors, roles).train()


@pytest.mark.parametrize(("roles", "binary"), [(B15N4, True), (FREE20, False)])
def test_what_is_saved_is_what_the_network_says(roles: Partition, binary: bool) -> None:
    network, batch = network20(roles, binary), random_batch()
    with torch.no_grad():
        encoded = network.encode(batch)
    labels, is_base = point_labels(network, encoded, batch, "scannet20")
    result = network.predict(batch)
    np.testing.assert_array_equal(labels["row"], result.labels())
    np.testing.assert_array_equal(labels["masked"], result.labels(calibrated=False))
    scores = (encoded.adapted @ network.task_head.cls_head.weight.T).numpy()[batch.v2p]
    every = np.arange(20)
    np.testing.assert_array_equal(labels["all"], scores.argmax(1))
    front = np.array([c for c in every if c not in (0, 1, 19)])
    np.testing.assert_array_equal(labels["foreground"], front[scores[:, front].argmax(1)])
    assert all(values.dtype == np.int16 and len(values) == batch.num_points for values in labels.values())
    if binary:
        np.testing.assert_array_equal(is_base, 1 / (1 + np.exp(-encoded.binary.numpy()[batch.v2p])) > 0.5)
        assert (labels["row"] != labels["masked"]).any()
    else:
        assert is_base is None
        np.testing.assert_array_equal(labels["row"], labels["masked"])
    assert not np.isin(labels["row"], roles.ignore_idx).any() and np.isin(labels["all"], roles.ignore_idx).any()


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    return save_random(tmp_path)


def iou_by_points(truth: np.ndarray, said: np.ndarray, c: int) -> float:
    union = ((truth == c) | (said == c)).sum()
    return float(((truth == c) & (said == c)).sum() / union) if union else 0.0


def test_scoring_from_files_counts_the_validation_scenes(saved: Saved) -> None:
    scored = score(saved.predictions, saved.scenes, ["regionplc-base/1", "foreground-17/1"])
    assert (scored.counts.scenes, scored.counts.points) == (3, 1200) and len(saved.truth) == 1200
    assert list(scored.by_protocol) == ["regionplc-base/1", "foreground-17/1"]
    own, front = scored.by_protocol.values()
    keep = (saved.truth >= 0) & (saved.truth != 19)
    truth, said = saved.truth[keep], saved.labels["row"][keep]
    b, n = (np.mean([iou_by_points(truth, said, c) for c in side]) for side in (B15N4.base_idx, B15N4.novel_idx))
    assert own.metrics["mIoU_base"] == pytest.approx(100 * b, abs=0.006)
    assert own.metrics["hIoU"] == pytest.approx(100 * 2 * b * n / (b + n), abs=0.006)
    assert own.averaged == {"base": 15, "novel": 4}
    keep = saved.truth >= 0
    right = np.isin(saved.truth, B15N4.base_idx) == saved.is_base
    assert own.metrics["binary_allAcc"] == pytest.approx(100 * right[keep].mean(), abs=0.006)
    keep = (saved.truth >= 0) & ~np.isin(saved.truth, (0, 1, 19))
    truth, said = saved.truth[keep], saved.labels["foreground"][keep]
    expected = np.mean([iou_by_points(truth, said, c) for c in range(2, 19)])
    assert front.metrics["mIoU"] == pytest.approx(100 * expected, abs=0.006)
    assert "binary_allAcc" not in front.metrics


def test_without_a_choice_every_fitting_protocol_is_scored(tmp_path: Path) -> None:
    for name, roles, wanted in (
        ("scannet20", B15N4, ["regionplc-base/1", "regionplc-free/1", "all-20/1", "foreground-17/1"]),
        ("scannet20", FREE20, ["regionplc-free/1", "all-20/1", "foreground-17/1"]),
        ("scannet200", TWO_HUNDRED, [identifier for identifier in protocols() if "-20/" not in identifier
                                     and "-17/" not in identifier and "nuscenes" not in identifier]),
    ):  # fmt: skip
        folder = tmp_path / f"{name}{len(roles.base_idx)}"
        made = save_random(folder, name, roles, scenes=1)
        assert list(score(made.predictions, made.scenes).by_protocol) == wanted


def test_the_stage_writes_what_scoring_gives(saved: Saved, tmp_path: Path) -> None:
    settings = EvaluateSettings(row="tiny", protocol="regionplc-base/1", also=("all-20/1",))
    evaluate.run(settings, saved.scenes, saved.predictions, tmp_path / "result")
    metrics = read_json(tmp_path / "result" / "metrics.json")
    assert metrics["metrics"] == metrics["protocols"]["regionplc-base/1"]
    for identifier in ("regionplc-base/1", "all-20/1"):
        again = score(saved.predictions, saved.scenes, [identifier]).by_protocol[identifier]
        assert metrics["protocols"][identifier] == again.metrics
    assert metrics["task"] == "semantic" and metrics["protocol"]["averaged"] == {"base": 15, "novel": 4}
    lines = (tmp_path / "result" / "per_class.csv").read_text().splitlines()
    assert lines[0] == "class,role,iou,accuracy,points" and len(lines) == 21
    first = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert first["class"] == "wall" and float(first["iou"]) == metrics["per_class"]["wall"]


def test_classes_left_out_have_no_score(saved: Saved, tmp_path: Path) -> None:
    evaluate.run(
        EvaluateSettings(row="tiny", protocol="all-20/1", also=()), saved.scenes, saved.predictions, tmp_path / "result"
    )
    metrics = read_json(tmp_path / "result" / "metrics.json")
    kept = saved.truth >= 0
    occurs = {*saved.truth[kept].tolist(), *saved.labels["all"][kept].tolist()}
    names = class_set("scannet20").names
    absent = {name for c, name in enumerate(names) if c not in occurs}
    assert absent and {name for name, iou in metrics["per_class"].items() if iou is None} == absent
    text = (tmp_path / "result" / "per_class.csv").read_text()
    assert all(any(line.startswith(f"{name},") and ",,," in line for line in text.splitlines()) for name in absent)


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        ("all-21/1", "did you mean 'all-20/1'"),
        ("regionplc-base-wrapped/1", "is for scannet200, not scannet20; fitting: regionplc-free/1, all-20/1"),
        ("regionplc-base/1", "trained without annotation; fitting: regionplc-free/1, all-20/1, foreground-17/1"),
    ],
)
def test_a_protocol_that_does_not_fit_writes_nothing(tmp_path: Path, identifier: str, message: str) -> None:
    made = save_random(tmp_path, "scannet20", FREE20, scenes=1)
    settings = EvaluateSettings(row="tiny", protocol="regionplc-free/1", also=(identifier,))
    with pytest.raises(UserError, match=message):
        evaluate.run(settings, made.scenes, made.predictions, tmp_path / "result")
    assert not (tmp_path / "result").exists()


def test_files_that_do_not_match_are_refused(saved: Saved) -> None:
    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message):
            score(saved.predictions, saved.scenes, ["all-20/1"])

    one, two = (saved.predictions / f"scene000{k}_00.safetensors" for k in (0, 1))
    whole = one.read_bytes()
    one.write_bytes(two.read_bytes())
    refused("scene0000_00: .*differs from the manifest")
    manifest = saved.predictions.with_name("predictions.manifest.json")
    before = manifest.read_text()
    write_manifest(manifest, tree_hashes(saved.predictions), json.loads(before)["facts"])
    refused("scene0001_00: .*scene0000_00.safetensors: made for other vertices")
    one.unlink()
    refused("scene0000_00: .*no predictions for this scene")
    write_manifest(manifest, tree_hashes(saved.predictions), json.loads(before)["facts"])
    refused("scene0000_00: .*its manifest has no predictions for this scene")
    one.write_bytes(whole)
    manifest.write_text(before)
    facts = json.loads(before)
    facts["facts"]["classes"]["novel"].append("sofa")
    manifest.write_text(json.dumps(facts))
    refused("predictions.manifest.json: damaged, its content is not what was written")
    facts.pop(SEAL)
    manifest.write_text(json.dumps(facts))
    refused("predictions.manifest.json: classes: base, novel and ignored classes must be those of scannet20")
    manifest.write_text("{}")
    refused("not a manifest of predictions")
    manifest.unlink()
    refused("no manifest of predictions")


def test_predictions_of_another_row_are_refused(saved: Saved, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="predictions of row 'tiny', not 'other'"):
        evaluate.run(
            EvaluateSettings(row="other", protocol="all-20/1", also=()), saved.scenes, saved.predictions, tmp_path / "r"
        )


def test_the_command_prints_and_writes(saved: Saved, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scores.json"
    score_command(saved.predictions, ["all-20/1", "regionplc-base/1"], saved.scenes, out)
    text, written = capsys.readouterr().out, read_json(out)
    assert list(written["protocols"]) == ["all-20/1", "regionplc-base/1"] and written["row"] == "tiny"
    for identifier, metrics in written["protocols"].items():
        assert identifier in text and f"{metrics['mIoU_novel' if 'base' in identifier else 'mIoU']:.2f}" in text
    assert "Synthetic data" in text and "15 base + 4 novel" in text and "20 classes" in text
    assert written["data"] == {
        "source": "synthetic-rooms", "note": "Synthetic data: not comparable with any published score.",
        "scale": "small", "scenes": 3, "points": 1200,
    }  # fmt: skip


def test_the_list_names_every_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    print_protocols()
    text = capsys.readouterr().out
    assert all(identifier in text for identifier in protocols()) and "hair dryer" in text


def test_labels_come_from_the_scene_store(saved: Saved) -> None:
    truth = [load_scene(saved.scenes / f"scene000{k}_00.safetensors").labels["scannet20"] for k in range(3)]
    np.testing.assert_array_equal(np.concatenate(truth), saved.truth)
