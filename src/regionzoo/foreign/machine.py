"""What the opcodes of a pickle stream work on: its bytes, the stack, and the names that it may mention."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Rebuild = Callable[[tuple[Any, ...]], object]
"""Arguments that the stream gives a name -> what stands for the result; raises Refused, TypeError or ValueError."""

_END = re.compile(b"\n")


class Refused(Exception):
    """The stream is damaged, or asks for something that a file of arrays does not need; one line."""


class Name:
    """What stands for a global name of the stream: its text, "numpy.ndarray"."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Stateful:
    """Base of the stand-ins that take a state after they are made (the opcode BUILD)."""

    __slots__ = ()

    def set_state(self, state: object) -> None:
        """Raises Refused, TypeError or ValueError if the state is not that of an array or its type."""
        raise NotImplementedError


class Machine:
    """Reads pickles that follow one another in ``view``; ``at`` is the position of the next byte.

    rebuild: the names that may be called, and by what. names: those that may be mentioned. persistent: takes what the
    stream says about an object that is kept outside of it (torch's storages); without it there may be none.

    A NumPy array on the stack or in a list stands for that many consecutive whole numbers.
    """

    def __init__(
        self,
        view: memoryview,
        rebuild: Mapping[str, Rebuild],
        names: frozenset[str],
        persistent: Rebuild | None = None,
    ) -> None:
        self.view, self.at, self.size = view, 0, len(view)
        self.rebuild, self.names, self.persistent = rebuild, names, persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.known: dict[str, Name] = {}

    def take(self, count: int) -> memoryview:
        """The next ``count`` bytes, a view."""
        start, self.at = self.at, self.at + count
        if self.at > self.size:
            raise Refused(f"cut short: {count} bytes are announced at byte {start}, {self.size - start} follow")
        return self.view[start : self.at]

    def number(self, code: struct.Struct) -> int:
        """The next number."""
        (value,) = code.unpack_from(self.view, self.at)
        self.at += code.size
        return value

    def line(self) -> bytes:
        """The bytes up to the end of the line."""
        found = _END.search(self.view, self.at)
        if found is None:
            raise Refused(f"damaged: a line without end at byte {self.at}")
        line = bytes(self.view[self.at : found.start()])
        self.at = found.end()
        return line

    def pop(self) -> Any:
        """Take the topmost value; of a run of numbers the last."""
        value = self.stack.pop()
        if type(value) is np.ndarray:
            if len(value) > 1:
                self.stack.append(value[:-1])
            return int(value[-1])
        return value

    def top(self) -> Any:
        """The topmost value, which stays."""
        value = self.stack[-1]
        if type(value) is np.ndarray:
            value = self.pop()
            self.stack.append(value)
        return value

    def popped(self, count: int) -> list[Any]:
        """The topmost values, lowest first."""
        return [self.pop() for _ in range(count)][::-1]

    def since_mark(self) -> list[Any]:
        """Take everything above the last mark; runs of numbers stay runs."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def since_mark_single(self) -> list[Any]:
        """Take everything above the last mark, one value each."""
        items = self.since_mark()
        if any(type(item) is np.ndarray for item in items):
            items = [value for item in items for value in (item.tolist() if type(item) is np.ndarray else (item,))]
        return items

    def name(self, module: object, attribute: object) -> None:
        """Push a name, if it is one that files of arrays mention."""
        text = f"{_text(module)}.{_text(attribute)}"
        if text not in self.rebuild and text not in self.names:
            raise Refused(f"names {text[:80]!r}, which a file of arrays does not need")
        self.stack.append(self.known.setdefault(text, Name(text)))

    def outside(self, told: object) -> None:
        """Push what stands for an object that is kept outside of the stream."""
        if self.persistent is None:
            raise Refused("refers to objects outside of the file")
        try:
            self.stack.append(self.persistent(told))  # type: ignore[arg-type]
        except (TypeError, ValueError, AttributeError):
            raise Refused("refers to an object outside of the pickle in an odd way") from None


def _text(value: object) -> str:
    if type(value) is memoryview:  # a text of Python 2
        return str(value, "utf-8")
    if type(value) is not str:
        raise Refused("damaged: something else than text where a name is due")
    return value
