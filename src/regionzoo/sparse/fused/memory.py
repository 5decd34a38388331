"""Pieces of larger allocations: a step has many small buffers, and a tensor for each costs more than its use."""

from __future__ import annotations

import torch
from torch import Tensor

_ALIGN = 256


class Buffer:
    """``numel`` elements of ``dtype``, from byte ``offset`` of the contiguous ``base``, which it keeps alive."""

    __slots__ = ("address", "base", "dtype", "numel", "offset")

    def __init__(self, base: Tensor, address: int, offset: int, dtype: torch.dtype, numel: int) -> None:
        self.base = base
        self.address = address + offset
        self.offset = offset
        self.dtype = dtype
        self.numel = numel

    def data_ptr(self) -> int:
        """Address on the device."""
        return self.address

    def tensor(self) -> Tensor:
        """The same memory as a tensor [numel]."""
        size = self.numel * self.dtype.itemsize
        return self.base.view(torch.uint8)[self.offset : self.offset + size].view(self.dtype)


Data = Tensor | Buffer


def as_tensor(data: Data) -> Tensor:
    """A tensor of the same memory."""
    return data if isinstance(data, Tensor) else data.tensor()


class Arena:
    """Hands out buffers one behind the other, from chunks of at least ``chunk`` bytes."""

    def __init__(self, device: torch.device, chunk: int) -> None:
        self._device = device
        self._chunk = chunk
        self._base: Tensor | None = None
        self._address = self._used = self._size = 0

    def take(self, dtype: torch.dtype, numel: int) -> Buffer:
        """``numel`` elements that nobody else has until :meth:`rewind`."""
        size = -(-numel * dtype.itemsize // _ALIGN) * _ALIGN
        if self._base is None or self._used + size > self._size:
            self._grow(size)
        buffer = Buffer(self._base, self._address, self._used, dtype, numel)
        self._used += size
        return buffer

    def rewind(self, size: int) -> None:
        """Take back all buffers, and make room for ``size`` bytes of new ones.

        For work on one stream: what uses the old buffers is done before what will use the new ones starts.
        """
        self._used = 0
        if size > self._size:
            self._grow(size)

    def _grow(self, size: int) -> None:
        self._size = max(size, self._chunk)
        self._base = torch.empty(self._size, dtype=torch.uint8, device=self._device)
        self._address = self._base.data_ptr()
        self._used = 0


def room(dtype: torch.dtype, *numels: int) -> int:
    """Bytes that an arena needs for buffers of these sizes."""
    return sum(-(-numel * dtype.itemsize // _ALIGN) * _ALIGN for numel in numels)
