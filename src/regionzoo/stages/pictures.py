"""Stage pictures: found instances of a few validation scenes beside the annotated ones, as PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from regionzoo.artifacts import replaced_folder, tree_hashes, write_manifest
from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.evaluation.instance_protocols import instance_protocol
from regionzoo.evaluation.instance_store import SUFFIX, load_instances
from regionzoo.evaluation.notes import note
from regionzoo.evaluation.predictions import load_facts
from regionzoo.integrity import require_content
from regionzoo.progress import Meter
from regionzoo.report.scene_pictures import Predictions, draw_instances
from regionzoo.scenes.instances import instance_ids
from regionzoo.scenes.store import load_scene
from regionzoo.stages._folders import split_scenes

SHOWN = 3
"""Scenes that are drawn: the first of the validation list."""


def run(row: str, scenes: Path, predictions: Path, out: Path, manifest: Path) -> None:
    """Replace ``out`` by one picture a scene, all or nothing."""
    require_content(scenes)
    facts, files, _ = load_facts(predictions)
    if facts.row != row or facts.task != "instance":
        raise UserError(f"{predictions}: {facts.task} predictions of row '{facts.row}', not instances of '{row}'")
    least = instance_protocol("regionplc-instance/1").min_points
    classes, roles = class_set(facts.classes.set), facts.classes.roles
    with_instances = [c for c in (*roles.base_idx, *roles.novel_idx) if classes.names[c] not in ("wall", "floor")]
    names = split_scenes(scenes, "val")[:SHOWN]
    with Meter(f"pictures {row}", len(names)) as meter, replaced_folder(out) as folder:
        for done, name in enumerate(names, 1):
            scene = load_scene(scenes / f"{name}.safetensors")
            file = f"{name}{SUFFIX}"
            found = load_instances(predictions / file, scene.coords_sha256, len(scene), files.get(file))
            labels = scene.labels[facts.classes.set]
            ids = instance_ids(scene.labels["scannet20"], scene.group)
            offsets, points = found.masks.ids()
            masks = np.split(points, offsets[1:-1]) if len(found.masks) else []
            draw_instances(
                folder / f"{name}.png",
                scene.coords,
                scene.colors,
                labels,
                np.where(np.isin(labels, with_instances), ids, -100),
                Predictions(masks, found.mask, found.label, found.score),
                classes,
                title=f"{row}, {name}",
                note=note(scene.source),
                novel=roles.novel_idx,
                least_points=least,
            )
            meter.update(done)
    write_manifest(manifest, tree_hashes(out), {"row": row})
