"""Labels of voxels: losses are means over voxels, captions stay with the points. Every loss written out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from model_cases import PARTITION, random_batch, small_settings, unit_rows

from regionzoo.models.batch import Batch
from regionzoo.models.network import Losses, RegionNet
from regionzoo.models.settings import CaptionSettings


def with_voxel_labels(batch: Batch, seed: int = 0) -> Batch:
    """The same voxels and captions with labels of the voxels."""
    rng = torch.Generator().manual_seed(seed)
    kind = torch.randint(0, 6, (len(batch.voxel_feats),), generator=rng)
    labels = torch.where(kind < 3, kind, -100)
    binary = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, -100.0])[kind]
    return replace(batch, labels=labels, binary_labels=binary, voxel_labels=True)


def network(novel_grad_only: bool = True) -> RegionNet:
    torch.manual_seed(3)
    caption = CaptionSettings(0.5, "score", novel_grad_only, logit_scale_trainable=True)
    return RegionNet(small_settings(caption=caption), unit_rows(6, 24, torch.Generator().manual_seed(1)), PARTITION)


def by_hand(net: RegionNet, batch: Batch, novel_grad_only: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Segmentation, binary and caption loss, point by point where points count."""
    encoded = net.encode(batch)
    logits = encoded.adapted @ net.task_head.cls_head.weight[list(PARTITION.base_idx)].t()
    seg = [F.cross_entropy(logits[v], batch.labels[v]) for v in range(len(logits)) if batch.labels[v] >= 0]
    sides = [
        F.binary_cross_entropy_with_logits(encoded.binary[v], batch.binary_labels[v])
        for v in range(len(logits))
        if batch.binary_labels[v] >= 0
    ]
    terms, captions = [], batch.captions
    scale = net.caption_head.caption_logit_scale.exp()
    for k in range(len(captions)):
        for point in captions.point_ids[captions.offsets[k] : captions.offsets[k + 1]]:
            voxel = batch.v2p[point]
            scores = F.normalize(encoded.adapted[voxel], dim=0) @ captions.text_vectors.t() * scale
            if novel_grad_only and batch.binary_labels[voxel] == 1:
                scores = scores.detach()
            terms.append(-scores.log_softmax(0)[captions.targets[k]])
    return torch.stack(seg).mean(), torch.stack(sides).mean(), 0.5 * torch.stack(terms).mean()


def gradients(net: RegionNet, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    named = {name: p for name, p in net.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True, retain_graph=True)
    return {name: torch.zeros(()) if g is None else g for name, g in zip(named, found, strict=True)}


@pytest.mark.parametrize("novel_grad_only", [True, False])
def test_losses_and_their_gradients_are_those_by_hand(novel_grad_only: bool) -> None:
    net, batch = network(novel_grad_only), with_voxel_labels(random_batch(points=300, size=10))
    losses: Losses = net(batch).losses
    expected = by_hand(net, batch, novel_grad_only)
    for name, value in zip(("seg", "binary", "caption"), expected, strict=True):
        torch.testing.assert_close(getattr(losses, name), value, rtol=1e-4, atol=1e-6, msg=name)
        mine, theirs = gradients(net, getattr(losses, name)), gradients(net, value)
        for key, gradient in theirs.items():
            torch.testing.assert_close(mine[key], gradient, rtol=1e-3, atol=1e-5, msg=f"{name}: {key}")


def test_a_voxel_counts_once_however_many_points_it_has() -> None:
    net, batch = network(), with_voxel_labels(random_batch(points=300, size=10))
    crowded = replace(
        batch,
        v2p=torch.cat([batch.v2p, torch.zeros(500, dtype=torch.int64)]),
        point_offsets=batch.point_offsets + torch.tensor([0, 0, 500]),
    )
    first, second = net(batch).losses, net(crowded).losses
    assert torch.equal(first.seg, second.seg) and torch.equal(first.binary, second.binary)
    # Labels of points weigh a voxel by its points: another number.
    pointwise = replace(
        batch, labels=batch.labels[batch.v2p], binary_labels=batch.binary_labels[batch.v2p], voxel_labels=False
    )
    third = net(pointwise).losses
    assert not torch.equal(third.seg, first.seg) and torch.equal(third.caption, first.caption)


def test_as_many_voxels_as_points_are_no_labels_of_points() -> None:
    """The original tells the two kinds of labels apart by their number, which may agree by chance."""
    batch = random_batch(points=300, size=10)
    count = len(batch.voxel_feats)
    few = replace(batch, v2p=torch.arange(count).flip(0), point_offsets=torch.tensor([0, count // 2, count]))
    few = with_voxel_labels(replace(few, captions=None))
    assert few.num_points == count
    assert few.point_binary.tolist() == few.binary_labels.flip(0).tolist()
    net = network()
    losses = net(few).losses
    turned = replace(few, voxel_labels=False, labels=few.labels.flip(0), binary_labels=few.binary_labels.flip(0))
    torch.testing.assert_close(losses.seg, net(turned).losses.seg)
    assert not torch.allclose(net(replace(few, voxel_labels=False)).losses.seg, losses.seg, rtol=1e-3)


def test_moving_a_batch_keeps_the_kind_of_its_labels() -> None:
    batch = with_voxel_labels(random_batch(points=100)).to("cpu")
    assert batch.voxel_labels and len(batch.label_voxels) == len(batch.voxel_feats)
    assert random_batch(points=100).to("cpu").label_voxels.shape == (100,)
