"""Working memory that one convolution after another uses, so that the system need not hand out fresh pages each time.

A buffer of tens of megabytes that is freed goes back to the system, and touching its pages again takes as long as the
work done in them. So the CPU's convolutions take their buffers from here: one memory for each purpose, kept and grown.
"""

from __future__ import annotations

import threading
from math import prod

import torch
from torch import Tensor

KEPT_BYTES = 1 << 28
"""Largest buffer that is kept (256 MB); a larger one lives as long as the call that asked for it."""


class Scratch(threading.local):
    """Buffers of one thread by purpose and type. What was asked for last under a purpose is valid until asked again."""

    def __init__(self) -> None:
        self._memory: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, purpose: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Uninitialised, of the type and device of ``like``; fresh on a GPU, where PyTorch keeps a cache of its own."""
        size = prod(shape)
        if like.device.type != "cpu" or size * like.element_size() > KEPT_BYTES:
            return like.new_empty(shape)
        key = purpose, like.dtype
        memory = self._memory.get(key)
        if memory is None or memory.numel() < size:
            with torch.inference_mode(False):  # a buffer of inference mode could not be written to in training
                memory = self._memory[key] = torch.empty(size, dtype=like.dtype)
        return memory[:size].view(shape)
