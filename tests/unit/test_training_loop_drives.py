"""A row of drives from training to score: repeatable, resumable, learning, and point by point what the network says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_drives import POINTS, make_tiny_drives
from tiny_rooms import TinyRow
from tiny_training import CPU, predict_paths, run_and_kill, same, trained, trainer, with_recipe

from regionzoo.artifacts import read_json
from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.evaluation.predict import predict_scenes
from regionzoo.evaluation.predictions import load_facts, load_predictions
from regionzoo.models.batch import Batch
from regionzoo.models.network import RegionNet
from regionzoo.models.voxelize import voxelize
from regionzoo.scenes.drives import Keyframe, load_drive, load_keyframe
from regionzoo.settings.train import EvaluateSettings, PredictSettings
from regionzoo.sparse.pyramid import spatial_shape
from regionzoo.stages import evaluate, predict
from regionzoo.text.table import load_table
from regionzoo.training.build import build_network
from regionzoo.training.checkpoint import load_model
from regionzoo.training.distributed import World
from regionzoo.training.steps import EpochSteps

NAMES = class_set("nuscenes16").names


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRow:
    return make_tiny_drives(tmp_path_factory.mktemp("drives"), train=2, val=1, keyframes=2)


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyRow, Path]:
    """A row that has learnt its objects, predicted and scored."""
    folder = tmp_path_factory.mktemp("row")
    tiny, out = make_tiny_drives(folder, train=3, val=2, keyframes=3), folder / "results" / "tiny"
    trained(tiny, out, epochs=30)
    predict.run(PredictSettings(row="tiny", classes=tiny.settings.classes), predict_paths(tiny, out, out), CPU)
    settings = EvaluateSettings(row="tiny", protocol="regionplc-base/1", also=())
    evaluate.run(settings, tiny.scenes, out / "predictions", out, trained=out)
    return tiny, out


def test_two_trainings_end_in_the_same_bits_with_and_without_loaders(tiny: TinyRow, tmp_path: Path) -> None:
    first = trained(tiny, tmp_path / "a")
    helped = replace(trainer(tiny, tmp_path / "b.safetensors", tiny.settings.recipe.epochs), workers=2)
    helped.run()
    assert same(first, dict(helped.network.state_dict()))
    other = replace(tiny, settings=tiny.settings.model_copy(update={"seed": 1}))
    assert not same(first, trained(other, tmp_path / "c"))


def test_a_resumed_training_ends_in_the_same_bits(tiny: TinyRow, tmp_path: Path) -> None:
    whole = trainer(tiny, tmp_path / "whole.safetensors", 3)
    whole.run()
    run_and_kill(trainer(tiny, tmp_path / "part.safetensors", 3), 2)
    resumed = trainer(tiny, tmp_path / "part.safetensors", 3)
    progress = resumed.run()
    assert [line["epoch"] for line in progress.history] == [1, 2, 3]
    assert same(dict(whole.network.state_dict()), dict(resumed.network.state_dict()))


def test_the_logit_scale_and_the_rate_move_as_the_recipe_says(tiny: TinyRow, tmp_path: Path) -> None:
    run = trainer(with_recipe(tiny, scenes_per_shard=1), tmp_path / "s", 2)
    before = float(run.network.caption_head.caption_logit_scale.detach())
    history = run.run().history
    # Four samples: three steps an epoch, the schedule counts four; 0-based, the last step of an epoch is 2 and 5.
    for line, step in zip(history, (2, 5), strict=True):
        assert line["lr"] == pytest.approx(0.01 * (1 - step / 9) ** 0.9)
    assert float(run.network.caption_head.caption_logit_scale.detach()) != before


def test_every_shard_of_every_step_has_a_shift_of_its_own(tiny: TinyRow, tmp_path: Path) -> None:
    run = trainer(with_recipe(tiny, shards=2, scenes_per_shard=1, repeat=2), tmp_path / "s", 1)
    still = tiny.settings.augmentation.model_copy(update={"voxel_shift": False})
    plain = trainer(replace(tiny, settings=run.settings.model_copy(update={"augmentation": still})), tmp_path / "p", 1)
    seen = {}
    for epoch in range(4):
        steps, unmoved = (EpochSteps(each.scenes, None, epoch, each.here) for each in (run, plain))
        for step in range(len(steps)):
            for shard, before in zip(steps[step], unmoved[step], strict=True):
                moved = (shard.batch.voxel_coords - before.batch.voxel_coords).unique(dim=0)
                assert len(moved) == 1
                seen[epoch, step, shard.number] = tuple(moved[0, 1:].tolist())
    assert len(seen) == 4 * 3 * 2
    assert any(seen[epoch, step, 0] != seen[epoch, step, 1] for epoch in range(4) for step in range(3))
    assert any(seen[epoch, 0, shard] != seen[epoch, 1, shard] for epoch in range(4) for shard in range(2))
    assert any(seen[0, step, shard] != seen[1, step, shard] for step in range(3) for shard in range(2))


def test_golden_losses_of_the_first_step(tiny: TinyRow, tmp_path: Path) -> None:
    run = trainer(tiny, tmp_path / "s", 1)
    shards = run._with_negatives(EpochSteps(run.scenes, run.table, 0, run.here)[0])
    run.network.train()
    losses = run.network(shards[0].batch).losses
    found = [float(part.detach()) for part in (losses.seg, losses.binary, losses.caption)]
    # Written down from a run. By chance alone: log 12 columns, log 2 sides, half of log 6 captions.
    assert found == pytest.approx([2.2973981, 0.6948431, 0.8083518], rel=1e-4)


def test_it_has_learnt_its_objects(row: tuple[TinyRow, Path]) -> None:
    tiny, out = row
    history = pd.read_csv(out / "history.csv")
    assert history.seg.iloc[-1] < history.seg.iloc[0] / 2 and history.caption.iloc[-1] < history.caption.iloc[0]
    metrics = read_json(out / "metrics.json")
    # Pedestrians have no label in training: only captions name them.
    assert metrics["per_class"]["driveable_surface"] > 60 and metrics["per_class"]["pedestrian"] > 40
    assert metrics["metrics"]["binary_mAcc"] > 80
    assert metrics["data"]["source"] == "synthetic-streets" and metrics["data"]["scenes"] == 2
    assert metrics["data"]["points"] == 2 * (3 * POINTS - 1)


def network_of(tiny: TinyRow, out: Path) -> RegionNet:
    network = build_network(tiny.settings, load_table(tiny.text), "native").eval()
    load_model(out / "model.safetensors", network)
    return network


def batch_by_hand(keyframe: Keyframe) -> Batch:
    """All points of a sweep, voxelised by the rooms' own means instead."""
    points = keyframe.coords.astype(np.float64)
    cells = torch.from_numpy(np.floor((points - points.min(axis=0)) / [0.2, 0.2, 0.1]).astype(np.int64))
    feats = torch.from_numpy(np.concatenate([keyframe.coords, keyframe.intensity[:, None]], axis=1))
    coords, v2p, means = voxelize(torch.cat([torch.zeros(len(cells), 1, dtype=torch.int64), cells], 1), feats)
    return Batch(coords, spatial_shape(coords), means, v2p, torch.tensor([0, len(cells)]))


