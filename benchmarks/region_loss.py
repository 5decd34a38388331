"""Time and memory of the region loss: the formula as it is written down, and as it is computed here.

    python benchmarks/region_loss.py --points 600000 --captions 600

Random features of voxels that hold 1.3 points each, and regions of neighbouring points. ``plain`` gathers the features
to the points, writes down the matrix of points x captions and pools its rows over the regions, as the paper's formula
says; ``picked`` takes the captions' own entries out of the matrix instead of pooling all of it; ``blocks`` is the way
of this package without Triton, and ``fused`` the one with it. Forward and backward together, in float32 (no TF32) and
with float16 features under autocast. Memory is the peak beside what the inputs take. Errors are those against the
formula in float64. Needs a CUDA device; writes ``benchmarks/region_loss.json``.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regionzoo.artifacts import write_json
from regionzoo.models import caption_head
from regionzoo.models.batch import CaptionBatch, with_tensors
from regionzoo.models.caption_head import CaptionHead
from regionzoo.models.settings import CaptionSettings

DIMENSION, BLOCK = 512, 1 << 14
Loss = Callable[[Tensor], Tensor]


class Masked(torch.autograd.Function):
    """Identity whose backward zeroes rows, as novel_grad_only asks."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, base: Tensor) -> Tensor:
        ctx.save_for_backward(base)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad.masked_fill(ctx.saved_tensors[0].unsqueeze(1), 0), None


@dataclass(frozen=True)
class Case:
    """Features [V, 512], the voxel and binary label of each point, and captioned regions, on the GPU."""

    feats: Tensor
    v2p: Tensor
    binary: Tensor
    captions: CaptionBatch
    settings: CaptionSettings

    @property
    def regions(self) -> Tensor:
        """int64 [I]: region of each incidence."""
        return torch.repeat_interleave(self.captions.offsets.diff())

    @property
    def head(self) -> CaptionHead:
        """The caption head of this package."""
        return CaptionHead(self.settings).cuda()


def make_case(points: int, captions: int, size: int, settings: CaptionSettings) -> Case:
    """Regions are runs of points in the order of their voxels, ``size`` on average."""
    rng = torch.Generator().manual_seed(0)
    voxels = int(points / 1.3)
    v2p = torch.cat([torch.arange(voxels), torch.randint(0, voxels, (points - voxels,), generator=rng)])
    v2p = v2p[torch.randperm(points, generator=rng)]
    near = v2p.argsort()
    sizes = (torch.rand(captions, generator=rng) * 2 * size).long() + 1
    starts = (torch.rand(captions, generator=rng) * (points - sizes)).long()
    ids = torch.cat([near[start : start + count] for start, count in zip(starts, sizes, strict=True)])
    batch = CaptionBatch(
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
        point_ids=ids,
        targets=torch.randperm(captions, generator=rng),
        text_vectors=F.normalize(torch.randn(captions, DIMENSION, generator=rng), dim=1),
    )
    feats = torch.randn(voxels, DIMENSION, generator=rng).relu()
    binary = torch.randint(0, 2, (points,), generator=rng).float()
    return Case(feats.cuda(), v2p.cuda(), binary.cuda(), with_tensors(batch, Tensor.cuda), settings)


def plain(case: Case, feats: Tensor, picked: bool = False) -> Tensor:
    """The formula, for all points at once."""
    captions, settings = case.captions, case.settings
    texts, scale, regions = captions.text_vectors.to(feats.dtype), 1 / 0.07, case.regions
    base = case.binary == 1
    if settings.pool == "score":
        points = F.normalize(feats.index_select(0, case.v2p), dim=1)
        log_p = (points @ texts.t() * scale).float().log_softmax(1)
        if settings.novel_grad_only:
            log_p = Masked.apply(log_p, base)
        if picked:
            return settings.weight * -log_p[captions.point_ids, captions.targets[regions]].mean()
        sizes = captions.offsets.diff()
        pooled = log_p.new_zeros(len(captions), len(texts))
        pooled = pooled.index_add(0, regions, log_p.index_select(0, captions.point_ids)) / sizes.unsqueeze(1)
        own = pooled.gather(1, captions.targets.unsqueeze(1)).squeeze(1)
        return settings.weight * -(own * sizes).sum() / sizes.sum()
    points = feats.index_select(0, case.v2p)
    if settings.novel_grad_only:
        points = Masked.apply(points, base)
    sums = points.new_zeros(len(captions), DIMENSION).index_add(0, regions, points.index_select(0, captions.point_ids))
    pooled = F.normalize(sums / captions.offsets.diff().unsqueeze(1), dim=1)
    return settings.weight * F.cross_entropy((pooled @ texts.t() * scale).float(), captions.targets)


