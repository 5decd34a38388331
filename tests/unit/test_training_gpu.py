"""Training on a GPU: the CPU's batches to the bit, no waiting within a step, and errors that name their step."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
import torch
from tiny_rooms import TinyRow, annotation_free, make_tiny_row
from tiny_training import trainer, with_recipe

from regionzoo.errors import SceneError, UserError
from regionzoo.models.batch import FeatureBatch, with_tensors
from regionzoo.models.distill_head import distill_loss
from regionzoo.models.voxelize import voxelize
from regionzoo.sparse.pyramid import Pyramid
from regionzoo.training.delayed import DelayedReader
from regionzoo.training.distributed import World
from regionzoo.training.feed import feed
from regionzoo.training.late_rooms import LatePoints
from regionzoo.training.loop import Trainer
from regionzoo.training.point_batch import PointBatch
from regionzoo.training.scaler import LossScaler
from regionzoo.training.steps import EpochSteps, TrainingShards

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = [pytest.param("cpu"), pytest.param("cuda", marks=needs_gpu)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRow:
    return with_recipe(make_tiny_row(tmp_path_factory.mktemp("gpu")), shards=2, scenes_per_shard=1, repeat=2, amp=False)


def on(device: str, row: TinyRow, state: Path, epochs: int = 2) -> Trainer:
    """A trainer whose network is on the device."""
    made = trainer(row, state, epochs)
    if device == "cpu":
        return made
    made.network.to(device)
    optimizer = type(made.optimizer)(made.network, made.settings.recipe, made.settings.lr)
    return replace(made, optimizer=optimizer, here=World(0, 1, torch.device(device)))


def equal(a: object, b: object) -> bool:
    """Whether two batches hold the same bits, wherever they are."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a.cpu(), b.cpu())
    if is_dataclass(a):
        return all(equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    return isinstance(a, Pyramid) or a is None or isinstance(b, Pyramid) or a == b


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("loaders", [0, 2])
def test_the_feed_hands_over_what_the_steps_are(tiny: TinyRow, tmp_path: Path, device: str, loaders: int) -> None:
    made = on(device, tiny, tmp_path / "s")
    shards = TrainingShards(made.scenes, made.table, made.here, late=device == "cuda")
    expected = [
        shard
        for epoch in (1, 2)
        for step in range(5)
        for shard in EpochSteps(made.scenes, made.table, epoch, made.here)[step]
    ]
    assert len(EpochSteps(made.scenes, made.table, 0, made.here)) == 5
    kept = []
    with closing(feed(shards, range(1, 3), loaders, 1, lambda load: load, made.network.prepared)) as fed:
        for shard in fed:
            # Memory that is used again too early would change what was handed over before.
            kept.append((shard, shard.batch.voxel_feats.clone()))
            assert shard.batch.v2p.device.type == device
            for _ in range(20):
                torch.zeros(1 << 16, device=device).add_(1)
    assert [shard.number for shard, _ in kept] == [shard.number for shard in expected]
    for (shard, seen), other in zip(kept, expected, strict=True):
        assert equal(replace(shard.batch, pyramid=None), other.batch)
        assert torch.equal(seen.cpu(), other.batch.voxel_feats)


@pytest.mark.parametrize("device", DEVICES)
def test_shards_that_get_voxels_later_are_those_that_have_them(tiny: TinyRow, tmp_path: Path, device: str) -> None:
    made = trainer(tiny, tmp_path / "s", 1)
    for step in range(3):
        late, at_once = (EpochSteps(made.scenes, made.table, 1, made.here, kind)[step] for kind in (True, False))
        for shard, other in zip(late, at_once, strict=True):
            assert isinstance(shard.batch, PointBatch) and isinstance(shard.batch.points, LatePoints)
            batch = with_tensors(shard.batch, lambda tensor: tensor.to(device)).voxelised()
            assert equal(batch, other.batch)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("loaders", [0, 2])
def test_a_broken_scene_is_one_line_whoever_read_it(tiny: TinyRow, tmp_path: Path, device: str, loaders: int) -> None:
    scenes = tmp_path / "scenes"
    shutil.copytree(tiny.scenes, scenes)
    broken = scenes / f"{tiny.train_ids[3]}.safetensors"
    broken.write_bytes(broken.read_bytes()[:2000])
    made = on(device, replace(tiny, scenes=scenes), tmp_path / "s")
    with pytest.raises(SceneError) as told:
        replace(made, workers=loaders).run()
    assert str(broken) in str(told.value) and "\n" not in str(told.value)


@needs_gpu
def test_voxels_of_a_gpu_are_those_of_a_cpu_to_the_bit() -> None:
    rng = torch.Generator().manual_seed(1)
    coords = torch.randint(0, 40, (60_000, 4), generator=rng)
    feats = torch.randn(60_000, 6, generator=rng)
    expected = voxelize(coords, feats)
    for sizes in (None, (40, 50, 60, 70)):
        found = voxelize(coords.cuda(), feats.cuda(), sizes)
        assert all(a.dtype == b.dtype and torch.equal(a.cpu(), b) for a, b in zip(found, expected, strict=True))


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_distillation_on_a_gpu_is_that_of_a_cpu(dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(3)
    feats = torch.randn(70, 48, generator=rng).to(dtype).requires_grad_()
    v2p = torch.randint(0, 70, (500,), generator=rng)
    targets = FeatureBatch(torch.randperm(500, generator=rng)[:200], torch.randn(200, 48, generator=rng).half())
    expected = distill_loss(feats, v2p, targets)
    moved = feats.detach().cuda().requires_grad_()
    found = distill_loss(moved, v2p.cuda(), FeatureBatch(targets.point_ids.cuda(), targets.feats.cuda()))
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-5, atol=1e-6)
    gradients = [torch.autograd.grad(loss * 8, leaf)[0] for loss, leaf in ((found, moved), (expected, feats))]
    torch.testing.assert_close(
        gradients[0].cpu(), gradients[1], rtol=2e-3 if dtype == torch.float16 else 1e-5, atol=1e-6
    )


@needs_gpu
@pytest.mark.parametrize("free", [False, True])
def test_no_step_waits_for_the_gpu(tiny: TinyRow, tmp_path: Path, free: bool) -> None:
    row = replace(tiny, settings=annotation_free(tiny.settings)) if free else tiny
    made = on("cuda", row, tmp_path / "s")
    shards = TrainingShards(made.scenes, made.table, made.here, late=True)
    scaler, late = LossScaler(True, "cuda"), DelayedReader[int]()
    with closing(feed(shards, range(1), 0, 1, lambda load: load, made.network.prepared)) as fed:
        ready = list(fed)
    for step, start in enumerate(range(0, 6, 2)):
        # The first step compiles kernels and makes Adam's state.
        torch.cuda.set_sync_debug_mode("error" if step else "default")
        try:
            terms = made._gradients(ready[start : start + 2], scaler, 0, step)
            made.optimizer.step(scaler.unscale(made.optimizer.gradient))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        found = late.put(step, terms)
        assert [tag for tag, _ in found] == ([step - 1] if step else [])
    found += late.rest()
    assert [tag for tag, _ in found] == [1, 2] and all(values[0] > 0 for _, values in found)
    assert late.rest() == []


@needs_gpu
def test_a_gpu_learns_what_a_cpu_learns(tiny: TinyRow, tmp_path: Path) -> None:
    histories = [on(device, tiny, tmp_path / device).run().history for device in ("cpu", "cuda")]
    for one, other in zip(*histories, strict=True):
        for name in ("loss", "seg", "binary", "caption"):
            assert other[name] == pytest.approx(one[name], rel=2e-3), name
        assert one["steps"] == other["steps"] and other["skipped_steps"] == 0


@needs_gpu
@pytest.mark.parametrize("free", [False, True])
def test_two_trainings_on_a_gpu_end_in_the_same_bits(tiny: TinyRow, tmp_path: Path, free: bool) -> None:
    row = replace(tiny, settings=annotation_free(tiny.settings)) if free else tiny
    ends = []
    for name in ("one", "other"):
        made = on("cuda", with_recipe(row, amp=True), tmp_path / name)
        history = made.run().history
        ends.append((made.network.state_dict(), [{**epoch, "seconds": 0} for epoch in history]))
        torch.full((1 << 28,), torch.nan, device="cuda")
    (one, history), (other, again) = ends
    assert history == again
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@needs_gpu
def test_half_precision_is_scaled_and_a_resumed_training_goes_on(tiny: TinyRow, tmp_path: Path) -> None:
    half = with_recipe(tiny, amp=True)
    whole = on("cuda", half, tmp_path / "whole", 2).run().history
    on("cuda", half, tmp_path / "part", 1).run()
    part = on("cuda", with_recipe(half, epochs=2), tmp_path / "part", 2).run().history
    assert [row["epoch"] for row in part] == [1, 2] and len(whole) == 2
    assert all(0 <= row["skipped_steps"] < row["steps"] and row["loss"] > 0 for row in (*whole, *part))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("bad", [2, 5, 7])
def test_a_loss_that_is_no_number_is_told_with_its_step(tiny: TinyRow, tmp_path: Path, device: str, bad: int) -> None:
    made, calls = on(device, tiny, tmp_path / "s"), []

    def spoil(*_: object) -> None:
        calls.append(1)
        # Two shards a step, five steps an epoch.
        if len(calls) == 2 * bad:
            with torch.no_grad():
                made.network.task_head.cls_head.weight.fill_(float("nan"))

    made.network.register_forward_pre_hook(spoil)
    with pytest.raises(UserError, match=rf"not a number at epoch {(bad + 4) // 5}, step {bad};"):
        made.run()
    # On a GPU it is known one step late, at the end of an epoch at once.
    late = device == "cuda" and bad % 5
    assert len(calls) == 2 * (bad + bool(late))
