"""The process that unpickles a checkpoint, and hands its tensors over as safetensors, its facts as JSON.

Three walls: the opcodes are looked through before anything is unpickled, torch unpickles with ``weights_only``, and
meanwhile the process may neither write nor start anything. Around it the limits of
:mod:`regionzoo.foreign.confined`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from regionzoo.foreign.confined import confine
from regionzoo.foreign.machine import Refused
from regionzoo.released.checkpoint_file import FACTS, STATE, Facts
from regionzoo.released.opcodes import check_file
from regionzoo.released.watch import nothing_but_reading
from regionzoo.released.wording import readable

STATES = ("model_state", "state_dict")
FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
INTEGERS = frozenset({torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool})
MOST_TENSORS = 20_000
LONGEST_NAME = 300


def read(path: Path) -> tuple[dict[str, Tensor], Facts]:
    """The tensors and the facts of a checkpoint; :class:`Refused` for anything that is not one."""
    form = check_file(path)
    try:
        with torch.serialization.safe_globals(_NUMPY_NUMBERS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # a hostile or broken stream can raise anything
        reason = readable(str(error).split("\n")[0])
        raise Refused(
            f"truncated, damaged, or holds other objects than tensors ({type(error).__name__}: {reason})"
        ) from None
    if not isinstance(content, dict):
        raise Refused(f"holds a {type(content).__name__}, expected a dict with model_state")
    state = next((content[name] for name in STATES if name in content), None)
    if state is None:
        found = ", ".join(readable(key) for key in list(content)[:5]) or "nothing"
        raise Refused(f"holds neither model_state nor state_dict, but {found}")
    facts = Facts(
        form=form,
        epoch=_whole(content, "epoch"),
        iteration=_whole(content, "it"),
        version=_text(content, "version"),
        best_metric=_number(content.get("best_metric")),
        best_epoch=None if (best := _number(content.get("best_epoch"))) is None else int(best),
    )
    return _tensors(state, path.stat().st_size), facts


def _tensors(state: object, room: int) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not state:
        raise Refused("its model_state is no dict of tensors")
    if len(state) > MOST_TENSORS:
        raise Refused(f"its model_state has {len(state)} entries, more than any network here")
    made = {}
    for name, value in state.items():
        tensor = _tensor(name, value)
        # A few bytes that many tensors share would grow to any size when each gets its own.
        room -= tensor.numel() * tensor.element_size()
        if room < 0:
            raise Refused("its tensors claim more numbers than the file holds")
        made[name] = tensor.clone(memory_format=torch.contiguous_format)
    broken = [name for name, tensor in made.items() if tensor.dtype in FLOATS and not torch.isfinite(tensor).all()]
    if broken:
        raise Refused(f"{len(broken)} tensors hold numbers that are not finite ({', '.join(broken[:3])})")
    return made


def _tensor(name: object, value: object) -> Tensor:
    if not isinstance(name, str) or not name.isascii() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise Refused(f"an entry of its model_state has no readable name ({readable(name)})")
    if type(value) not in (Tensor, torch.nn.Parameter):
        raise Refused(f"{name} is a {type(value).__name__}, expected a tensor")
    value = value.detach()
    dense = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
    if not dense or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise Refused(f"{name} is no plain dense tensor")
    if value.dtype not in FLOATS | INTEGERS:
        raise Refused(f"{name} holds {value.dtype}, expected real numbers")
    return value


def _whole(content: dict[object, object], key: str) -> int | None:
    value = content.get(key)
    if value is None:
        return None
    number = _number(value)
    if number is None or number != int(number) or not 0 <= number < 1 << 53:
        raise Refused(f"its {key} is {_shown(value)}, expected a whole number")
    return int(number)


def _text(content: dict[object, object], key: str) -> str | None:
    value = content.get(key)
    if value is not None and not isinstance(value, str):
        raise Refused(f"its {key} is {_shown(value)}, expected a text")
    return None if value is None else readable(value)


def _shown(value: object) -> str:
    """A value in a message: what it says if it is short, else what it is."""
    return readable(repr(value)) if isinstance(value, str | int | float) else f"a {type(value).__name__}"


def _number(value: object) -> float | None:
    """A finite number from one of Python's, NumPy's or torch's; None for anything else."""
    if isinstance(value, Tensor) and value.numel() == 1 and value.dtype in FLOATS | INTEGERS:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


class _NumberType:
    """Stands for ``numpy.dtype`` of plain numbers."""

    def __init__(self, code: object, *_: object) -> None:
        if code not in ("b1", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8"):
            raise ValueError("not a type of plain numbers")
        self.dtype = np.dtype(str(code))

    def __setstate__(self, state: tuple[object, ...]) -> None:
        if state[1] not in ("|", "<", ">", "="):
            raise ValueError("not a byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


def _numpy_number(kind: object, raw: object) -> float | int:
    """Stands for NumPy's own rebuilding of a number, which trusts its input."""
    if type(kind) is not _NumberType or type(raw) is not bytes or len(raw) != kind.dtype.itemsize:
        raise ValueError("not a plain number")
    return np.frombuffer(raw, kind.dtype)[0].item()


_NUMPY_NUMBERS = [
    (_numpy_number, "numpy.core.multiarray.scalar"),
    (_numpy_number, "numpy._core.multiarray.scalar"),
    (_NumberType, "numpy.dtype"),
]


def hand_over(task: dict[str, Any], folder: Path) -> None:
    """Read the file ``task["path"]`` into ``folder``."""
    with nothing_but_reading():
        state, facts = read(Path(task["path"]))
    save_file(state, folder / STATE)
    (folder / FACTS).write_text(json.dumps(asdict(facts)))


if __name__ == "__main__":
    confine(hand_over)
