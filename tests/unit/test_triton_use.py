"""Where Triton's kernels fail, nothing uses them: not the convolutions, not the losses, not the augmentation."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import pytest
import torch

from regionzoo.models import triton_use
from regionzoo.models.triton_use import has_triton, runs_triton

needs_triton = pytest.mark.skipif(not has_triton(), reason="needs Triton")


@dataclass
class OnGpu:
    """As much of a tensor on a GPU as is asked for."""

    number: int
    is_cuda: bool = True

    def get_device(self) -> int:
        return self.number


@needs_triton
def test_a_gpu_is_asked_whether_the_convolutions_kernels_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from regionzoo.sparse.fused import operations

    monkeypatch.setattr(operations, "works_on", lambda device: device == 1)
    assert not runs_triton(OnGpu(0)) and runs_triton(OnGpu(1))


@needs_triton
def test_a_gpu_on_which_kernels_cannot_be_compiled_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from regionzoo.sparse.fused import operations

    def without_compiler(device: torch.device) -> bool:
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC environment variable.")

    monkeypatch.setattr(operations, "computes_right", without_compiler)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    operations.works_on.cache_clear()
    try:
        with pytest.warns(UserWarning, match="slower: Failed to find C compiler.$") as told:
            assert not runs_triton(OnGpu(0)) and not runs_triton(OnGpu(0))
        assert len(told) == 1
    finally:
        operations.works_on.cache_clear()


def test_without_the_package_nothing_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_use, "has_triton", lambda: False)
    assert not runs_triton(OnGpu(0))


def test_on_a_cpu_only_the_interpreter_runs_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert not runs_triton(torch.zeros(1))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert runs_triton(torch.zeros(1)) == has_triton()
