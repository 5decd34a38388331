"""Whether Triton kernels can run: on a CUDA device, with the package that PyTorch's builds for it bring along."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

from torch import Tensor

MAX_COLUMNS = 1 << 13
"""Numbers of a row that one program can hold in registers."""


@cache
def has_triton() -> bool:
    """Whether the package is there."""
    return find_spec("triton") is not None


def runs_triton(tensor: Tensor) -> bool:
    """Whether kernels may work on ``tensor``; without them everything has a way in plain PyTorch.

    Triton's interpreter (TRITON_INTERPRET=1) runs them on a CPU, for tests.
    """
    return (tensor.is_cuda or os.environ.get("TRITON_INTERPRET") == "1") and has_triton()


def program(columns: int) -> dict[str, int]:
    """Size of a program that works on a row: a power of two, 8 numbers a thread."""
    width = 1 << (columns - 1).bit_length()
    return {"width": width, "num_warps": min(max(width // 256, 1), 16)}
