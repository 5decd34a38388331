"""Run with TRITON_INTERPRET=1: print how far the fused losses, computed on the CPU, are from their formulas."""

from __future__ import annotations

import json

import torch
import torch.nn.functional as F
from caption_cases import fused_and_exact, relative

from regionzoo.models.batch import FeatureBatch
from regionzoo.models.distill_head import distill_loss

SIZE = (24, 90, 12, 5)


def distillation(dtype: torch.dtype) -> list[float]:
    """Errors of loss and gradient."""
    rng = torch.Generator().manual_seed(0)
    feats = torch.randn(20, 12, generator=rng).to(dtype).requires_grad_()
    v2p, points = torch.randint(0, 20, (90,), generator=rng), torch.randperm(90, generator=rng)[:50]
    targets = FeatureBatch(points, torch.randn(50, 12, generator=rng).half())
    loss = distill_loss(feats, v2p, targets)
    (gradient,) = torch.autograd.grad(loss * 8, feats)
    exact = feats.detach().double().requires_grad_()
    plain = 1 - F.cosine_similarity(exact[v2p[points]], targets.feats.double(), dim=1).mean()
    (expected,) = torch.autograd.grad(plain * 8, exact)
    return [relative(loss, plain.detach()), relative(gradient, expected)]


def main() -> None:
    """One line of JSON: errors by case."""
    errors = {}
    for dtype in (torch.float32, torch.float16):
        for pool in ("score", "feat"):
            ours, exact = fused_and_exact(SIZE, dtype, pool, True, "cpu")
            errors[f"{pool} {dtype}"] = [relative(a, b) for a, b in zip(ours, exact, strict=True)]
        errors[f"distill {dtype}"] = distillation(dtype)
    print(json.dumps(errors))


if __name__ == "__main__":
    main()
