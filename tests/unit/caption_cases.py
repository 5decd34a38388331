"""Caption losses as they are written down, and cases for them."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from model_cases import random_captions

from regionzoo.models.batch import CaptionBatch, with_tensors
from regionzoo.models.caption_head import CaptionHead
from regionzoo.models.settings import CaptionSettings

VOXELS, POINTS, DIM = 60, 200, 12


class MaskedGradient(torch.autograd.Function):
    """Identity whose backward zeroes the rows of base points, as the original's pooling does."""

    @staticmethod
    def forward(ctx, values, base):
        ctx.base = base
        return values.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad.masked_fill(ctx.base.unsqueeze(1), 0), None


def plain_caption_loss(feats, v2p, captions: CaptionBatch, base, log_scale, settings: CaptionSettings):
    """The formula as written: all points, all captions, region by region."""
    points = feats[v2p]
    scale = log_scale.exp()
    if settings.pool == "score":
        points = (F.normalize(points, dim=1) @ captions.text_vectors.t() * scale).log_softmax(1)
    if settings.novel_grad_only:
        points = MaskedGradient.apply(points, base)
    losses, counts = [], []
    for k in range(len(captions)):
        members = captions.point_ids[captions.offsets[k] : captions.offsets[k + 1]]
        if not len(members):
            continue
        pooled = points[members].mean(0)
        if settings.pool == "feat":
            pooled = (F.normalize(pooled, dim=0) @ captions.text_vectors.t() * scale).log_softmax(0)
        losses.append(-pooled[captions.targets[k]])
        counts.append(len(members))
    weights = torch.tensor(counts, dtype=feats.dtype)
    if settings.pool == "feat":
        weights = torch.ones_like(weights)
    return settings.weight * (torch.stack(losses) * weights).sum() / weights.sum()


def caption_case(seed: int, voxels: int = VOXELS, points: int = POINTS, dim: int = DIM, unique: int = 5):
    """Features [voxels, dim] that take gradients, the voxel and the binary label of each point, and 8 regions."""
    rng = torch.Generator().manual_seed(seed)
    feats = torch.randn(voxels, dim, generator=rng).relu().requires_grad_()
    v2p = torch.randint(0, voxels, (points,), generator=rng)
    binary = torch.tensor([1.0, 0.0, -100.0])[torch.randint(0, 3, (points,), generator=rng)]
    return feats, v2p, binary, random_captions(points, 8, unique, dim, rng)


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Distance of a result from the right one (float64, on the CPU), over the right one's length."""
    return float((ours.detach().cpu().double() - theirs).norm() / theirs.norm())


def fused_and_exact(size: tuple[int, int, int, int], dtype: torch.dtype, pool: str, novel: bool, device: str):
    """Loss and gradients (features, scale) of the head on a device, times 1024, and of the formula in float64.

    size: voxels, points, dimension, captions.
    """
    settings = CaptionSettings(0.7, pool, novel, logit_scale_trainable=True)
    voxels, points, dim, unique = size
    feats, v2p, binary, captions = caption_case(3, voxels, points, dim, unique)
    if points > 1000:
        # As many incidences as points, most of them of few voxels.
        ids = torch.arange(points).repeat(2) % points
        captions = replace(captions, offsets=torch.linspace(0, len(ids), 9).long(), point_ids=ids)
    head = CaptionHead(settings).to(device)
    used = feats.detach().to(device, dtype).requires_grad_()
    moved = with_tensors(captions, lambda tensor: tensor.to(device))
    loss = head(used, v2p.to(device), moved, binary.to(device))
    ours = (loss, *(torch.autograd.grad(loss * 1024, (used, head.caption_logit_scale))))
    exact = used.detach().cpu().double().requires_grad_()
    scale = head.caption_logit_scale.detach().cpu().double().requires_grad_()
    double = replace(captions, text_vectors=captions.text_vectors.double())
    plain = plain_caption_loss(exact, v2p, double, binary == 1, scale, settings)
    return ours, (plain.detach(), *torch.autograd.grad(plain * 1024, (exact, scale)))
