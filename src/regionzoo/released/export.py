"""A row's weights as a file that the original's own code loads."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from regionzoo import __version__
from regionzoo.artifacts import atomic_path, sha256_file
from regionzoo.errors import UserError
from regionzoo.integrity import read_made, require_sealed
from regionzoo.released.convert import network_like
from regionzoo.released.layouts import OURS, Layout, from_ours
from regionzoo.released.result import PROVENANCE
from regionzoo.settings.train import TrainSettings
from regionzoo.training.checkpoint import TEXT_MATRIX


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote. epoch: as the file says."""

    path: Path
    sha256: str
    epoch: int
    tensors: int


def default_name(epoch: int) -> str:
    """The original's own naming. It reads the epoch from the last number in a file's name."""
    return f"checkpoint_ep{epoch}.pth"


def export_checkpoint(result: str | Path, out: str | Path | None = None, layout: Layout = OURS) -> ExportReport:
    """Write the weights of a result folder, trained or imported, as a checkpoint of the original.

    out: None for :func:`default_name` in the working directory. layout: how convolutions are stored, by the spconv that
    is to read them. The file is torch's legacy form, which torch 1.8 reads. Its text matrix is the one in the weights;
    the original replaces it by its own when it loads. :class:`UserError` if the folder holds no whole result, or if the
    original would not find instances because of the file's name.
    """
    result = Path(result)
    weights, config_path = result / "model.safetensors", result / "config.json"
    require_sealed(weights)
    config = read_made(config_path)
    if config.get("weights_sha256") != sha256_file(weights):
        raise UserError(f"{weights}: not the weights that {config_path} was written with; make both again")
    settings = TrainSettings.check(config.get("settings"), f"{config_path}: settings")
    content = _facts(config, settings)
    out = Path(default_name(content["epoch"]) if out is None else out)
    _require_name(out, settings)
    state = _ordered(weights, settings)
    content["model_state"] = OrderedDict(
        (key, from_ours(value, layout) if value.ndim == 5 else value.contiguous()) for key, value in state.items()
    )
    with atomic_path(out) as temporary:
        torch.save(content, temporary, _use_new_zipfile_serialization=False)
    return ExportReport(out, sha256_file(out), content["epoch"], len(state))


def _facts(config: dict[str, Any], settings: TrainSettings) -> dict[str, Any]:
    """What stands beside the weights: the original's own facts where they came from it."""
    origin = config.get(PROVENANCE) or {}

    def known(key: str, otherwise: Any) -> Any:
        return otherwise if origin.get(key) is None else origin[key]

    return {
        "epoch": known("epoch", settings.recipe.epochs),
        "it": known("iteration", config.get("cost", {}).get("steps", 0)),
        "model_state": None,
        "version": known("version", f"regionzoo+{__version__}"),
        # No score of ours: it is of other data than the one that the original compares it to when it goes on.
        "best_metric": known("best_metric", 0.0),
        "best_epoch": known("best_epoch", 0),
    }


def _ordered(weights: Path, settings: TrainSettings) -> dict[str, Tensor]:
    """The tensors in the order of the modules, as the original writes them."""
    state = load_file(weights)
    matrix = state.get(TEXT_MATRIX)
    if matrix is None or matrix.ndim != 2:
        raise UserError(f"{weights}: no text matrix; make the row again")
    expected = network_like(settings, matrix.shape[1]).state_dict()
    wrong = sorted(state.keys() ^ expected.keys()) + [
        key for key in expected if key in state and key != TEXT_MATRIX and state[key].shape != expected[key].shape
    ]
    if wrong:
        raise UserError(f"{weights}: {wrong[0]} and {len(wrong) - 1} more tensors are not of the row's network")
    return {key: state[key] for key in expected}


def _require_name(out: Path, settings: TrainSettings) -> None:
    if settings.instances is None:
        return
    warm, numbers = settings.instances.warmup_epochs, re.findall(r"\d+", out.name)
    if not numbers or int(numbers[-1]) <= warm:
        raise UserError(
            f"{out}: the original takes the last number in a checkpoint's name for its epoch, and finds no instances "
            f"up to {warm}; name it {default_name(settings.recipe.epochs)}"
        )
