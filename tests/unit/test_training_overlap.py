"""Gradients summed beside the backward pass are those summed after it, whatever parts of the network a batch uses."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Callable
from pathlib import Path

import gpu_process
import pytest
import torch
from overlap_process import take_part
from tiny_rooms import make_tiny_row
from tiny_training import with_recipe

from regionzoo.training.distributed import World


def together(part: Callable[..., None], *args: object) -> None:
    """Run ``part(rank, port, *args)`` in two processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=part, args=(rank, port, *args)) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(timeout=120)
        assert process.exitcode == 0


def test_two_processes_sum_the_same_in_buckets_of_any_size(tmp_path: Path) -> None:
    together(take_part, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    plain = first[0]
    assert plain.all()
    # Two numbers have one sum in whatever order, so even the bits agree.
    assert all(torch.equal(plain, other) for other in (*first, *second))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_two_processes_on_a_gpu_train_as_one_does(tmp_path: Path) -> None:
    row = with_recipe(make_tiny_row(tmp_path / "row"), shards=2, scenes_per_shard=1, repeat=2, amp=False)
    together(gpu_process.take_part, row, tmp_path)
    alone = gpu_process.train(row, World(0, 1, torch.device("cuda", 0)), tmp_path / "row")
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert alone.keys() == first.keys() == second.keys()
    for name, value in alone.items():
        # A sum of two numbers has one value in whatever order. Running statistics are those of the first shard.
        assert torch.equal(value, first[name]), name
        assert torch.equal(value, second[name]) or "running" in name or "num_batches" in name, name
