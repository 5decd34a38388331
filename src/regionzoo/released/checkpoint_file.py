"""The original's checkpoint files, read in a process of their own that may do nothing but read."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from regionzoo.artifacts import sha256_file
from regionzoo.errors import UserError
from regionzoo.foreign.confined import Limits, run_confined
from regionzoo.released.opcodes import Form

READER = "regionzoo.released.reader"
STATE, FACTS = "state.safetensors", "facts.json"
"""What the reader leaves in its folder."""
LARGEST = 2 << 30
"""Bytes; the largest published checkpoint has 176 MB."""


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says beside its tensors; None where it says nothing.

    form: torch's serialisation. epoch: number of the last epoch, counted from 1. iteration: optimiser steps.
    """

    form: Form
    epoch: int | None
    iteration: int | None
    version: str | None
    best_metric: float | None
    best_epoch: int | None


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it stands in the file: names, shapes and number types of the original, on the CPU, all finite."""

    path: Path
    sha256: str
    size: int
    facts: Facts
    state: dict[str, Tensor]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file of ``torch.save``, legacy or zip, that holds a dict with ``model_state`` or ``state_dict``.

    Another process unpickles it, under torch's restricted unpickler and with limits on memory and time, and hands it
    over as safetensors; whatever the file does to that process does not reach this one. Tensors saved from a GPU come
    to the CPU. :class:`UserError` of one line for anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    size = path.stat().st_size
    if size > LARGEST:
        raise UserError(f"{path}: {size >> 20} MB, more than any published checkpoint; name another file")
    digest = sha256_file(path)
    with tempfile.TemporaryDirectory(prefix="regionzoo-") as name:
        folder = Path(name)
        run_confined(READER, {"path": str(path.absolute())}, path, folder, Limits.of_size(size))
        facts, state = Facts(**json.loads((folder / FACTS).read_text())), load_file(folder / STATE)
    return Checkpoint(path, digest, size, facts, state)
