"""Predictions in the formats of the ScanNet benchmark: text files that its server and its scripts read.

Instances: ``<scene>.txt`` with a line ``predicted_masks/<scene>_<iii>.txt <class id> <confidence>`` for each, and the
masks, one 0 or 1 a vertex. Classes: ``<scene>.txt`` with one class id a vertex. Ids are the label table's: NYU40 ids
for the 20 classes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from regionzoo.artifacts import replaced_folder
from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.evaluation import instance_store, predictions
from regionzoo.evaluation.instance_store import InstancePredictions, load_instances
from regionzoo.evaluation.predictions import REBUILD, Variant, load_facts, load_predictions
from regionzoo.progress import Meter
from regionzoo.scenes.store import load_scene

MASKS = "predicted_masks"

Task = Literal["semantic", "instance"]


@dataclass(frozen=True)
class Exported:
    """What was written. instances: number of lines in all scenes; 0 for classes of points."""

    task: Task
    scenes: int
    instances: int


def export(folder: Path, scenes: Path, out: Path, task: Task | None = None, variant: Variant = "row") -> Exported:
    """Write all scenes of a predictions folder into the new folder ``out``, whole or not at all.

    task: without, instances if there are any. variant: which of the predicted classes. Raises :class:`UserError` if
    ``out`` exists and is not empty, if the folder has no predictions of the task, and for missing or damaged files.
    """
    facts, files, _ = load_facts(folder)
    found = {kind: _scenes(files, kind) for kind in ("instance", "semantic")}
    kind: Task = task or ("instance" if found["instance"] else "semantic")
    if not found[kind]:
        raise UserError(f"{folder}: no predictions for task {kind}; {REBUILD}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists already; name a new folder, or remove it first")
    ids = class_set(facts.classes.set).raw_ids
    instances = 0
    with replaced_folder(out) as fresh, Meter(f"export {facts.row}", len(found[kind])) as meter:
        for done, (scene_id, file) in enumerate(found[kind].items(), 1):
            scene = load_scene(scenes / f"{scene_id}.safetensors")
            if kind == "instance":
                predicted = load_instances(folder / file, scene.coords_sha256, len(scene), files[file])
                write_instances(fresh, predicted)
                instances += len(predicted)
            else:
                labels = load_predictions(folder / file, scene.coords_sha256, len(scene), files[file]).labels[variant]
                text = "\n".join(map(str, np.array(ids)[labels].tolist()))
                (fresh / f"{scene_id}.txt").write_text(f"{text}\n")
            meter.update(done)
    return Exported(kind, len(found[kind]), instances)


def write_instances(folder: Path, found: InstancePredictions) -> None:
    """Write one scene's list and masks below ``folder``, which must be new to it.

    The benchmark's reader takes one prediction a mask file, so predictions that share a mask have files of their own,
    which are hard links where the file system can: the same content, once on the disk. Confidences are written with as
    many digits as they have: rounded to four, as the original writes them, ranks would tie.
    """
    ids = class_set(found.class_set).raw_ids
    masks = folder / MASKS
    masks.mkdir(exist_ok=True)
    digits = max(3, len(str(len(found) - 1)))
    written: dict[int, Path] = {}
    lines = []
    for k, (mask, label, score) in enumerate(zip(found.mask.tolist(), found.label.tolist(), found.score, strict=True)):
        path = masks / f"{found.scene_id}_{k:0{digits}}.txt"
        if mask not in written or not _linked(written[mask], path):
            path.write_bytes(_lines(found.masks.mask(mask)))
        written[mask] = path
        lines.append(f"{MASKS}/{path.name} {ids[label]} {np.format_float_positional(score, trim='0')}\n")
    (folder / f"{found.scene_id}.txt").write_text("".join(lines))


def _lines(mask: np.ndarray) -> bytes:
    text = np.full((len(mask), 2), ord("\n"), np.uint8)
    text[:, 0] = ord("0") + mask
    return text.tobytes()


def _linked(old: Path, new: Path) -> bool:
    """Whether ``new`` is a hard link to ``old`` now; not on a file system without links, or with one too many."""
    try:
        os.link(old, new)
    except OSError:
        return False
    return True


def _scenes(files: Mapping[str, str], task: str) -> dict[str, str]:
    """Scene id -> file of a task, sorted."""
    if task == "instance":
        kept = {
            name.removesuffix(instance_store.SUFFIX): name for name in files if name.endswith(instance_store.SUFFIX)
        }
    else:
        kept = {
            name.removesuffix(predictions.SUFFIX): name
            for name in files
            if name.endswith(predictions.SUFFIX) and not name.endswith(instance_store.SUFFIX)
        }
    return dict(sorted(kept.items()))
