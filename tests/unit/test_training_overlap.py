"""Gradients summed beside the backward pass are those summed after it, whatever parts of the network a batch uses."""

from __future__ import annotations

import multiprocessing
import socket
from pathlib import Path

import torch
from overlap_process import take_part


def test_two_processes_sum_the_same_in_buckets_of_any_size(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=take_part, args=(rank, port, tmp_path)) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(timeout=120)
        assert process.exitcode == 0
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    plain = first[0]
    assert plain.all()
    # Two numbers have one sum in whatever order, so even the bits agree.
    assert all(torch.equal(plain, other) for other in (*first, *second))