def test_predictions_are_those_of_every_keyframe_in_order(row: tuple[TinyRow, Path]) -> None:
    tiny, out = row
    network = network_of(tiny, out)
    facts, files, _ = load_facts(out / "predictions")
    assert facts.scenes == 2 and facts.task == "semantic" and facts.training.source == "synthetic-streets"
    assert set(files) == {"scene-0003.safetensors", "scene-0004.safetensors"}
    inter, union = np.zeros(16), np.zeros(16)
    for drive_id in ("scene-0003", "scene-0004"):
        path = tiny.scenes / f"{drive_id}.safetensors"
        drive = load_drive(path)
        saved = load_predictions(out / "predictions" / f"{drive_id}.safetensors", drive.coords_sha256, len(drive))
        for number in range(drive.keyframes):
            result, part = network.predict(batch_by_hand(load_keyframe(path, number))), drive.part(number)
            expected = {"row": result.labels(), "masked": result.labels(calibrated=False)}
            expected["all"] = result.voxel_scores.argmax(1)[result.v2p]
            for variant, labels in expected.items():
                # Means added up in another order may turn a tie.
                assert (saved.labels[variant][part] == labels.numpy()).mean() > 0.99, variant
            assert (saved.is_base[part] == (result.binary_logit > 0).numpy()).mean() > 0.99
        assert (saved.labels["row"] != NAMES.index("other_flat")).all()
        for c in range(16):
            said, truth = saved.labels["row"] == c, drive.labels["nuscenes16"] == c
            inter[c] += (said & truth).sum()
            union[c] += ((said | truth) & (drive.labels["nuscenes16"] >= 0)).sum()
    metrics = read_json(out / "metrics.json")
    for c, name in enumerate(NAMES):
        if name != "other_flat":
            assert metrics["per_class"][name] == pytest.approx(100 * inter[c] / max(union[c], 1), abs=0.01), name


@pytest.mark.parametrize("size", [1, 2])
def test_every_drive_is_predicted_by_one_process(row: tuple[TinyRow, Path], tmp_path: Path, size: int) -> None:
    tiny, out = row
    network = network_of(tiny, out)
    for rank in range(size):
        here = World(rank, size, torch.device("cpu"))
        ids = ["scene-0003", "scene-0004"]
        predict_scenes(network, tiny.scenes, ids, "nuscenes16", (0.2, 0.2, 0.1), tmp_path / str(rank), here, "predict")
    made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.safetensors"))
    assert made == [f"{k % size}/scene-000{3 + k}.safetensors" for k in range(2)]
    for path in made:
        assert (tmp_path / path).read_bytes() == (out / "predictions" / Path(path).name).read_bytes()


def test_a_drive_with_a_broken_keyframe_has_no_predictions(row: tuple[TinyRow, Path], tmp_path: Path) -> None:
    tiny, out = row
    path = tiny.scenes / "scene-0003.safetensors"
    (tmp_path / path.name).write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UserError, match="damaged"):
        predict_scenes(
            network_of(tiny, out), tmp_path, ["scene-0003"], "nuscenes16", 0.2, tmp_path / "out",
            World(0, 1, torch.device("cpu")), "predict",
        )  # fmt: skip
    assert not list(tmp_path.glob("out/*"))
