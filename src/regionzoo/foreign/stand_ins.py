"""What stands for the objects of NumPy and torch that a stream describes, and which names may do what.

Nothing here calls NumPy's or torch's own rebuilding, which trusts its input: a description is a buffer of bytes with a
type and a shape, and becomes an array only in :meth:`Array.values`, where NumPy checks that the buffer is large enough.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from regionzoo.foreign.machine import Name, Rebuild, Refused, Stateful

_PLAIN = frozenset({"b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"})
_STORAGES = {
    "Bool": "?",
    "Byte": "u1",
    "Char": "i1",
    "Short": "<i2",
    "Int": "<i4",
    "Long": "<i8",
    "Half": "<f2",
    "Float": "<f4",
    "Double": "<f8",
    # Not to be had as arrays, but a file may hold them besides.
    "BFloat16": "V2",
    "ComplexFloat": "<c8",
    "ComplexDouble": "<c16",
}
STORAGE_TYPES = {f"torch.{name}Storage": np.dtype(code) for name, code in _STORAGES.items()}
"""Name of a storage type -> type of its elements."""

NAMES = frozenset(
    {
        *STORAGE_TYPES,
        "numpy.ndarray",
        *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("dict", "list")),
    }
)
"""Names that streams of arrays mention without calling them."""

Bytes = memoryview | bytes

_MAX_DIMENSIONS = 8


def _size(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a size")
    return value


def _sizes(values: object) -> tuple[int, ...]:
    if type(values) is not tuple or len(values) > _MAX_DIMENSIONS:
        raise ValueError("not a shape")
    return tuple(_size(value) for value in values)


def _bytes(value: object) -> Bytes:
    if type(value) is not memoryview and type(value) is not bytes:
        raise ValueError("not bytes")
    return value


class DType(Stateful):
    """Stands for ``numpy.dtype`` of plain numbers: type code, and byte order from its state."""

    __slots__ = ("dtype",)

    def __init__(self, code: object) -> None:
        if type(code) is memoryview:  # a text of Python 2
            code = str(code, "utf-8")
        if code not in _PLAIN:
            raise Refused(f"holds an array of {str(code)[:20]!r}, expected plain numbers")
        self.dtype = np.dtype(str(code))

    def set_state(self, state: object) -> None:
        order = state[1]  # type: ignore[index]
        order = str(order, "ascii") if type(order) is memoryview else order
        if order not in ("|", "<", ">", "="):
            raise ValueError("not a byte order")
        self.dtype = self.dtype.newbyteorder(order)


class Storage:
    """Stands for the memory of a torch tensor: ``count`` elements; ``data`` comes later if the file has it behind."""

    __slots__ = ("count", "data", "dtype")

    def __init__(self, dtype: np.dtype, count: int, data: Bytes | None = None) -> None:
        self.dtype, self.count, self.data = dtype, count, data


class Array(Stateful):
    """Stands for a NumPy array or a torch tensor of any shape."""

    __slots__ = ("fortran", "offset", "shape", "source", "strides")

    def __init__(self, source: Storage | None = None, shape: tuple[int, ...] = ()) -> None:
        self.source, self.shape = source, shape
        self.offset, self.strides, self.fortran = 0, None, False

    def set_state(self, state: object) -> None:
        """NumPy's: version, shape, type, Fortran order, bytes."""
        _, shape, kind, fortran, raw = state  # type: ignore[misc]
        if type(kind) is not DType:
            raise ValueError("not an array of plain numbers")
        self.source = Storage(kind.dtype, len(_bytes(raw)) // kind.dtype.itemsize, raw)
        self.shape, self.fortran = _sizes(shape), fortran is True

    def values(self) -> np.ndarray:
        """The array, read-only, in its own byte order. Raises :class:`Refused` if its memory does not hold it."""
        if self.source is None or self.source.data is None:
            raise Refused("an array without content")
        dtype, shape = self.source.dtype, self.shape
        if dtype.kind in "Vc":
            raise Refused("holds a tensor of another type than plain numbers")
        # Strides of 0 would let a few bytes claim any size.
        if prod(shape) > self.source.count:
            raise Refused(f"an array of the shape {list(shape)} has memory for {self.source.count} numbers")
        strides = None if self.strides is None else [step * dtype.itemsize for step in self.strides]
        order = "F" if self.fortran else "C"
        try:
            array: np.ndarray = np.ndarray(
                shape, dtype, self.source.data, self.offset * dtype.itemsize, strides, order=order
            )
        except (TypeError, ValueError, OverflowError):
            raise Refused(f"an array of the shape {list(shape)} has too little memory") from None
        array.flags.writeable = False
        return array


def _reconstruct(arguments: tuple[Any, ...]) -> Array:
    if type(arguments[0]) is not Name or arguments[0].text != "numpy.ndarray":
        raise ValueError("not an ndarray")
    return Array()


def _from_buffer(arguments: tuple[Any, ...]) -> Array:
    raw, kind, shape, order = arguments
    array = Array()
    array.set_state((1, shape, kind, order == "F", raw))
    return array


def _scalar(arguments: tuple[Any, ...]) -> object:
    kind, raw = arguments
    return np.frombuffer(_bytes(raw), kind.dtype, 1)[0].item()


def _tensor(arguments: tuple[Any, ...]) -> Array:
    source, offset, shape, strides = arguments[:4]
    if type(source) is not Storage or len(shape) != len(strides):
        raise ValueError("not a tensor")
    array = Array(source, _sizes(shape))
    array.offset, array.strides = _size(offset), _sizes(strides)
    return array


def _encode(arguments: tuple[Any, ...]) -> bytes:
    text, encoding = arguments
    if encoding not in ("latin1", "latin-1"):
        raise ValueError("not the way in which bytes are written")
    return text.encode("latin-1")


def _no_bytes(arguments: tuple[Any, ...]) -> bytes:
    if arguments:
        raise ValueError("bytes of something")
    return b""


def _range(arguments: tuple[Any, ...]) -> range:
    if not all(type(value) is int for value in arguments):
        raise ValueError("not whole numbers")
    return range(*arguments)


def _ordered(arguments: tuple[Any, ...]) -> dict[str, Any]:
    if arguments:
        raise ValueError("an ordered dict of something")
    return {}


def _with_default(arguments: tuple[Any, ...]) -> dict[str, Any]:
    if len(arguments) > 1 or (arguments and type(arguments[0]) is not Name):
        raise ValueError("a dict of something")
    return {}


REBUILD: dict[str, Rebuild] = {
    # NumPy 1 and 2 name their modules differently.
    **{
        f"numpy.{core}.{name}": rebuild
        for core in ("core", "_core")
        for name, rebuild in {
            "multiarray._reconstruct": _reconstruct,
            "multiarray.scalar": _scalar,
            "numeric._frombuffer": _from_buffer,
        }.items()
    },
    "numpy.dtype": lambda arguments: DType(arguments[0]),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": _with_default,
    "_codecs.encode": _encode,
    "builtins.bytes": _no_bytes,
    "__builtin__.bytes": _no_bytes,
    "builtins.range": _range,
    "__builtin__.xrange": _range,
}
"""Names that a stream may call -> what is done instead."""
