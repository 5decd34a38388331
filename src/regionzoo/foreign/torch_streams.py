"""The two forms of ``torch.save``: a zip archive, and the older sequence of pickles with the memory behind them.

A tensor that went through plain ``pickle`` holds its memory as bytes of the older form.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regionzoo.foreign.machine import Machine, Name, Rebuild, Refused
from regionzoo.foreign.opcodes import load
from regionzoo.foreign.stand_ins import NAMES, REBUILD, STORAGE_TYPES, Storage

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first pickle of the older form."""

# The second and third: version of the form, and sizes of C's types. An index holds them once a tensor, so the usual
# ones are recognised at a glance.
_USUAL = (
    b"\x80\x02M\xe9\x03.\x80\x02}q\x00(X\x10\x00\x00\x00protocol_versionq\x01M\xe9\x03X\r\x00\x00\x00little_endianq\x02"
    b"\x88X\n\x00\x00\x00type_sizesq\x03}q\x04(X\x05\x00\x00\x00shortq\x05K\x02X\x03\x00\x00\x00intq\x06K\x04X\x04\x00\x00"
    b"\x00longq\x07K\x04uu."
)

ZIP_MAGIC = b"PK\x03\x04"


def read_legacy(view: memoryview, rebuild: Mapping[str, Rebuild] = REBUILD) -> Any:
    """The value of the older form. Raises :class:`Refused`."""
    storages: dict[str, Storage] = {}

    def persistent(told: tuple[Any, ...]) -> Storage:
        key, storage = _storage(told)
        return storages.setdefault(key, storage)

    machine = Machine(view, rebuild, NAMES, persistent)
    if bytes(view[: len(LEGACY_MAGIC)]) != LEGACY_MAGIC:
        raise Refused("damaged: not what torch writes")
    machine.at = len(LEGACY_MAGIC)
    if view[machine.at : machine.at + len(_USUAL)] == _USUAL:
        machine.at += len(_USUAL)
    else:
        version, system = load(machine), load(machine)
        if version != 1001 or type(system) is not dict or system.get("little_endian") is not True:
            raise Refused("written in a form of torch that is not known, or on a big-endian machine")
    value, keys = load(machine), load(machine)
    if type(keys) is not list or sorted(map(str, keys)) != sorted(storages):
        raise Refused("damaged: the list of the tensors' memory is another")
    for key in keys:
        storage = storages[str(key)]
        count = int.from_bytes(machine.take(8), "little")
        if count != storage.count:
            raise Refused(f"damaged: a tensor's memory has {count} elements, expected {storage.count}")
        storage.data = machine.take(count * storage.dtype.itemsize)
    if machine.at != machine.size:
        raise Refused(f"damaged: {machine.size - machine.at} bytes are left over")
    return value


def read_zip(path: Path) -> Any:
    """The value of an archive. Raises :class:`Refused`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive)
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, LookupError, struct.error) as error:
        raise Refused(f"not a whole archive of torch ({type(error).__name__})") from None


def _read_archive(archive: zipfile.ZipFile) -> Any:
    pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refused("a zip archive, but not one that torch wrote")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and _stored(archive, f"{folder}byteorder") != b"little":
        raise Refused("written on a big-endian machine")
    storages: dict[str, Storage] = {}

    def persistent(told: tuple[Any, ...]) -> Storage:
        key, storage = _storage(told)
        if key not in storages:
            storage.data = _stored(archive, f"{folder}data/{key}")
            storages[key] = storage
        return storages[key]

    return load(Machine(memoryview(_stored(archive, pickles[0])), REBUILD, NAMES, persistent))


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise Refused("an archive with compressed parts, which torch does not write")
    return archive.read(name)


def _storage(told: tuple[Any, ...]) -> tuple[str, Storage]:
    kind, of_type, key, _device, count, *part = told
    if kind != "storage" or type(of_type) is not Name or type(key) is not str or type(count) is not int or count < 0:
        raise ValueError("not a storage")
    if any(value is not None for value in part):
        raise Refused("a tensor's memory is a part of another's, as only very old versions of torch wrote it")
    return key, Storage(STORAGE_TYPES[of_type.text], count)


def _from_bytes(arguments: tuple[Any, ...]) -> Storage:
    (raw,) = arguments
    # Not with itself among the names: memory holds no memory.
    storage = read_legacy(memoryview(raw))
    if type(storage) is not Storage:
        raise ValueError("not a storage")
    return storage


PICKLED: dict[str, Rebuild] = {**REBUILD, "torch.storage._load_from_bytes": _from_bytes}
"""What a plain pickle may call."""
