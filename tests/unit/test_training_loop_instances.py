"""The loop on a tiny instance row: warm-up, draws of the refinement, resuming, processes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tiny_instances import with_instances
from tiny_rooms import TinyRow, make_tiny_row
from tiny_training import ENVIRONMENT, command, run_and_kill, same, trained, trainer, with_recipe

from regionzoo.models.network import Losses
from regionzoo.training.loop import HISTORY, Trainer
from regionzoo.training.scaler import LossScaler
from regionzoo.training.steps import EpochSteps, Shard

TERMS = ["seg", "binary", "caption", "distill", "offset", "mask", "iou"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRow:
    """A row that proposes whatever hangs together from the first step after one epoch of warm-up."""
    made = make_tiny_row(tmp_path_factory.mktemp("tiny"))
    return replace(made, settings=with_instances(made.settings, score_threshold=0.001, positive_iou=0.05))


def test_the_history_has_the_terms_and_the_warm_up_offsets_alone(tiny: TinyRow, tmp_path: Path) -> None:
    longer = tiny.settings.instances.model_copy(update={"warmup_epochs": 2})
    row = replace(tiny, settings=tiny.settings.model_copy(update={"instances": longer}))
    trained(row, tmp_path, epochs=4)
    history = pd.read_csv(tmp_path / "history.csv")
    assert tuple(history.columns) == HISTORY and list(history.epoch) == [1, 2, 3, 4]
    assert (history.offset > 0).all()
    for term in ("mask", "iou"):
        assert list(history[term] > 0) == [False, False, True, True] and list(history[term][:2]) == [0, 0]
    pd.testing.assert_series_equal(history.loss, history[TERMS].sum(axis=1), check_names=False, rtol=1e-5)


def test_semantic_rows_have_no_instance_loss(tiny: TinyRow, tmp_path: Path) -> None:
    plain = replace(tiny, settings=tiny.settings.model_copy(update={"instances": None}))
    weights = trained(plain, tmp_path)
    history = pd.read_csv(tmp_path / "history.csv")
    assert (history[["offset", "mask", "iou"]] == 0).all(axis=None)
    assert not any(key.startswith("inst_head") for key in weights)


def test_two_runs_and_any_number_of_loaders_give_the_same_bits(tiny: TinyRow, tmp_path: Path) -> None:
    alone, again, helped = (trainer(tiny, tmp_path / name, 3) for name in "abc")
    alone.run()
    again.run()
    Trainer(**{**helped.__dict__, "workers": 2}).run()
    weights = [dict(each.network.state_dict()) for each in (alone, again, helped)]
    assert same(weights[0], weights[1]) and same(weights[0], weights[2])


@pytest.mark.parametrize("after", [1, 2])
def test_a_training_stopped_after_its_warm_up_or_later_ends_in_the_same_bits(
    tiny: TinyRow, tmp_path: Path, after: int
) -> None:
    whole = trainer(tiny, tmp_path / "whole.safetensors", 3)
    done = whole.run()
    assert [row["mask"] > 0 for row in done.history] == [False, True, True]
    run_and_kill(trainer(tiny, tmp_path / "part.safetensors", 3), after)
    resumed = trainer(tiny, tmp_path / "part.safetensors", 3)
    seen: list[int] = []
    progress = resumed.run(on_epoch=lambda p: seen.append(p.epochs_done))
    assert seen == list(range(after + 1, 4))
    assert same(dict(whole.network.state_dict()), dict(resumed.network.state_dict()))
    for name in (*TERMS, "loss", "lr"):
        assert [row[name] for row in progress.history] == [row[name] for row in done.history]


def test_each_loss_stands_in_its_own_column(tiny: TinyRow, tmp_path: Path) -> None:
    one = trainer(tiny, tmp_path / "s", 3)
    said: list[Losses] = []
    one.network.register_forward_hook(lambda module, inputs, output: said.append(output.losses))
    batch = EpochSteps(one.scenes, one.table, 0, one.here)[0][0].batch
    found = one._gradients([Shard(0, batch)], LossScaler(False), 1, 0).tolist()
    losses, instance = said[0], said[0].instance
    values = [losses.total, losses.seg, losses.binary, losses.caption, losses.distill]
    values += [instance.offset, instance.mask, instance.iou]
    assert found == [value.item() for value in values] and len({*found}) == len(found)


def test_the_draws_of_the_refinement_follow_from_seed_step_and_shard(tiny: TinyRow, tmp_path: Path) -> None:
    one = trainer(tiny, tmp_path / "s", 3)
    batch = EpochSteps(one.scenes, one.table, 0, one.here)[0][0].batch
    one.network.train()

    def terms(shard: int, epoch: int, step: int, seed: int = 0) -> list[float]:
        settings = one.settings.model_copy(update={"seed": seed})
        used = Trainer(**{**one.__dict__, "settings": settings})
        return used._gradients([Shard(shard, batch)], LossScaler(False), epoch, step).tolist()

    first = terms(0, 1, 4)
    assert terms(0, 2, 4) == first
    assert terms(1, 1, 11) != terms(11, 1, 1)
    for other in (terms(0, 1, 5), terms(1, 1, 4), terms(0, 1, 4, seed=1)):
        # Only mask and iou, and the loss with them, hang on the draws.
        changed = {name for name, a, b in zip(["loss", *TERMS], first, other, strict=True) if a != b}
        assert {"mask", "loss"} <= changed <= {"mask", "iou", "loss"}
    assert terms(0, 0, 4) == terms(0, 0, 5) == terms(1, 0, 4)


def test_two_processes_compute_what_one_computes_with_instances(tiny: TinyRow, tmp_path: Path) -> None:
    settings = with_recipe(tiny, shards=2, scenes_per_shard=1).settings
    outputs: dict[int, dict[str, torch.Tensor]] = {}
    for processes in (1, 2):
        out = tmp_path / str(processes)
        done = subprocess.run(
            [sys.executable, *command(settings, tiny, out, processes)],
            capture_output=True, text=True, timeout=300, env=ENVIRONMENT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        outputs[processes] = load_file(out / "model.safetensors")
    assert same(outputs[1], outputs[2])
    histories = [pd.read_csv(tmp_path / name / "history.csv") for name in "12"]
    pd.testing.assert_frame_equal(*(history.drop(columns="seconds") for history in histories))
    assert list(histories[0]["mask"] > 0) == [False, True, True]
