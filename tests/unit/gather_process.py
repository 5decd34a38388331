"""One of two processes that gather captions: both believe to be the first of their machine, as on two machines."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tiny_rooms import TinyRow
from tiny_training import trainer

from regionzoo.training.distributed import world
from regionzoo.training.gather import rows_of_all
from regionzoo.training.loop import Trainer
from regionzoo.training.steps import EpochSteps

CASES = (
    ([3, 1, 7], [2, 3]),
    ([], [5, 5, 4]),
    ([9], []),
    ([], []),
    ([0, 1, 2, 3], [0, 1, 2, 3]),
)
"""Rows that each of the two processes gives."""


def text_vectors(trainer: Trainer) -> list[torch.Tensor]:
    """What the shards of the first step are contrasted with, and the vectors of their own captions."""
    shards = EpochSteps(trainer.scenes, trainer.table, 0, trainer.here)[0]
    found = []
    for shard in trainer._with_negatives(shards):
        captions = shard.batch.captions
        found += [captions.text_vectors, captions.text_vectors[captions.targets]]
    return found


def take_part(rank: int, port: int, tiny: TinyRow, out: Path) -> None:
    """Gather every case, then train one epoch; write ``out/<rank>.pt``."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": "0",
    }  # fmt: skip
    torch.set_num_threads(1)
    with world("cpu") as here:
        unions = [rows_of_all(np.array(case[rank], np.int64), here).tolist() for case in CASES]
        mine = replace(trainer(tiny, out / "state.safetensors", 1), here=here)
        vectors = text_vectors(mine)
        mine.run()
        torch.save({"unions": unions, "vectors": vectors, "weights": mine.network.state_dict()}, out / f"{rank}.pt")
