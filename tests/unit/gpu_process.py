"""One of two processes that train on one GPU; NCCL wants a GPU for each, so their sums go through gloo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from tiny_rooms import TinyRow
from tiny_training import trainer

from regionzoo.training.distributed import World


def train(row: TinyRow, here: World, folder: Path) -> dict[str, torch.Tensor]:
    """Weights and buffers after two epochs."""
    made = trainer(row, folder / f"state{here.rank}.safetensors", 2)
    made.network.to(here.device)
    optimizer = type(made.optimizer)(made.network, made.settings.recipe, made.settings.lr)
    replace(made, optimizer=optimizer, here=here).run()
    return {name: value.cpu() for name, value in made.network.state_dict().items()}


def take_part(rank: int, port: int, row: TinyRow, folder: Path) -> None:
    """Write ``folder/<rank>.pt``."""
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.save(train(row, World(rank, 2, torch.device("cuda", 0)), folder), folder / f"{rank}.pt")
    dist.destroy_process_group()
