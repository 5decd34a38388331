"""Processes of one training: which shards are mine, and the mean of everybody's gradients."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """This process among ``size`` (1 without torchrun)."""

    rank: int
    size: int
    device: torch.device

    @property
    def leader(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def mine(self, count: int) -> range:
        """The positions of ``count`` things that fall to this process."""
        return range(self.rank, count, self.size)


def leading() -> bool:
    """Whether this process will be the leader, before the others are met."""
    return os.environ.get("RANK", "0") == "0"


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """``auto``: a CUDA device if there is one, otherwise the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name, local_rank) if name == "cuda" else torch.device(name)


@contextmanager
def world(device: str = "auto") -> Iterator[World]:
    """Join the processes that torchrun started; alone, a world of one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = pick_device(device, local)
    if chosen.type == "cuda":
        _grow_segments()
        torch.cuda.set_device(chosen)
    if size == 1:
        yield World(0, 1, chosen)
        return
    if chosen.type == "cuda":
        # Numbers that are on the CPU, such as rows of the text table, are exchanged there: no GPU is waited for.
        dist.init_process_group("cpu:gloo,cuda:nccl", device_id=chosen)
    else:
        dist.init_process_group("gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), chosen)
    finally:
        dist.destroy_process_group()


def _grow_segments() -> None:
    """Have PyTorch's GPU memory grow in place, before it is first used; a user's own setting stays.

    Batches differ in size and two streams take memory, so blocks of fixed segments are soon too small for the next
    batch: several times the memory in use would be reserved.
    """
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")


def sum_over_world(tensors: Sequence[Tensor], here: World) -> None:
    """Replace each tensor by its sum over the processes."""
    if here.size > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)


def wait_for_all(here: World) -> None:
    """Barrier."""
    if here.size > 1:
        dist.barrier()