def exact(case: Case) -> tuple[float, Tensor]:
    """Loss and gradient of the score pooling in float64, points block by block."""
    captions, feats = case.captions, case.feats.double().requires_grad_()
    texts, column = captions.text_vectors.double(), captions.targets[case.regions]
    order = captions.point_ids.argsort()
    total, ids = 0.0, captions.point_ids[order]
    for start in range(0, len(case.v2p), BLOCK):
        first, last = torch.searchsorted(ids, torch.tensor([start, start + BLOCK], device=ids.device)).tolist()
        points = F.normalize(feats.index_select(0, case.v2p[start : start + BLOCK]), dim=1)
        log_p = (points @ texts.t() / 0.07).log_softmax(1)
        if case.settings.novel_grad_only:
            log_p = Masked.apply(log_p, case.binary[start : start + BLOCK] == 1)
        loss = -case.settings.weight * log_p[ids[first:last] - start, column[order[first:last]]].sum() / len(ids)
        loss.backward()
        total += float(loss.detach())
    assert feats.grad is not None
    return total, feats.grad


def measure(loss: Loss, feats: Tensor, repeats: int) -> dict[str, Any]:
    """Milliseconds, peak memory, loss and gradient of a way to compute it."""
    times = []
    used = feats.detach().requires_grad_()
    for _ in range(repeats + 3):
        used.grad = None
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        with torch.autocast("cuda", torch.float16, enabled=feats.dtype == torch.float16):
            value = loss(used)
        value.backward()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop))
        peak = (torch.cuda.max_memory_allocated() - before) / 2**30
    times = sorted(times[3:])
    return {
        "median_ms": round(median(times), 2),
        "spread_ms": [round(times[0], 2), round(times[-1], 2)],
        "peak_gib": round(peak, 3),
        "loss": float(value.detach()),
        "gradient": used.grad,
    }


def without_triton(loss: Loss) -> Loss:
    """The same computed by plain PyTorch."""

    def call(feats: Tensor) -> Tensor:
        runs = caption_head.runs_triton
        caption_head.runs_triton = lambda tensor: False
        try:
            return loss(feats)
        finally:
            caption_head.runs_triton = runs

    return call


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=600_000)
    parser.add_argument("--captions", type=int, default=600)
    parser.add_argument("--region", type=int, default=3000, help="mean points of a region")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("needs a CUDA device")
    results = []
    for pool, novel in (("score", False), ("score", True), ("feat", True)):
        settings = CaptionSettings(0.5, pool, novel)
        case = make_case(args.points, args.captions, args.region, settings)
        truth = exact(case) if pool == "score" else None
        head = case.head

        def ours(feats: Tensor, case: Case = case, head: CaptionHead = head) -> Tensor:
            return head(feats, case.v2p, case.captions, case.binary)

        def theirs(feats: Tensor, case: Case = case) -> Tensor:
            return plain(case, feats)

        def shorter(feats: Tensor, case: Case = case) -> Tensor:
            return plain(case, feats, picked=True)

        for dtype in (torch.float32, torch.float16):
            found = {}
            ways: dict[str, Loss] = {"plain": theirs, "blocks": without_triton(ours), "fused": ours}
            if pool == "score":
                ways["picked"] = shorter
            for name, way in ways.items():
                found[name] = measure(way, case.feats.to(dtype), args.repeats)
                gradient = found[name].pop("gradient").double()
                if truth is not None and dtype == torch.float32:
                    found[name]["loss_error"] = abs(found[name]["loss"] - truth[0]) / truth[0]
                    found[name]["gradient_error"] = float((gradient - truth[1]).norm() / truth[1].norm())
                del gradient
            row = {"pool": pool, "novel_grad_only": novel, "features": str(dtype).removeprefix("torch."), "ways": found}
            row["times_faster"] = round(found["plain"]["median_ms"] / found["fused"]["median_ms"], 2)
            row["times_less_memory"] = round(found["plain"]["peak_gib"] / found["fused"]["peak_gib"], 2)
            print(row)
            results.append(row)
        del truth
    facts = {
        "points": args.points,
        "captions": args.captions,
        "voxels": len(case.feats),
        "incidences": len(case.captions.point_ids),
        "dimension": DIMENSION,
        "repeats": args.repeats,
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    write_json(args.out, {"facts": facts, "results": results})


if __name__ == "__main__":
    main()
