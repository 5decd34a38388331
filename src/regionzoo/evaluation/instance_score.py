"""Saved instances under any number of protocols, without the network, scene by scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from regionzoo.artifacts import read_json
from regionzoo.classes import class_set
from regionzoo.errors import SceneError, UserError
from regionzoo.evaluation.instance_ap import FIGURES, InstanceScores, instance_scores
from regionzoo.evaluation.instance_matches import Matches, instance_truth, scene_matches
from regionzoo.evaluation.instance_protocols import InstanceProtocol, instance_protocol, instance_protocols
from regionzoo.evaluation.instance_store import SUFFIX, load_instances
from regionzoo.evaluation.predictions import REBUILD, PredictionFacts, load_facts
from regionzoo.evaluation.record import percent, percent_or_none
from regionzoo.models.settings import Partition
from regionzoo.progress import Meter
from regionzoo.scenes.instances import instance_ids
from regionzoo.scenes.store import load_scene


@dataclass(frozen=True)
class InstanceScore:
    """Scores under one protocol. metrics: in percent, as they are written. averaged: how many classes each mean has."""

    protocol: InstanceProtocol
    scores: InstanceScores
    metrics: dict[str, float]
    averaged: dict[str, int]


@dataclass(frozen=True)
class InstanceScored:
    """Instances scored.

    facts: what they are. manifest_sha256: their identity. scenes, points: what went in. unproposed: scenes in which the
    network proposed nothing. predictions: instances of all scenes. by_protocol: in the order asked for.
    """

    facts: PredictionFacts
    manifest_sha256: str
    scenes: int
    points: int
    unproposed: int
    predictions: int
    by_protocol: dict[str, InstanceScore]


def score_instances(predictions: Path, scenes: Path, identifiers: Sequence[str] = ()) -> InstanceScored:
    """Score the instances of a predictions folder on the validation scenes of a scene store.

    identifiers: protocols; none: every one that fits. Raises :class:`UserError` for an unknown protocol or one that
    does not fit, before anything is read, and for missing or damaged files.
    """
    facts, files, identity = load_facts(predictions)
    name, roles = facts.classes.set, facts.classes.roles
    fitting = [entry for entry in instance_protocols().values() if entry.misfit(name, roles) is None]
    rules = [instance_protocol(identifier) for identifier in dict.fromkeys(identifiers)] or fitting
    for entry in rules:
        if why := entry.misfit(name, roles):
            told = ", ".join(known.id for known in fitting) or "none"
            raise UserError(f"{facts.row}: protocol {entry.id} {why}; fitting: {told}")
    if not rules:
        raise UserError(f"{facts.row}: no protocol of instance scores fits {name} and this row's classes")
    ids = sorted(read_json(scenes / "splits.json")["val"])
    # What has instances decides what is void, so that protocols which disagree need a pass of their own.
    sides = {entry.id: entry.averaged(roles, name) for entry in rules}
    passes = {
        classes: match_scenes(predictions, files, scenes, ids, name, classes, f"score {facts.row}")
        for classes in {tuple(sorted(sum(side.values(), ()))) for side in sides.values()}
    }
    by_protocol = {}
    for entry in rules:
        side = sides[entry.id]
        matches, _ = passes[tuple(sorted(sum(side.values(), ())))]
        scores = instance_scores(matches, side["base"], side["novel"], entry)
        metrics = {key: percent(value) for key, value in scores.summary.items()}
        by_protocol[entry.id] = InstanceScore(entry, scores, metrics, {key: len(c) for key, c in side.items()})
    matches, points = next(iter(passes.values()))
    return InstanceScored(facts, identity, len(ids), points, matches.unproposed, len(matches.label), by_protocol)


def match_scenes(
    predictions: Path,
    sha256: Mapping[str, str],
    scenes: Path,
    scene_ids: Sequence[str],
    name: str,
    classes: Sequence[int],
    title: str,
) -> tuple[Matches, int]:
    """Overlaps of all scenes, one scene in memory at a time, and the number of points.

    predictions: folder; sha256: of its files by name, as its manifest has them. classes: positions of those that have
    instances. Raises :class:`SceneError` for a missing, damaged or misplaced file.
    """
    parts, points = [], 0
    with Meter(title, len(scene_ids)) as meter:
        for done, scene_id in enumerate(scene_ids, 1):
            scene = load_scene(scenes / f"{scene_id}.safetensors")
            file = f"{scene_id}{SUFFIX}"
            if file not in sha256:
                raise SceneError(scene_id, predictions, f"its manifest has no instances for this scene; {REBUILD}")
            found = load_instances(predictions / file, scene.coords_sha256, len(scene), sha256[file])
            if found.class_set != name:
                raise SceneError(scene_id, predictions / file, f"predicts {found.class_set}, not {name}; {REBUILD}")
            truth = instance_truth(scene.labels[name], instance_ids(scene.labels["scannet20"], scene.group), classes)
            parts.append(scene_matches(truth, found.masks, found.mask, found.label, found.score, found.no_proposals))
            points += len(scene)
            meter.update(done)
    return Matches.joined(parts), points


def per_class_table(scores: InstanceScores, name: str, roles: Partition) -> pd.DataFrame:
    """One line a class: role, AP, AP50 and AP25 in percent (None: no true instance), true and predicted instances."""
    names = class_set(name).names
    rows: list[dict[str, Any]] = [
        {
            "class": names[c],
            "role": "novel" if c in roles.novel_idx else "base",
            **{key.lower(): percent_or_none(float(scores.by_class[key][k])) for key in FIGURES},
            "instances": int(scores.truths[k]),
            "predictions": int(scores.predictions[k]),
        }
        for k, c in enumerate(scores.classes)
    ]
    # As objects: a column of numbers would turn None into NaN.
    return pd.DataFrame(rows, dtype=object)
