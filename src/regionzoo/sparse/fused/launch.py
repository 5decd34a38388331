"""Launch Triton kernels without the cost of Triton's argument binder.

A training step of the U-Net launches some five hundred kernels. Binding the arguments of each anew takes Triton longer
than most of them take the GPU. Here a variant (device, types, constants) is bound once by Triton itself, and from then
on its compiled kernel is launched as the last line of Triton's ``JITFunction.run`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton

from regionzoo.sparse.fused.memory import Data, as_tensor


class Variant(NamedTuple):
    """What a kernel is compiled for: values of its constants, warps of a program, loads ahead, type of its data."""

    constants: tuple[int | str, ...]
    warps: int
    stages: int
    dtype: torch.dtype


class Kernel:
    """A Triton function whose parameters are pointers first, then numbers, then constants.

    What Triton would derive from an argument's value must not differ between calls of a variant: integers are marked
    ``do_not_specialize`` or always divisible by 16.
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self._compiled: dict[tuple[Variant, int], Any] = {}

    def __call__(
        self,
        grid: tuple[int, int, int],
        data: Sequence[Data],
        numbers: Sequence[int | float],
        variant: Variant,
        device: int,
    ) -> None:
        """Run ``grid`` programs on the current stream of ``device`` (-1: Triton's interpreter), the current device."""
        addresses = []
        bits = 0
        for buffer in data:
            address = buffer.data_ptr()
            bits |= address
            addresses.append(address)
        compiled = self._compiled.get((variant, device))
        if compiled is not None and not bits & 15:
            stream = triton.runtime.driver.active.get_current_stream(device)
            head = (stream, compiled.function, compiled.packed_metadata, None, None, None)
            compiled.run(*grid, *head, *addresses, *numbers, *variant.constants)
            return
        # The first time, or with an address for which Triton makes other code: it takes multiples of 16 for granted.
        compiled = self.function[grid](
            *map(as_tensor, data), *numbers, *variant.constants, num_warps=variant.warps, num_stages=variant.stages
        )
        if not bits & 15 and compiled is not None:  # the interpreter compiles nothing
            self._compiled[variant, device] = compiled


def ceil_div(value: int, by: int) -> int:
    """``value / by``, rounded up."""
    return -(-value // by)


def power_of_two(value: int, low: int, high: int) -> int:
    """The smallest power of two that is at least ``value``, within ``low..high`` (powers of two)."""
    return max(low, min(high, 1 << max(value - 1, 0).bit_length()))


def precision(dtype: torch.dtype) -> str:
    """How products of ``dtype`` are made: float32 of three TF32 products each, as good as IEEE's; halves are exact."""
    return "tf32x3" if dtype == torch.float32 else "tf32"
