"""One of two processes that sum gradients, plainly and beside the backward pass."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

from regionzoo.settings.train import Recipe
from regionzoo.training.distributed import sum_over_world, world
from regionzoo.training.optim import Optimizer
from regionzoo.training.overlap import OverlappedSum

RECIPE = Recipe(
    optimizer="adamw", schedule="poly", weight_decay=0.0, epochs=1, shards=1, scenes_per_shard=1, repeat=1,
    voxel_size=0.02, max_points=None, amp=False,
)  # fmt: skip
BUCKETS = (1, 30, 1 << 20)


class Forked(nn.Module):
    """Two branches; a batch uses one of them or both."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.left, self.right = nn.Linear(5, 7), nn.Linear(7, 3), nn.Linear(7, 4)

    def forward(self, x: torch.Tensor, branches: str) -> torch.Tensor:
        hidden = self.trunk(x).relu()
        return sum(getattr(self, name)(hidden).square().sum() for name in branches.split())


def gradients(rank: int, bucket: int | None, here: object) -> torch.Tensor:
    """Sum over both processes; the first shard of each is no longer summed when the second begins."""
    torch.manual_seed(0)
    net = Forked()
    optimizer = Optimizer(net, RECIPE, 0.1)
    summed = OverlappedSum(optimizer, bucket) if bucket else None
    torch.manual_seed(5 + rank)
    # The processes' last backward passes lack different branches.
    for branches in ("left right", ("left", "right")[rank]):
        loss = net(torch.randn(6, 5), branches)
        if summed and branches != "left right":
            with summed.during_backward():
                loss.backward()
        else:
            loss.backward()
    if summed:
        summed.close()
    else:
        sum_over_world((optimizer.gradient,), here)
    return optimizer.gradient.clone()


def take_part(rank: int, port: int, out: Path) -> None:
    """Write ``out/<rank>.pt``: the plain sum, then that of every bucket size."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": "0",
    }  # fmt: skip
    torch.set_num_threads(1)
    with world("cpu") as here:
        torch.save([gradients(rank, bucket, here) for bucket in (None, *BUCKETS)], out / f"{rank}.pt")
