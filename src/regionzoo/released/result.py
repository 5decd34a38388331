"""A checkpoint of the original as a trained row's folder: what prediction reads, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regionzoo.artifacts import sha256_file, write_json, write_safetensors
from regionzoo.errors import UserError
from regionzoo.integrity import read_made
from regionzoo.released.checkpoint_file import Checkpoint, read_checkpoint
from regionzoo.released.convert import CLIP_DIMENSION, Converted, convert, network_like
from regionzoo.released.layouts import Layout
from regionzoo.released.remaps import Remap
from regionzoo.settings.train import TrainSettings
from regionzoo.text.table import TextTable
from regionzoo.training.build import class_vectors
from regionzoo.training.checkpoint import TEXT_MATRIX

PROVENANCE = "released"
"""Key of ``config.json`` under which an imported row says where it came from; a trained row has none."""


@dataclass(frozen=True)
class ClassText:
    """Class vectors in the place of a checkpoint's own: float32 [classes, D], and what made them."""

    vectors: np.ndarray
    facts: dict[str, str]


@dataclass(frozen=True)
class ImportReport:
    """What an import made. provenance: as in ``config.json``."""

    weights: Path
    config: Path
    weights_sha256: str
    provenance: dict[str, Any]


def import_checkpoint(
    file: str | Path,
    settings: TrainSettings,
    table: TextTable | None,
    out: str | Path,
    layout: Layout | None = None,
    remap: Remap | None = None,
) -> ImportReport:
    """Write ``out/model.safetensors`` and ``out/config.json`` of a row from a checkpoint of the original.

    settings: of the row, at the scale whose network the file holds (the published ones: ``paper``). table: the row's
    text table, to which the file's class vectors are compared; None: no comparison, D is 512. layout, remap: see
    :func:`regionzoo.released.convert.convert`. The weights keep the file's own class vectors, whatever classes they
    are of. :class:`UserError`, and nothing is written, if the file cannot be read or is of another network.
    """
    return write_result(read_checkpoint(file), settings, table, out, layout, remap)


def write_result(
    checkpoint: Checkpoint,
    settings: TrainSettings,
    table: TextTable | None,
    out: str | Path,
    layout: Layout | None = None,
    remap: Remap | None = None,
    text: ClassText | None = None,
) -> ImportReport:
    """:func:`import_checkpoint` of a file that has been read. text: other class vectors than its own."""
    network = network_like(settings, CLIP_DIMENSION if table is None else table.dimension)
    converted = convert(checkpoint.path, checkpoint.state, network, layout, remap)
    provenance = _provenance(checkpoint, converted) | _agreement(converted, settings, table)
    weights, config = Path(out) / "model.safetensors", Path(out) / "config.json"
    state = converted.state if text is None else converted.state | {TEXT_MATRIX: torch.from_numpy(text.vectors)}
    write_safetensors(weights, state, {"row": settings.row, "checkpoint_sha256": checkpoint.sha256})
    identity = sha256_file(weights)
    steps = {} if checkpoint.facts.iteration is None else {"steps": checkpoint.facts.iteration}
    content = {
        "weights_sha256": identity,
        "settings": settings.model_dump(mode="json"),
        # The rows that distil were trained with OpenScene's features; the file does not say so.
        "features": {"provider": "openscene" if settings.distill else "none"},
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "text": {"encoder": "class vectors of the checkpoint"} if text is None else text.facts,
        "cost": steps,
        PROVENANCE: provenance,
    }
    write_json(config, content, seal=True)
    return ImportReport(weights, config, identity, provenance)


def provenance_of(result: str | Path) -> dict[str, Any] | None:
    """Where an imported row came from; None for a trained one."""
    config = read_made(Path(result) / "config.json")
    if not isinstance(config, dict):
        raise UserError(f"{Path(result) / 'config.json'}: no settings of a row; make the row again")
    return config.get(PROVENANCE)


def _provenance(checkpoint: Checkpoint, converted: Converted) -> dict[str, Any]:
    facts = checkpoint.facts
    return {
        "file": checkpoint.path.name,
        "sha256": checkpoint.sha256,
        "size": checkpoint.size,
        "form": facts.form,
        "epoch": facts.epoch,
        "iteration": facts.iteration,
        "version": facts.version,
        "best_metric": facts.best_metric,
        "best_epoch": facts.best_epoch,
        "layout": converted.layout,
        "layout_told_by": converted.told_by,
        "remap": converted.remap,
        "stored_as": list(converted.stored_as),
        "text_classes": len(converted.text_matrix),
    }


def _agreement(converted: Converted, settings: TrainSettings, table: TextTable | None) -> dict[str, Any]:
    """Least cosine between the file's class vectors and the table's; None where they are not of the same classes."""
    if table is None:
        return {"text_least_cosine": None}
    ours = class_vectors(settings.classes.set, settings.template, table)
    theirs = converted.text_matrix.numpy().astype(np.float64)
    if len(ours) != len(theirs):
        return {"text_least_cosine": None}
    lengths = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours.astype(np.float64), axis=1)
    cosines = (theirs * ours).sum(1) / np.maximum(lengths, np.finfo(np.float64).tiny)
    return {"text_least_cosine": round(float(cosines.min()), 6)}
