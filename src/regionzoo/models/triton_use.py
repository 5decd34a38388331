"""Whether Triton kernels can run: on a CUDA device that they were tried on, with the package that PyTorch brings."""

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

    A GPU is one that the kernels of convolutions were found to work on: where they cannot be compiled (no C compiler,
    say), no others can. Triton's interpreter (TRITON_INTERPRET=1) runs them on a CPU, for tests.
    """
    if not has_triton():
        return False
    if not tensor.is_cuda:
        return os.environ.get("TRITON_INTERPRET") == "1"
    from regionzoo.sparse.fused import operations

    return operations.works_on(tensor.get_device())


def program(columns: int) -> dict[str, int]:
    """Size of a program that works on a row: a power of two, 8 numbers a thread."""
    width = 1 << (columns - 1).bit_length()
    return {"width": width, "num_warps": min(max(width // 256, 1), 16)}
