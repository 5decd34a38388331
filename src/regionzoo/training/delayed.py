"""Numbers of a step without waiting for the device that computes it."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import Tensor

Tag = TypeVar("Tag")


class DelayedReader(Generic[Tag]):
    """Reads small tensors: on a CPU at once, on a GPU when the next is put, one step late.

    A GPU then has that next step to work on, so waiting for the numbers keeps the process at most a step ahead of it
    and never leaves it idle.
    """

    def __init__(self) -> None:
        self._waiting: tuple[Tag, Tensor, torch.cuda.Event] | None = None

    def put(self, tag: Tag, values: Tensor) -> list[tuple[Tag, Tensor]]:
        """Take the float tensor of a step; give those that can be read by now, as float64 on the CPU."""
        if not values.is_cuda:
            return [(tag, values.double())]
        # Pinned memory: the copy is queued behind the step.
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        host.copy_(values, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        ready = self.rest()
        self._waiting = tag, host, event
        return ready

    def rest(self) -> list[tuple[Tag, Tensor]]:
        """What was put and not given yet."""
        if self._waiting is None:
            return []
        tag, host, event = self._waiting
        event.synchronize()
        self._waiting = None
        return [(tag, host.double())]
