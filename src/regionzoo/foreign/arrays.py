"""The arrays of a tuple that ``torch.save`` or ``pickle`` wrote, read in a process of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from regionzoo.errors import UserError
from regionzoo.foreign.confined import Limits, confine, run_confined
from regionzoo.foreign.files import describe
from regionzoo.foreign.machine import Refused
from regionzoo.foreign.stand_ins import Array

_RESULT = "arrays.safetensors"
_MODULE = "regionzoo.foreign.arrays"


def read_tuple(path: Path) -> tuple[np.ndarray | None, ...]:
    """Arrays and tensors of a file that holds a tuple or list of them; None for elements of another kind.

    Raises :class:`UserError` of one line if there is no such file, if it is damaged, or if it holds anything else or
    asks for something else.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    with tempfile.TemporaryDirectory(prefix="regionzoo-") as name:
        folder = Path(name)
        run_confined(_MODULE, {"path": str(path.resolve())}, path, folder, Limits.of_size(size))
        tensors = load_file(folder / _RESULT)
    length = int(tensors.pop("length")[0])
    return tuple(tensors.get(str(place)) for place in range(length))


def _read(task: dict[str, Any], folder: Path) -> None:
    value = describe(Path(task["path"]))
    if type(value) not in (tuple, list) or not any(isinstance(item, Array) for item in value):
        raise Refused(f"holds a {type(value).__name__}, expected a tuple of arrays")
    tensors = {"length": np.array([len(value)])}
    for place, item in enumerate(value):
        if isinstance(item, Array):
            array = item.values()
            tensors[str(place)] = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    save_file(tensors, folder / _RESULT)


if __name__ == "__main__":
    confine(_read)
