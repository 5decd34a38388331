"""Captions of all shards of a step, of all processes, for points to be contrasted with (reference: model 7.1).

What travels are rows of the text table, which every process has: a few kilobytes, and the vectors are the same to the
bit for any number of processes. Places in the world are global ranks; the original takes the rank within a machine, so
that on two machines it mixes up whose captions are whose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.distributed as dist

from regionzoo.models.batch import Batch
from regionzoo.text.table import TextTable
from regionzoo.training.distributed import World


def rows_of_all(rows: np.ndarray, here: World) -> np.ndarray:
    """int64, ascending, unique: the union of int64 ``rows`` over the processes, which may give different numbers."""
    mine = np.unique(rows)
    if here.size == 1:
        return mine
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(here.size)]
    dist.all_gather(sizes, torch.tensor([len(mine)]))
    counts = [int(size) for size in sizes]
    longest = max(counts)
    if not longest:
        return mine
    padded = torch.zeros(longest, dtype=torch.int64)
    padded[: len(mine)] = torch.from_numpy(mine)
    parts = [torch.empty_like(padded) for _ in range(here.size)]
    dist.all_gather(parts, padded)
    return np.unique(np.concatenate([part[:count].numpy() for part, count in zip(parts, counts, strict=True)]))


def with_captions_of_all(
    batches: Sequence[Batch], rows: Sequence[np.ndarray], table: TextTable, here: World
) -> list[Batch]:
    """This process' batches of a step with the unique captions of all batches of all processes.

    rows: for each batch int64 [U], ascending: the rows of the text table that its ``text_vectors`` are. Every process
    must call this at every step. All of it is on the CPU.
    """
    union = rows_of_all(np.concatenate(rows), here)
    vectors = torch.from_numpy(table.vectors[union])
    result = []
    for batch, own in zip(batches, rows, strict=True):
        assert batch.captions is not None
        targets = torch.from_numpy(np.searchsorted(union, own))[batch.captions.targets]
        result.append(replace(batch, captions=replace(batch.captions, targets=targets, text_vectors=vectors)))
    return result
