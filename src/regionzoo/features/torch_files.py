"""Arrays out of files of ``torch.save`` without running what else such a file may hold.

torch's restricted unpickler rebuilds tensors. NumPy arrays are rebuilt here: the names under which NumPy pickles them
lead to stand-ins that take a buffer of plain numbers and nothing else, so that NumPy's own rebuilding, which trusts its
input, is never called.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from regionzoo.errors import UserError

PLAIN_TYPES = frozenset({"b1", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8"})


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a file that holds a dict of tensors and NumPy arrays by name, zip or legacy form of torch.

    bfloat16 comes as float32. Raises :class:`UserError` for anything else: an object of another type, a damaged or
    truncated file, a tensor that is not dense or that repeats its memory.
    """
    path = Path(path)
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except Exception as error:  # a hostile or broken stream can raise anything
        raise UserError(
            f"{path}: damaged, or holds other objects than tensors and arrays ({type(error).__name__}); nothing of it "
            "was used; download it again"
        ) from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(f"{path}: holds no dict of named arrays; download it again")
    return {name: _array(path, name, value) for name, value in content.items()}


def _array(path: Path, name: str, value: object) -> np.ndarray:
    if isinstance(value, _Array) and value.content is not None:
        return value.content
    if type(value) is not torch.Tensor:
        raise UserError(f"{path}: {name} is no tensor or array; download the file again")
    dense = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
    # Strides of 0 would let a few bytes claim any size.
    if not dense or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise UserError(f"{path}: {name} is no plain dense tensor; download the file again")
    value = value.detach()
    try:
        return (value.float() if value.dtype == torch.bfloat16 else value).resolve_conj().numpy()
    except (TypeError, RuntimeError):
        raise UserError(f"{path}: {name} has the type {value.dtype}, expected plain numbers") from None


class _DType:
    """Stands for ``numpy.dtype`` of plain numbers: type code, and byte order from its state."""

    def __init__(self, code: object, *_: object) -> None:
        if code not in PLAIN_TYPES:
            raise ValueError("not a type of plain numbers")
        self.dtype = np.dtype(str(code))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        if order not in ("|", "<", ">", "="):
            raise ValueError("not a byte order")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands for ``numpy.ndarray``: made empty, filled from its state (version, shape, type, Fortran order, bytes)."""

    content: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, raw = state
        if type(kind) is not _DType or type(raw) is not bytes:
            raise ValueError("not an array of plain numbers")
        flat = np.frombuffer(raw, kind.dtype).astype(kind.dtype.newbyteorder("="))
        self.content = flat.reshape(shape, order="F" if fortran else "C")


def _new_array(kind: object, *_: object) -> _Array:
    if kind is not _Array:
        raise ValueError("not an ndarray")
    return _Array()


def _no_bytes() -> bytes:
    """What an array without elements holds."""
    return b""


_STAND_INS = [
    # NumPy 1 and 2 name the function by different modules.
    (_new_array, "numpy.core.multiarray._reconstruct"),
    (_new_array, "numpy._core.multiarray._reconstruct"),
    (_Array, "numpy.ndarray"),
    (_DType, "numpy.dtype"),
    (_no_bytes, "builtins.bytes"),
]
