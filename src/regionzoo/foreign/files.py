"""One file of pickled arrays, of whatever form, as a description."""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from regionzoo.foreign.machine import Machine, Refused
from regionzoo.foreign.opcodes import load
from regionzoo.foreign.stand_ins import NAMES
from regionzoo.foreign.torch_streams import LEGACY_MAGIC, PICKLED, ZIP_MAGIC, read_legacy, read_zip


def describe(path: Path) -> Any:
    """What a plain pickle or a file of ``torch.save`` holds, as :func:`regionzoo.foreign.opcodes.load` gives it.

    The file is mapped, not read: arrays are views of it as long as they are used. Raises :class:`Refused`; the files of
    strangers belong into a process of their own (:mod:`regionzoo.foreign.confined`).
    """
    try:
        with path.open("rb") as file:
            view = memoryview(mmap(file.fileno(), 0, access=ACCESS_READ))
    except ValueError:
        raise Refused("is empty") from None
    except OSError as error:
        raise Refused(f"cannot be read ({error.strerror})") from None
    if view[: len(ZIP_MAGIC)] == ZIP_MAGIC:
        return read_zip(path)
    if view[: len(LEGACY_MAGIC)] == LEGACY_MAGIC:
        return read_legacy(view)
    machine = Machine(view, PICKLED, NAMES)
    value = load(machine)
    if machine.at != machine.size:
        raise Refused(f"damaged: {machine.size - machine.at} bytes are left over behind its end")
    return value
