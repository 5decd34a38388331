"""Losses and calibration against the plain formulas over points, gradients included."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from caption_cases import DIM, POINTS, VOXELS, caption_case, plain_caption_loss

from regionzoo.models import caption_loss
from regionzoo.models.batch import CaptionBatch, FeatureBatch
from regionzoo.models.binary_head import binary_loss
from regionzoo.models.caption_head import CaptionHead
from regionzoo.models.distill_head import distill_loss
from regionzoo.models.settings import CaptionSettings, Partition
from regionzoo.models.text_head import IGNORED_LOGIT, calibrate, segmentation_loss


@pytest.mark.parametrize("pool", ["score", "feat"])
@pytest.mark.parametrize("novel_grad_only", [False, True])
@pytest.mark.parametrize("chunk", [1, 17, 1 << 20])
def test_caption_loss_equals_the_plain_formula(pool, novel_grad_only, chunk, monkeypatch):
    monkeypatch.setattr(caption_loss, "CHUNK_ELEMENTS", chunk)
    settings = CaptionSettings(0.7, pool, novel_grad_only, logit_scale_trainable=True)
    feats, v2p, binary, captions = caption_case(1)
    head = CaptionHead(settings)
    loss = head(feats, v2p, captions, binary)
    actual = torch.autograd.grad(loss, (feats, head.caption_logit_scale))
    plain = plain_caption_loss(feats, v2p, captions, binary == 1, head.caption_logit_scale, settings)
    expected = torch.autograd.grad(plain, (feats, head.caption_logit_scale))
    torch.testing.assert_close(loss, plain, rtol=2e-6, atol=1e-6)
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert actual[0].abs().sum() > 0


def test_base_points_send_no_gradient_but_count_in_the_loss():
    settings = CaptionSettings(1.0, "score", novel_grad_only=True, logit_scale_trainable=True)
    feats, v2p, _, captions = caption_case(2)
    head = CaptionHead(settings)
    loss = head(feats, v2p, captions, torch.ones(POINTS))
    grads = torch.autograd.grad(loss, (feats, head.caption_logit_scale))
    assert all((grad == 0).all() for grad in grads)
    free = CaptionHead(CaptionSettings(1.0, "score"))(feats, v2p, captions, None)
    torch.testing.assert_close(loss, free)


def test_gradient_follows_the_factor_of_later_layers():
    # A loss scaler multiplies the loss: the gradient that was computed beside it must follow.
    feats, v2p, _, captions = caption_case(3)
    head = CaptionHead(CaptionSettings(1.0))
    (once,) = torch.autograd.grad(head(feats, v2p, captions, None), feats)
    (scaled,) = torch.autograd.grad(head(feats, v2p, captions, None) * 1024, feats)
    torch.testing.assert_close(scaled, once * 1024)


@pytest.mark.parametrize("pool", ["score", "feat"])
def test_no_caption_no_loss(pool):
    feats, v2p, binary, captions = caption_case(4)
    head = CaptionHead(CaptionSettings(1.0, pool))
    empty = CaptionBatch(torch.zeros(4, dtype=torch.int64), captions.point_ids[:0], captions.targets[:3], feats[:3])
    for case in (None, empty):
        loss = head(feats, v2p, case, binary)
        assert loss.item() == 0
        assert (torch.autograd.grad(loss, feats)[0] == 0).all()
    for settings in (None, CaptionSettings(0.0, pool)):
        assert CaptionHead(settings)(feats, v2p, captions, binary).item() == 0


def test_logit_scale_starts_where_clip_starts():
    head = CaptionHead(CaptionSettings(1.0))
    assert head.caption_logit_scale.item() == pytest.approx(math.log(1 / 0.07))
    assert head.caption_logit_scale.shape == ()
    assert not head.caption_logit_scale.requires_grad


def test_novel_grad_only_needs_binary_labels():
    feats, v2p, _, captions = caption_case(5)
    with pytest.raises(ValueError, match="binary labels"):
        CaptionHead(CaptionSettings(1.0, novel_grad_only=True))(feats, v2p, captions, None)


def test_segmentation_loss_is_cross_entropy_over_points():
    rng = torch.Generator().manual_seed(0)
    logits = (torch.randn(VOXELS, 5, generator=rng) * 4).requires_grad_()
    v2p = torch.randint(0, VOXELS, (POINTS,), generator=rng)
    labels = torch.randint(-1, 5, (POINTS,), generator=rng)
    labels[labels == -1] = -100
    loss = segmentation_loss(logits, v2p, labels)
    expected = F.cross_entropy(logits[v2p], labels, ignore_index=-100)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits))
    nothing = segmentation_loss(logits, v2p, torch.full_like(labels, -100))
    assert nothing.item() == 0
    assert (torch.autograd.grad(nothing, logits)[0] == 0).all()
    with pytest.raises(ValueError, match="training label 5"):
        segmentation_loss(logits, v2p, labels + 1)


def test_binary_loss_is_bce_over_labelled_points():
    rng = torch.Generator().manual_seed(0)
    logit = (torch.randn(VOXELS, generator=rng) * 5).requires_grad_()
    v2p = torch.randint(0, VOXELS, (POINTS,), generator=rng)
    labels = torch.tensor([1.0, 0.0, -100.0])[torch.randint(0, 3, (POINTS,), generator=rng)]
    loss = binary_loss(logit, v2p, labels)
    valid = labels != -100
    expected = F.binary_cross_entropy_with_logits(logit[v2p][valid], labels[valid])
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, logit), torch.autograd.grad(expected, logit))
    assert binary_loss(logit, v2p, torch.full_like(labels, -100)).item() == 0


def test_calibration_by_hand():
    # Base {2, 0}, novel {1, 4}, ignored {3}; log 3 and log 2 make the shares thirds and quarters.
    logits = torch.tensor([[0.0, math.log(3), math.log(2), IGNORED_LOGIT, 0.0]])
    p = calibrate(logits, torch.tensor([math.log(4)]), (2, 0), (1, 4))  # sigmoid = 0.8
    torch.testing.assert_close(p, torch.tensor([[0.8 / 3, 0.2 * 0.75, 0.8 * 2 / 3, 0.0, 0.2 * 0.25]]))


def test_calibrated_rows_are_probabilities():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 6, generator=rng) * 30
    logits[:, 3] = IGNORED_LOGIT
    for extreme in (0.0, 200.0, -200.0):
        p = calibrate(logits, torch.randn(50, generator=rng) + extreme, (4, 0, 2), (1, 5))
        torch.testing.assert_close(p.sum(1), torch.ones(50))
        assert (p >= 0).all()
        assert (p[:, 3] == 0).all()
    only_base = calibrate(logits, torch.zeros(50), (0, 1, 2, 4, 5), ())
    torch.testing.assert_close(only_base, logits.softmax(1))


def test_partition_orders_labels():
    partition = Partition(base_idx=(4, 0, 2), novel_idx=(1, 5), ignore_idx=(3,))
    assert partition.train_columns == (4, 0, 2)
    assert partition.train_labels() == (1, -100, 2, -100, 0, -100)
    assert partition.binary_labels() == (1.0, 0.0, 1.0, 0.0, 1.0, 0.0)
    assert Partition((), (2, 0, 3), (1,)).train_columns == (0, 2, 3)
    with pytest.raises(ValueError, match="exactly once"):
        Partition((0, 1), (1, 2))


def test_distillation_is_the_mean_cosine_over_points() -> None:
    rng = torch.Generator().manual_seed(3)
    feats = torch.randn(VOXELS, DIM, generator=rng, requires_grad=True)
    v2p = torch.randint(0, VOXELS, (POINTS,), generator=rng)
    points = torch.randperm(POINTS, generator=rng)[:70]
    targets = FeatureBatch(points, torch.randn(70, DIM, generator=rng))
    loss = distill_loss(feats, v2p, targets)
    (gradient,) = torch.autograd.grad(loss, feats)
    # As written: per point, the normalised feature and its target.
    per_point = F.cosine_similarity(F.normalize(feats[v2p[points]], dim=1), targets.feats, dim=1)
    (expected,) = torch.autograd.grad(1 - per_point.mean(), feats)
    torch.testing.assert_close(loss, 1 - per_point.mean())
    torch.testing.assert_close(gradient, expected)


def test_distillation_without_targets_is_zero_and_refuses_other_dimensions() -> None:
    feats = torch.randn(VOXELS, DIM, requires_grad=True)
    v2p = torch.zeros(POINTS, dtype=torch.int64)
    empty = FeatureBatch(torch.zeros(0, dtype=torch.int64), torch.zeros(0, DIM))
    for targets in (None, empty):
        loss = distill_loss(feats, v2p, targets)
        (gradient,) = torch.autograd.grad(loss, feats)
        assert float(loss.detach()) == 0 and not gradient.any()
    with pytest.raises(ValueError, match="targets of 3 dimensions for features of 12"):
        distill_loss(feats, v2p, FeatureBatch(torch.tensor([0]), torch.ones(1, 3)))
