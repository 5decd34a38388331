"""What the pickles in a file of ``torch.save`` ask for, read off their opcodes; nothing of them is run.

torch's restricted unpickler allows more than a checkpoint needs (sparse, quantised and nested tensors, attributes set
on tensors, byte arrays of any size). A file that asks for any of it is refused here, before torch sees it, and the
reason names what it asked for.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path
from typing import BinaryIO, Literal

from regionzoo.foreign.machine import Refused
from regionzoo.released.wording import readable

Form = Literal["legacy", "zip"]

_NUMBERS = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
NAMES = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        *(f"torch {number}Storage" for number in _NUMBERS),
        # A number of NumPy, such as the best score. NumPy 1 and 2 name the module differently.
        "numpy.core.multiarray scalar",
        "numpy._core.multiarray scalar",
        "numpy dtype",
        "_codecs encode",
    }
)
"""Functions and classes that a checkpoint may name, "module name"."""

OPCODES = frozenset(
    {
        "PROTO", "STOP", "MARK", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
        "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE",
        "SHORT_BINSTRING", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "SETITEM", "SETITEMS", "APPEND",
        "APPENDS", "GLOBAL", "REDUCE", "BUILD", "BINPERSID",
    }
)  # fmt: skip
"""What protocol 2 needs for dicts, lists, tuples, numbers, texts and tensors."""

PICKLE_LIMIT = 16 << 20
"""Bytes of a pickle without the numbers of its tensors; the largest published checkpoint has about 0.1 MB."""
LEGACY_PICKLES = 5
"""A legacy file: magic number, version, system, content, names of the storages; then the numbers."""


def check_file(path: Path) -> Form:
    """Which of torch's two forms a file has; :class:`Refused` unless it asks for nothing but plain tensors."""
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        if start.startswith(b"PK\x03\x04"):
            _check_zip(file, path.stat().st_size)
            return "zip"
        if not start.startswith(b"\x80\x02"):
            raise Refused(f"{what_it_is(start)}, no checkpoint")
        for _ in range(LEGACY_PICKLES):
            _check_pickle(file)
        return "legacy"


def _check_zip(file: BinaryIO, size: int) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if packed or sum(entry.file_size for entry in entries) > size:
                raise Refused("a compressed archive, which torch.save does not write")
            pickles = [name for name in names if name.split("/")[-1] == "data.pkl"]
            if len(pickles) != 1 or len(set(names)) != len(names):
                raise Refused("a zip archive, but not of torch.save")
            _check_pickle(io.BytesIO(archive.read(pickles[0])))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise Refused(f"truncated or damaged ({readable(error)})") from None


def _check_pickle(file: BinaryIO) -> None:
    start = file.tell()
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "GLOBAL" and argument not in NAMES:
                raise Refused(f"asks for {readable(str(argument).replace(' ', '.'))}, which no checkpoint needs")
            if opcode.name not in OPCODES:
                raise Refused(f"holds the pickle instruction {opcode.name}, which no checkpoint needs")
            if file.tell() - start > PICKLE_LIMIT:
                raise Refused(f"its pickle exceeds {PICKLE_LIMIT >> 20} MB, which no checkpoint's does")
    except (ValueError, EOFError, OverflowError) as error:
        raise Refused(f"truncated or damaged ({readable(error)})") from None


def what_it_is(start: bytes) -> str:
    """What a file is by its first 512 bytes, in words."""
    if not start:
        return "an empty file"
    if is_web_page(start):
        return "a web page (the link wants a login, or has expired)"
    for magic, kind in (
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x80", "a pickle of another form than torch.save writes"),
        (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    ):
        if start.startswith(magic):
            return kind
    if start[8:9] == b"{":
        return "a safetensors file"
    return "a tar archive" if start[257:262] == b"ustar" else "not a file of torch.save"


def is_web_page(start: bytes) -> bool:
    """Whether a file that begins with ``start`` is HTML."""
    return start.lstrip(b"\xef\xbb\xbf \t\r\n")[:14].lower().startswith((b"<!doctype html", b"<html"))
