"""Resume state: one safetensors file, keyed by settings, inputs and code, so that a changed row never resumes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from regionzoo.artifacts import sealed_content, write_safetensors
from regionzoo.training.optim import Optimizer

TEXT_MATRIX = "task_head.cls_head.weight"
"""The frozen class vectors in a network's state."""


@dataclass(frozen=True)
class Progress:
    """What is done: whole epochs, optimiser steps, seconds, and the rows of history.csv so far."""

    epochs_done: int
    steps_done: int
    seconds: float
    history: tuple[dict[str, Any], ...]


def save_state(path: Path, key: str, network: nn.Module, optimizer: Optimizer, progress: Progress) -> None:
    """Write the state atomically."""
    tensors = {f"model/{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"optimizer/{name}": value for name, value in optimizer.state_tensors().items()}
    facts = {
        "epochs_done": progress.epochs_done,
        "steps_done": progress.steps_done,
        "seconds": progress.seconds,
        "history": list(progress.history),
    }
    write_safetensors(path, tensors, {"key": key, "progress": json.dumps(facts)})


def load_state(path: Path, key: str, network: nn.Module, optimizer: Optimizer) -> Progress | None:
    """Restore the state if there is one for this very key; None otherwise (a damaged file counts as none)."""
    try:
        if not sealed_content(path):
            return None
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (FileNotFoundError, SafetensorError, OSError):
        return None
    model = {name.removeprefix("model/"): value for name, value in tensors.items() if name.startswith("model/")}
    network.load_state_dict(model, strict=True)
    moments = {
        name.removeprefix("optimizer/"): value for name, value in tensors.items() if name.startswith("optimizer/")
    }
    optimizer.load_state_tensors(moments)
    facts = json.loads(metadata["progress"])
    return Progress(facts["epochs_done"], facts["steps_done"], facts["seconds"], tuple(facts["history"]))


def save_model(path: Path, network: nn.Module, metadata: dict[str, str]) -> None:
    """Write the trained weights: the original's keys and shapes."""
    write_safetensors(path, dict(network.state_dict()), metadata)


def load_model(path: Path, network: nn.Module, skip: tuple[str, ...] = ()) -> dict[str, str]:
    """Load weights strictly, but for the keys of ``skip``, which stay as they are; return the file's metadata."""
    with safe_open(path, "pt") as file:
        tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys() if name not in skip}
        metadata = file.metadata() or {}
    kept = {name: value for name, value in network.state_dict().items() if name in skip}
    network.load_state_dict(tensors | kept, strict=True)
    return metadata


def stored_text(weights: Path) -> np.ndarray:
    """float32 [classes, D]: the class vectors in a file of weights, as they are."""
    with safe_open(weights, "np") as file:
        return file.get_tensor(TEXT_MATRIX)
