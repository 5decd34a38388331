"""Long lists of whole numbers in pickles, many at a time: one opcode each would take minutes for a large index."""

from __future__ import annotations

import re

import numpy as np

# BININT1 (one byte), BININT2 (two, unsigned), BININT (four, signed).
_NUMBER = re.compile(rb"K.|M..|J....", re.DOTALL)
# Possessive: nothing to keep for going back.
_RUN = re.compile(rb"(?:K.|M..|J....){1,4096}+", re.DOTALL)
_TYPES = {ord("K"): np.dtype("u1"), ord("M"): np.dtype("<u2"), ord("J"): np.dtype("<i4")}


def whole_numbers(view: memoryview, start: int) -> tuple[np.ndarray, int]:
    """int32 [k >= 1] of the numbers that begin at byte ``start``, and the position behind them.

    IndexError if not even one is whole.
    """
    found = _RUN.match(view, start)
    if found is None:
        raise IndexError("cut short")
    run = np.frombuffer(found.group(), np.uint8)
    number = _TYPES[int(run[0])]
    step = 1 + number.itemsize
    # Opcodes are no prefix of each other, so if each opcode of such steps is the first one, this is how they are read.
    if len(run) % step == 0 and (run[::step] == run[0]).all():
        values = np.frombuffer(run, np.dtype([("opcode", "u1"), ("value", number)]))["value"].astype(np.int32)
    else:
        values = _mixed(run)
    return values, found.end()


def _mixed(run: np.ndarray) -> np.ndarray:
    """int32 [k] of a run uint8 [bytes] whose numbers have different widths."""
    widths = np.fromiter(map(len, _NUMBER.findall(run)), np.int64) - 1
    starts = np.cumsum(widths + 1) - widths
    values = np.empty(len(widths), np.int32)
    for number in _TYPES.values():
        here = widths == number.itemsize
        content = run[starts[here, None] + np.arange(number.itemsize)]
        values[here] = content.view(number)[:, 0]
    return values
