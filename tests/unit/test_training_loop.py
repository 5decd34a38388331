"""The loop on tiny scenes: order of samples, resuming, shards, processes, and that it learns."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_rooms import TinyRow, make_tiny_row
from tiny_training import ENVIRONMENT, command, run_and_kill, same, trained, trainer
from torch import nn

from regionzoo.models.norm import VoxelNorm
from regionzoo.training.dataset import epoch_order, step_samples, steps_per_epoch
from regionzoo.training.loop import Trainer


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRow:
    return make_tiny_row(tmp_path_factory.mktemp("tiny"))


def test_samples_are_dealt_like_a_distributed_sampler() -> None:
    order = epoch_order(0, 3, 40)
    assert sorted(order) == list(range(40)) and list(order) != list(epoch_order(0, 4, 40))
    steps = [step_samples(order, step, 4, 2) for step in range(5)]
    flat = np.concatenate([np.concatenate(step) for step in steps])
    assert sorted(flat) == list(range(40))
    # Process r of a sampler with world 4 sees order[r], order[r + 4], ...; two of them a batch.
    assert steps[1][2].tolist() == [order[8 + 2], order[8 + 6]]
    assert steps_per_epoch(4804, 32) == 150 and steps_per_epoch(3, 8) == 1


def test_two_runs_are_bit_identical_and_a_row_is_written(tiny: TinyRow, tmp_path: Path) -> None:
    first, second = trained(tiny, tmp_path / "a"), trained(tiny, tmp_path / "b")
    assert same(first, second)
    assert not (tmp_path / "a" / "state").exists()
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["settings"]["recipe"]["epochs"] == tiny.settings.recipe.epochs
    history = (tmp_path / "a" / "history.csv").read_text().splitlines()
    assert len(history) == 1 + tiny.settings.recipe.epochs and history[0].startswith("epoch,steps,lr,")


def test_seed_changes_the_weights(tiny: TinyRow, tmp_path: Path) -> None:
    other = replace(tiny, settings=tiny.settings.model_copy(update={"seed": 1}))
    assert not same(trained(tiny, tmp_path / "a"), trained(other, tmp_path / "b"))


def test_resumed_training_ends_in_the_same_bits(tiny: TinyRow, tmp_path: Path) -> None:
    whole = trainer(tiny, tmp_path / "whole.safetensors", 3)
    whole.run()

    run_and_kill(trainer(tiny, tmp_path / "part.safetensors", 3), 2)
    resumed = trainer(tiny, tmp_path / "part.safetensors", 3)
    seen: list[int] = []
    progress = resumed.run(on_epoch=lambda p: seen.append(p.epochs_done))
    assert seen == [3]
    assert [row["epoch"] for row in progress.history] == [1, 2, 3]
    assert same(dict(whole.network.state_dict()), dict(resumed.network.state_dict()))


def test_another_key_or_a_damaged_state_is_not_resumed(tiny: TinyRow, tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    trainer(tiny, state, 1).run()
    fresh = trainer(tiny, state, 1)
    other = Trainer(**{**fresh.__dict__, "key": "other"})
    assert len(other.run().history) == 1
    state.write_bytes(state.read_bytes()[:1000])
    seen: list[int] = []
    trainer(tiny, state, 1).run(on_epoch=lambda p: seen.append(p.epochs_done))
    assert seen == [1]


def test_gradients_are_the_mean_over_shards_and_buffers_are_shard_zeros(tiny: TinyRow, tmp_path: Path) -> None:
    one = trainer(tiny, tmp_path / "s", 1)
    loop_settings = one.settings.recipe.model_copy(update={"shards": 2, "scenes_per_shard": 1})
    two = Trainer(**{**one.__dict__, "settings": one.settings.model_copy(update={"recipe": loop_settings})})
    from regionzoo.training.scaler import LossScaler
    from regionzoo.training.steps import EpochSteps

    object.__setattr__(two.scenes, "settings", two.settings)
    shards = EpochSteps(two.scenes, two.table, 0, two.here)[0]
    assert [shard.number for shard in shards] == [0, 1]
    two.network.train()
    before = {name: value.clone() for name, value in two.network.state_dict().items()}
    two._gradients(shards, LossScaler(False), epoch=0, step=0)
    mean = {name: p.grad.clone() for name, p in two.optimizer.named.items()}
    buffers = {name: value.clone() for name, value in two.network.named_buffers()}
    grads = []
    for shard in shards:
        two.network.load_state_dict(before)
        two.optimizer.gradient.zero_()
        two.network(shard.batch).losses.total.backward()
        grads.append(
            {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in two.optimizer.named.items()}
        )
        if shard.number == 0:
            for name, value in two.network.named_buffers():
                torch.testing.assert_close(buffers[name], value, rtol=0, atol=0, msg=name)
    for name in mean:
        torch.testing.assert_close(mean[name], (grads[0][name] + grads[1][name]) / 2, rtol=1e-4, atol=1e-6)
    assert any(isinstance(module, VoxelNorm | nn.BatchNorm1d) for module in two.network.modules())


def test_loaders_change_no_bit(tiny: TinyRow, tmp_path: Path) -> None:
    alone = trainer(tiny, tmp_path / "a", 1)
    alone.run()
    helped = Trainer(**{**trainer(tiny, tmp_path / "b", 1).__dict__, "workers": 2})
    helped.run()
    assert same(dict(alone.network.state_dict()), dict(helped.network.state_dict()))


def test_captions_off_uses_no_caption_file(tiny: TinyRow, tmp_path: Path) -> None:
    off = tiny.settings.caption.model_copy(update={"weight": 0.0})
    trained(replace(tiny, settings=tiny.settings.model_copy(update={"caption": off})), tmp_path)
    history = (tmp_path / "history.csv").read_text().splitlines()
    column = history[0].split(",").index("caption")
    assert {float(line.split(",")[column]) for line in history[1:]} == {0.0}


def test_two_processes_compute_what_one_computes(tiny: TinyRow, tmp_path: Path) -> None:
    settings = tiny.settings.model_copy(
        update={"recipe": tiny.settings.recipe.model_copy(update={"shards": 2, "scenes_per_shard": 1})}
    )
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    calls = {"one": ([], 1), "two": ([], 2), "torchrun": (torchrun, 0)}
    outputs = {}
    for name, (launcher, processes) in calls.items():
        out = tmp_path / name
        done = subprocess.run(
            [sys.executable, *launcher, *command(settings, tiny, out, processes)],
            capture_output=True, text=True, timeout=300, env=ENVIRONMENT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        outputs[name] = load_file(out / "model.safetensors")
    # Two numbers have one sum in whatever order, so even the bits agree.
    assert same(outputs["one"], outputs["two"]) and same(outputs["one"], outputs["torchrun"])
    for name, processes in (("one", 1), ("two", 2), ("torchrun", 2)):
        assert json.loads((tmp_path / name / "config.json").read_text())["cost"]["processes"] == processes


def test_a_killed_training_goes_on_to_the_same_bits(tiny: TinyRow, tmp_path: Path) -> None:
    long = tiny.settings.recipe.model_copy(update={"epochs": 60, "shards": 2, "scenes_per_shard": 1})
    settings = tiny.settings.model_copy(update={"recipe": long})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for out in (whole, broken):
        run = subprocess.Popen(
            [sys.executable, *command(settings, tiny, out, 2)], env=ENVIRONMENT, stderr=subprocess.PIPE
        )
        if out == broken:
            state = broken / "state" / "state.safetensors"
            while not state.exists():
                assert run.poll() is None, run.stderr.read()
                time.sleep(0.02)
            run.kill()
        run.communicate(timeout=300)
    assert run.returncode != 0 and not (broken / "model.safetensors").exists()
    # The children died with their parent: nobody writes the state any more.
    time.sleep(0.5)
    before = state.stat().st_mtime_ns
    time.sleep(1.0)
    assert state.stat().st_mtime_ns == before
    subprocess.run(
        [sys.executable, *command(settings, tiny, broken, 2)], env=ENVIRONMENT, check=True, capture_output=True
    )
    assert same(load_file(whole / "model.safetensors"), load_file(broken / "model.safetensors"))
    history = [line.split(",")[0] for line in (broken / "history.csv").read_text().splitlines()[1:]]
    assert history == [str(epoch) for epoch in range(1, 61)]
