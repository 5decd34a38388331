"""Reads pickle streams as data: the opcodes that files of arrays consist of, and nothing else.

Python's own unpickler calls whatever a stream names. Here nothing that a stream names is ever called: a name is a piece
of text, and a "call" of one of the few known names goes to a function of :mod:`regionzoo.foreign.stand_ins`, which
checks its arguments and builds a description of an array. All protocols, 0 to 5. Bytes are not copied: they are views
of the stream.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from regionzoo.foreign.machine import Machine, Name, Refused, Stateful
from regionzoo.foreign.whole_numbers import whole_numbers

_MAX_LONG = 16  # bytes; ids have 8, torch's magic number 10
_STOP, _RUN = ord("."), 8
_U2, _I4, _U4, _U8, _F8 = (struct.Struct(code) for code in ("<H", "<i", "<I", "<Q", ">d"))


def load(m: Machine) -> Any:
    """The value of the next pickle of a machine's stream. Raises :class:`Refused`.

    Values come as Python's own str, int, float, bool, None, list, tuple and dict, byte strings as ``memoryview``, names
    as :class:`Name`, and arrays as what the machine's ``rebuild`` returns. A list may hold NumPy arrays among its
    items: each stands for that many consecutive whole numbers.
    """
    m.stack, m.marks, m.memo = [], [], {}
    view, handlers = m.view, _HANDLERS
    try:
        while (opcode := view[m.at]) != _STOP:
            m.at += 1
            handlers[opcode](m)
        m.at += 1
        value = m.pop()
    except (IndexError, KeyError, struct.error, UnicodeError):
        raise Refused(f"damaged or cut short at byte {m.at}") from None
    if m.stack or m.marks:
        raise Refused(f"damaged, values are left over at byte {m.at}")
    return value


def _set_items(target: object, items: list[Any]) -> None:
    if type(target) is not dict or len(items) % 2:
        raise Refused("damaged: sets items of something that is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) is memoryview:
            key = str(key, "utf-8")
        if type(key) is not str and type(key) is not int:
            raise Refused(f"a dict has a key that is a {type(key).__name__}, expected text or a whole number")
        target[key] = value


def _extend(target: object, items: list[Any]) -> None:
    if type(target) is not list:
        raise Refused("damaged: appends to something that is no list")
    target.extend(items)


def _whole(line: bytes) -> int:
    if len(line) > 24:
        raise Refused("a number has more digits than any point id")
    try:
        return int(line)
    except ValueError:
        raise Refused("damaged: text where a number is due") from None


def _int_line(m: Machine) -> None:
    line = m.line()
    m.stack.append({b"00": False, b"01": True}[line] if line in (b"00", b"01") else _whole(line))


def _float_line(m: Machine) -> None:
    line = m.line()
    try:
        m.stack.append(float(line[:40]))
    except ValueError:
        raise Refused("damaged: text where a number is due") from None


def _long(m: Machine, count: int) -> None:
    if count > _MAX_LONG:
        raise Refused(f"a number has {count} bytes, more than any point id")
    m.stack.append(int.from_bytes(m.take(count), "little", signed=True))


def _short_number(m: Machine) -> None:
    """BININT1, BININT2, BININT; in a long list the numbers that follow are taken along."""
    if len(m.stack) >= _RUN and type(m.stack[-_RUN]) is int:
        values, m.at = whole_numbers(m.view, m.at - 1)
        m.stack.append(values)
        return
    opcode = m.view[m.at - 1]
    if opcode == 0x4B:  # K
        m.stack.append(m.view[m.at])
        m.at += 1
    else:
        m.stack.append(m.number(_U2 if opcode == 0x4D else _I4))  # M, else J


def _put(m: Machine, place: int) -> None:
    m.memo[place] = m.top()


def _tuple(m: Machine, items: list[Any]) -> None:
    m.stack.append(tuple(items))


def _list(m: Machine) -> None:
    items = m.since_mark()
    m.stack.append(items)


def _dict(m: Machine) -> None:
    made: dict[str | int, Any] = {}
    _set_items(made, m.since_mark_single())
    m.stack.append(made)


def _set_item(m: Machine) -> None:
    items = m.popped(2)
    _set_items(m.top(), items)


def _set_marked(m: Machine) -> None:
    items = m.since_mark_single()
    _set_items(m.top(), items)


def _append(m: Machine) -> None:
    items = m.popped(1)
    _extend(m.top(), items)


def _append_marked(m: Machine) -> None:
    items = m.since_mark()
    _extend(m.top(), items)


def _mark(m: Machine) -> None:
    m.marks.append(m.stack)
    m.stack = []


def _named_line(m: Machine) -> None:
    module = m.line()
    m.name(str(module, "utf-8"), str(m.line(), "utf-8"))


def _reduce(m: Machine) -> None:
    target, arguments = m.popped(2)
    rebuild = m.rebuild.get(target.text) if type(target) is Name else None
    if rebuild is None or type(arguments) is not tuple:
        raise Refused(f"calls {repr(getattr(target, 'text', type(target).__name__))[:80]}, which is not allowed")
    try:
        m.stack.append(rebuild(arguments))
    except (TypeError, ValueError, AttributeError, OverflowError, IndexError):
        raise Refused(f"calls {target.text} with odd arguments") from None


def _build(m: Machine) -> None:
    target, state = m.popped(2)
    if not isinstance(target, Stateful):
        raise Refused("sets the state of something else than an array")
    try:
        target.set_state(state)
    except (TypeError, ValueError, AttributeError, OverflowError, IndexError):
        raise Refused("an array has an odd state") from None
    m.stack.append(target)


def _refused(m: Machine) -> None:
    raise Refused(
        f"damaged, or the opcode {m.view[m.at - 1]:#04x} at byte {m.at - 1}, which files of arrays do not use"
    )


def _nothing(m: Machine) -> None:
    pass


_HANDLERS: list[Callable[[Machine], object]] = [_refused] * 256
for _opcode, _handler in {
    b"\x80": lambda m: m.take(1),  # PROTO
    b"\x95": lambda m: m.take(8),  # FRAME
    b"(": _mark,
    b"0": Machine.pop,
    b"1": Machine.since_mark,
    b"2": lambda m: m.stack.append(m.top()),
    b"N": lambda m: m.stack.append(None),
    b"\x88": lambda m: m.stack.append(True),
    b"\x89": lambda m: m.stack.append(False),
    b"K": _short_number,
    b"M": _short_number,
    b"J": _short_number,
    b"I": _int_line,
    b"L": lambda m: m.stack.append(_whole(m.line().removesuffix(b"L"))),
    b"\x8a": lambda m: _long(m, m.take(1)[0]),
    b"\x8b": lambda m: _long(m, m.number(_U4)),
    b"F": _float_line,
    b"G": lambda m: m.stack.append(m.number(_F8)),
    # Bytes, and the texts of Python 2.
    b"U": lambda m: m.stack.append(m.take(m.take(1)[0])),
    b"C": lambda m: m.stack.append(m.take(m.take(1)[0])),
    b"T": lambda m: m.stack.append(m.take(m.number(_U4))),
    b"B": lambda m: m.stack.append(m.take(m.number(_U4))),
    b"\x8e": lambda m: m.stack.append(m.take(m.number(_U8))),
    b"\x96": lambda m: m.stack.append(m.take(m.number(_U8))),
    b"V": lambda m: m.stack.append(str(m.line(), "raw-unicode-escape")),
    b"\x8c": lambda m: m.stack.append(str(m.take(m.take(1)[0]), "utf-8", "surrogatepass")),
    b"X": lambda m: m.stack.append(str(m.take(m.number(_U4)), "utf-8", "surrogatepass")),
    b"\x8d": lambda m: m.stack.append(str(m.take(m.number(_U8)), "utf-8", "surrogatepass")),
    b")": lambda m: m.stack.append(()),
    b"t": lambda m: _tuple(m, m.since_mark_single()),
    b"\x85": lambda m: _tuple(m, m.popped(1)),
    b"\x86": lambda m: _tuple(m, m.popped(2)),
    b"\x87": lambda m: _tuple(m, m.popped(3)),
    b"]": lambda m: m.stack.append([]),
    b"l": _list,
    b"a": _append,
    b"e": _append_marked,
    b"}": lambda m: m.stack.append({}),
    b"d": _dict,
    b"s": _set_item,
    b"u": _set_marked,
    b"c": _named_line,
    b"\x93": lambda m: m.name(*m.popped(2)),
    b"R": _reduce,
    b"b": _build,
    b"p": lambda m: _put(m, _whole(m.line())),
    b"q": lambda m: _put(m, m.take(1)[0]),
    b"r": lambda m: _put(m, m.number(_U4)),
    b"\x94": lambda m: _put(m, len(m.memo)),
    b"g": lambda m: m.stack.append(m.memo[_whole(m.line())]),
    b"h": lambda m: m.stack.append(m.memo[m.take(1)[0]]),
    b"j": lambda m: m.stack.append(m.memo[m.number(_U4)]),
    b"Q": lambda m: m.outside(m.pop()),
}.items():
    _HANDLERS[_opcode[0]] = _handler
del _opcode, _handler
