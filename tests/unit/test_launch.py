"""How processes and threads share the cores."""

from __future__ import annotations

import os

import pytest

from regionzoo.launch import MOST_LOADERS, choose_loaders, choose_processes, threads_each

CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("requested", "shards", "threads", "processes"),
    [(0, 8, 8, 8), (0, 8, 6, 4), (0, 2, 8, 2), (0, 1, 8, 1), (0, 6, 4, 3), (3, 1, 1, 3)],
)
def test_a_process_a_core_and_shard_on_a_cpu(requested: int, shards: int, threads: int, processes: int) -> None:
    assert choose_processes(requested, shards, threads, "cpu") == processes


def test_one_process_on_a_gpu_unless_asked() -> None:
    assert choose_processes(0, 8, 8, "cuda") == 1 and choose_processes(4, 8, 8, "cuda") == 4


def test_processes_never_ask_for_more_threads_than_there_are_cores() -> None:
    assert threads_each(8, 2) == 4 and threads_each(1, 2) == 1 and threads_each(5, 1) == 5
    assert threads_each(0, 1) == 0
    assert threads_each(0, 2) == max(1, CORES // 2)


def test_loaders_are_most_threads_of_a_process_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert choose_loaders(None, 8, 1, "cpu") == 0 and choose_loaders(3, 8, 1, "cpu") == 3
    assert choose_loaders(None, 8, 1, "cuda") == 7 and choose_loaders(0, 8, 1, "cuda") == 0
    assert choose_loaders(None, 16, 1, "cuda") == 14 and choose_loaders(None, 64, 1, "cuda") == MOST_LOADERS
    assert choose_loaders(None, 8, 4, "cuda") == 1 and choose_loaders(None, 1, 4, "cuda") == 1
    # Eight GPUs on two machines share the threads of four.
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert choose_loaders(None, 32, 8, "cuda") == 7
