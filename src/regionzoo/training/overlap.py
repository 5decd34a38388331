"""The sum of gradients over processes, begun while the backward pass still makes the rest of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from torch import Tensor

from regionzoo.training.optim import Optimizer

BUCKET = 1 << 21
"""Numbers sent at once: 8 MB of float32."""


class OverlappedSum:
    """Sums the flat gradient bucket by bucket, from its end, where a backward pass begins.

    Every process sends the same buckets in the same order, whatever became ready first and whether or not a parameter
    got a gradient at all, so processes whose batches lack a loss still meet.
    """

    def __init__(self, optimizer: Optimizer, bucket: int = BUCKET) -> None:
        self._buckets: list[Tensor] = []
        self._members: list[int] = []
        self._bucket_of: dict[int, int] = {}
        stop = start = len(optimizer.gradient)
        members: list[int] = []
        parameters = list(optimizer.named.values())
        for parameter in reversed(parameters):
            start -= parameter.numel()
            members.append(id(parameter))
            if stop - start >= bucket or start == 0:
                self._bucket_of |= dict.fromkeys(members, len(self._buckets))
                self._buckets.append(optimizer.gradient[start:stop])
                self._members.append(len(members))
                stop, members = start, []
        self._missing: list[int] | None = None
        self._works: list[dist.Work] = []
        self._hooks = [p.register_post_accumulate_grad_hook(self._arrived) for p in parameters]

    def close(self) -> None:
        """Take the hooks off the parameters."""
        for hook in self._hooks:
            hook.remove()

    @contextmanager
    def during_backward(self) -> Iterator[None]:
        """Around the last backward pass of a step: at its end the optimiser's gradient is the sum over processes.

        On a GPU the sum is ordered after the pass and before what follows; this process does not wait for it.
        """
        self._missing, self._works = list(self._members), []
        try:
            yield
            self._send(everything=True)
            for work in self._works:
                work.wait()
        finally:
            self._missing = None

    def _arrived(self, parameter: Tensor) -> None:
        if self._missing is not None:
            self._missing[self._bucket_of[id(parameter)]] -= 1
            self._send()

    def _send(self, everything: bool = False) -> None:
        assert self._missing is not None
        while len(self._works) < len(self._buckets) and (everything or not self._missing[len(self._works)]):
            self._works.append(dist.all_reduce(self._buckets[len(self._works)], async_op=True))
