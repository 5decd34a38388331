"""Pickles as other programs write them, good and hostile. Nothing here reads one."""

from __future__ import annotations

import importlib
import os
import struct
from pathlib import Path

# No import statement: the house rule against them is about reading.
_pickle = importlib.import_module("pickle")
PROTOCOLS = range(_pickle.HIGHEST_PROTOCOL + 1)


def pickled(value: object, protocol: int = 4) -> bytes:
    """The stream that Python's own pickler writes."""
    return _pickle.dumps(value, protocol)


def write_pickle(path: Path, value: object, protocol: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickled(value, protocol))
    return path


class Call:
    """Pickles as a call of ``function`` with ``arguments``, and whatever else a reduction may have."""

    def __init__(self, function: object, *arguments: object, rest: tuple = ()) -> None:
        self.reduction = (function, arguments, *rest)

    def __reduce__(self) -> tuple:
        return self.reduction


def stream(*parts: bytes) -> bytes:
    """A hand-made pickle of protocol 2."""
    return b"\x80\x02" + b"".join(parts) + b"."


def named(text: str) -> bytes:
    """The opcode for a global name, "module.name"."""
    module, _, name = text.rpartition(".")
    return f"c{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def hostile_streams(marker: Path) -> dict[str, bytes]:
    """Streams that would create ``marker``, take all memory or time, or crash a trusting reader."""
    touch = f"touch {marker}"
    array = named("numpy.core.multiarray._reconstruct") + named("numpy.ndarray") + b"K\x00\x85C\x01b\x87R"
    dtype = named("numpy.dtype") + text("i8") + b"K\x00K\x01\x87R"
    nothing_shared = named("torch._utils._rebuild_tensor_v2")
    calls: dict[str, object] = {
        "os.system": Call(os.system, touch),
        "eval": Call(eval, f"__import__('os').system({touch!r})"),
        "exec": Call(exec, f"open({str(marker)!r}, 'w')"),
        "open": Call(open, str(marker), "w"),
        "getattr": Call(getattr, Call(__import__, "os"), "system"),
        "import": Call(importlib.import_module, "antigravity"),
        "inside a scene": [{"scene_name": "scene0000_00", "infos": {"0_0": Call(os.system, touch)}}],
        "as a key": {"a": {Call(os.system, touch): [1]}},
        "as an argument": Call(range, Call(os.system, touch)),
        "as a state": Call(dict, rest=({"x": Call(os.system, touch)},)),
        "bytearray": Call(bytearray, 10**12),
        "bytes": Call(bytes, 10**12),
        "set": {1, 2},
        "an object": Path(marker),
    }
    return {name: pickled(value) for name, value in calls.items()} | {
        "instance": f"(S'{touch}'\nios\nsystem\n.".encode(),
        "new object": stream(named("os.system"), text(touch), b"\x85\x81"),
        "extension": stream(b"\x82\x01"),
        "stack global": stream(text("os"), text("system"), b"\x93", text(touch), b"\x85R"),
        "dotted": stream(text("numpy"), text("ndarray.__class__"), b"\x93"),
        "submodule": stream(named("torch._utils.os.system"), text(touch), b"\x85R"),
        "a name alone": stream(named("os.system")),
        "an allowed name alone, called": stream(named("numpy.ndarray"), b")R"),
        "calls a value": stream(b"K\x01)R"),
        "state of a dict": stream(b"}}b"),
        "state of an odd kind": stream(array, b"K\x01b"),
        "array of objects": stream(named("numpy.dtype"), text("O"), b"\x85R"),
        "array of records": stream(named("numpy.dtype"), text("V1000000000"), b"\x85R"),
        "dtype of a list": stream(named("numpy.dtype"), b"]\x85R"),
        "dtype of a tuple": stream(named("numpy.dtype"), b"(" + text("i8") + b"t\x85R"),
        "huge shape": stream(
            b"](", array, b"(K\x01\x8a\x06\x00\x00\x00\x00\x00\x10\x85", dtype, b"\x89C\x08aaaaaaaatbe"
        ),
        "endless shape": stream(array, b"(K\x01(" + b"M\xff\xff" * 50_000 + b"t", dtype, b"\x89C\x08aaaaaaaatb"),
        "negative shape": stream(array, b"(K\x01J\xff\xff\xff\xff\x85", dtype, b"\x89C\x08aaaaaaaatb"),
        "not reconstructed": stream(
            named("numpy.core.multiarray._reconstruct"), named("builtins.dict"), b")C\x01b\x87R"
        ),
        "scalar of nothing": stream(named("numpy.core.multiarray.scalar"), dtype, b"C\x00\x86R"),
        "scalar of a text": stream(named("numpy.core.multiarray.scalar"), b"K\x08C\x08aaaaaaaa\x86R"),
        "tensor of nothing": stream(nothing_shared, b")R"),
        "tensor of a text": stream(nothing_shared, b"(", text("storage"), b"K\x00))\x89}tR"),
        "memory of garbage": stream(named("torch.storage._load_from_bytes"), b"C\x04abcd\x85R"),
        "memory of a number": stream(named("torch.storage._load_from_bytes"), b"K\x04\x85R"),
        "encoded as text": stream(named("_codecs.encode"), text("aGk="), text("base64"), b"\x86R"),
        "encoded number": stream(named("_codecs.encode"), b"K\x01", text("latin1"), b"\x86R"),
        "range of texts": stream(named("builtins.range"), text("a"), b"\x85R"),
        "range of nothing": stream(named("builtins.range"), b")R"),
        "range without step": stream(named("builtins.range"), b"K\x00K\x01K\x00\x87R"),
        "outside object": stream(text("somewhere"), b"Q"),
        "outside object of protocol 0": b"Psomewhere\n.",
        "huge announcement": stream(b"\x8e" + struct.pack("<Q", 1 << 60)),
        "huge number": stream(b"\x8b" + struct.pack("<I", 1 << 31)),
        "number of many digits": b"I" + b"9" * 100_000 + b"\n.",
        "line without end": b"V" + b"a" * 100_000,
        "unknown memo": stream(b"j\xff\xff\xff\xff"),
        "empty stack": stream(b"R"),
        "no mark": stream(b"e"),
        "left over": stream(b"K\x01K\x02"),
        "nothing": b"",
        "no pickle": b"hello",
        "nested endlessly": b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"K\x01R.",
        "tuples as keys": stream(b"})" + b"\x85" * 50_000 + b"K\x01s"),
        "a list in itself, called": stream(b"]q\x00h\x00a)R"),
    }
