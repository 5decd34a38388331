"""The network as a whole: gradients of each loss, evaluation, statistics, repeatability."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from model_cases import PARTITION, random_batch, small_settings, unit_rows

from regionzoo.models.batch import Batch
from regionzoo.models.network import RegionNet
from regionzoo.models.norm import VoxelNorm, frozen_running_stats
from regionzoo.models.settings import CaptionSettings, Partition
from regionzoo.models.text_head import calibrate
from regionzoo.models.voxelize import voxelize
from regionzoo.sparse.native import NativeEngine
from regionzoo.sparse.pyramid import spatial_shape


def network(seed: int = 0, engine="native", partition: Partition = PARTITION, **changes: object) -> RegionNet:
    torch.manual_seed(seed)
    embeddings = unit_rows(partition.num_classes, 24, torch.Generator().manual_seed(9))
    return RegionNet(small_settings(**changes), embeddings, partition, engine)


def with_gradient(net: RegionNet, loss: torch.Tensor) -> set[str]:
    net.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    return {key for key, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def test_binary_loss_leaks_through_the_bottleneck_alone():
    net, batch = network(), random_batch()
    reached = with_gradient(net, net(batch).losses.binary)
    backbone = {key for key in reached if key.startswith("backbone_3d")}
    assert any(key.startswith("binary_head") for key in reached)
    # Everything on the way down to the coarsest level, and nothing on the way up.
    down = {
        key
        for key, p in net.named_parameters()
        if key.startswith("backbone_3d") and not any(part in key for part in ("blocks_tail", "deconv", "output_layer"))
    }
    assert backbone == down
    assert not any(key.startswith(("adapter", "task_head")) for key in reached)

    closed = network(detach_bottleneck=True)
    reached = with_gradient(closed, closed(batch).losses.binary)
    assert not any(key.startswith("backbone_3d") for key in reached)


def test_lateral_skips_of_the_binary_decoder_carry_no_gradient():
    net, batch = network(), random_batch()
    grads = []
    for drop in (False, True):
        copied = copy.deepcopy(net)
        if drop:
            # Cut the path from the finest level to the coarser ones: what is left is the lateral skip.
            copied.backbone_3d.unet.conv.register_forward_hook(lambda module, inputs, output: output.detach())
        copied(batch).losses.binary.backward()
        grads.append(copied.backbone_3d.input_conv[0].weight.grad)
    assert grads[0].abs().sum() > 0
    assert grads[1] is None or grads[1].abs().sum() == 0


def test_what_each_loss_reaches():
    net, batch = network(), random_batch()
    losses = net(batch).losses
    torch.testing.assert_close(losses.total, losses.seg + losses.binary + losses.caption)
    for loss in (losses.seg, losses.caption):
        reached = with_gradient(net, loss)
        assert not any(key.startswith(("binary_head", "task_head")) for key in reached)
        assert {"adapter.adapter.0.weight", "backbone_3d.input_conv.0.weight"} <= reached


def test_rows_without_parts():
    batch = random_batch()
    annotation_free = Partition((), (0, 1, 2, 4, 5), (3,))
    net = network(partition=annotation_free, binary_head=False, eval_only_text=True, caption=CaptionSettings(1.0))
    out = net(replace(batch, binary_labels=None))
    assert out.losses.seg.item() == out.losses.binary.item() == 0
    assert out.losses.caption.item() > 0
    assert out.voxel_binary is None
    assert net.predict(batch).binary_logit is None
    unlabelled = network(caption=None)(replace(batch, labels=None, binary_labels=None, captions=None))
    assert unlabelled.losses.total.item() == 0
    unlabelled.losses.total.backward()


def test_prediction_scores_points():
    net, batch = network().eval(), random_batch()
    prediction = net.predict(batch)
    assert prediction.logits.shape == (batch.num_points, 6)
    assert (prediction.logits[:, 3] == -1e6).all()
    encoded = net.encode(batch)
    feats, binary = encoded.adapted, encoded.binary
    expected = feats @ net.task_head.cls_head.weight.t()
    others = [0, 1, 2, 4, 5]
    torch.testing.assert_close(prediction.logits[:, others], expected[batch.v2p][:, others])
    torch.testing.assert_close(prediction.binary_logit, binary[batch.v2p])
    p = calibrate(prediction.logits, prediction.binary_logit, PARTITION.base_idx, PARTITION.novel_idx)
    assert torch.equal(prediction.labels(), p.argmax(1))
    assert torch.equal(prediction.labels(calibrated=False), prediction.logits.argmax(1))
    assert (feats >= 0).all()


def test_training_columns_are_base_classes_in_order():
    net, batch = network().eval(), random_batch()
    torch.testing.assert_close(net(batch).voxel_logits, net.predict(batch).voxel_logits[:, list(PARTITION.base_idx)])


@pytest.mark.parametrize("path", ["pairs", "table"])
def test_training_is_repeatable_to_the_bit_and_learns(path):
    def train() -> tuple[list[float], dict[str, torch.Tensor]]:
        net, batch = network(engine=NativeEngine(path)), random_batch()
        optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 4e-3)
        history = []
        for _ in range(6):
            loss = net(batch).losses.total
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            history.append(loss.item())
        return history, net.state_dict()

    first, second = train(), train()
    assert first[0] == second[0]
    assert all(torch.equal(first[1][key], second[1][key]) for key in first[1])
    assert first[0][-1] < 0.9 * first[0][0]


def test_voxel_order_does_not_matter():
    net, batch = network(), random_batch()
    order = torch.randperm(len(batch.voxel_coords), generator=torch.Generator().manual_seed(0))
    position = torch.empty_like(order)
    position[order] = torch.arange(len(order))
    shuffled = replace(
        batch,
        voxel_coords=batch.voxel_coords[order],
        voxel_feats=batch.voxel_feats[order],
        v2p=position[batch.v2p],
    )
    ours, theirs = net(batch).losses, net(shuffled).losses
    for name in ("seg", "binary", "caption"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-4, atol=1e-5)
    net.eval()
    torch.testing.assert_close(net.predict(batch).logits, net.predict(shuffled).logits, rtol=1e-3, atol=1e-4)


def test_class_matrix_stays_as_given():
    net, batch = network(), random_batch()
    before = net.task_head.cls_head.weight.clone()
    torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 1.0)
    net(batch).losses.total.backward()
    assert net.task_head.cls_head.weight.grad is None
    assert torch.equal(before, net.state_dict()["task_head.cls_head.weight"])


def test_frozen_running_stats():
    net, batch = network(), random_batch()
    before = copy.deepcopy(net.state_dict())
    with frozen_running_stats(net):
        frozen = net(batch).losses.total
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert torch.equal(frozen, net(batch).losses.total)  # batch statistics were used all the same
    changed = {key for key, value in net.state_dict().items() if not torch.equal(before[key], value)}
    assert {key.rsplit(".", 1)[1] for key in changed} == {"running_mean", "running_var", "num_batches_tracked"}


def test_a_level_with_one_voxel_trains():
    norm = VoxelNorm(2)
    norm.running_mean.fill_(1.0)
    out = norm.train()(torch.tensor([[3.0, 1.0]]))
    torch.testing.assert_close(out, torch.tensor([[2.0, 0.0]]) / (1 + 1e-4) ** 0.5)
    assert norm.num_batches_tracked == 0
    assert norm(torch.zeros(0, 2)).shape == (0, 2)

    coords = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]])
    voxels, v2p, feats = voxelize(coords, torch.randn(3, 6))
    batch = Batch(voxels, spatial_shape(voxels), feats, v2p, torch.tensor([0, 3]), torch.tensor([0, 1, 2]), None)
    loss = network(caption=None)(batch).losses.total
    loss.backward()
    assert loss.isfinite()


def test_bfloat16_autocast_trains():
    net, batch = network(), random_batch()
    exact = net(batch).losses
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(batch).losses
    rough.total.backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)
    for name in ("seg", "binary", "caption"):
        loss = getattr(rough, name)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, getattr(exact, name), rtol=0.05, atol=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_half_precision_on_cuda_trains():
    net, batch = network(), random_batch()
    exact = net(batch).losses
    net, batch = network().cuda(), batch.to("cuda")
    scaler = torch.amp.GradScaler()
    with torch.autocast("cuda", torch.float16):
        rough = net(batch).losses
    scaler.scale(rough.total).backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in net.parameters())
    for name in ("seg", "binary", "caption"):
        torch.testing.assert_close(getattr(rough, name).cpu(), getattr(exact, name), rtol=0.02, atol=0.01)


def test_wrong_text_dimension_is_refused():
    with pytest.raises(ValueError, match="24"):
        RegionNet(small_settings(), torch.eye(6), PARTITION)
    with pytest.raises(ValueError, match="partition of 6"):
        RegionNet(small_settings(), torch.zeros(5, 24), PARTITION)


def test_batches_move_between_devices_and_types_stay():
    batch = random_batch().to("meta")
    assert batch.v2p.is_meta
    assert batch.captions.text_vectors.is_meta
    assert batch.spatial_shape == (128, 128, 128)
    assert (len(batch), len(batch.captions), batch.num_points) == (2, 9, 1500)
