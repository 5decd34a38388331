"""A scene store and predicted instances of random objects, without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from saved_predictions import B15N4, allowed_classes, facts_of, random_scene

from regionzoo.artifacts import tree_hashes, write_manifest
from regionzoo.evaluation.instance_store import SUFFIX, InstancePredictions, save_instances
from regionzoo.evaluation.predictions import Predictions, save_predictions
from regionzoo.evaluation.run_length import Masks
from regionzoo.scenes.store import Scene, save_scene

POINTS = 1500


@dataclass(frozen=True)
class SavedInstances:
    """Folders, and what stands in them, scene by scene."""

    scenes: Path
    predictions: Path
    truth: list[Scene]
    found: list[InstancePredictions]


def objects(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups of a row of objects of 20 to 250 points: all 20 classes, walls and floors are groups too."""
    labels, group = np.full(POINTS, -100), np.full(POINTS, -100)
    at = number = 0
    while at < POINTS:
        size = int(rng.integers(20, 251))
        # Few classes, so that objects and predictions meet.
        labels[at : at + size] = rng.choice([-100, 0, 1, 2, 2, 4, 4, 5, 5, 9, 18, 19])
        if rng.random() < 0.9:
            group[at : at + size] = number
            number += 1
        at += size
    return labels.astype(np.int16), group.astype(np.int32)


def guesses(scene: Scene, rng: np.random.Generator) -> InstancePredictions:
    """Frayed objects and random stretches, each under up to three classes."""
    label = scene.labels["scannet20"]
    masks, mask, said, score = [], [], [], []
    for number in range(int(scene.group.max()) + 1):
        inside = scene.group == number
        keep = rng.choice([0.4, 0.7, 0.95])
        ids = np.flatnonzero(np.where(inside, rng.random(POINTS) < keep, rng.random(POINTS) < 0.01))
        for c in {int(label[inside][0]), int(rng.choice([2, 4, 5, 9])), int(rng.choice([2, 5]))} & set(range(2, 19)):
            mask.append(len(masks))
            said.append(c)
            score.append(rng.random() if rng.random() < 0.7 else round(rng.random(), 1))
        masks.append(ids)
    return InstancePredictions(
        scene.scene_id,
        scene.coords_sha256,
        Masks.of(masks, POINTS),
        np.array(mask, np.int32),
        np.array(said, np.int16),
        np.array(score, np.float32),
    )


def save_random_instances(folder: Path, scenes: int = 4, seed: int = 0) -> SavedInstances:
    """Write ``folder/scenes`` and ``folder/predictions`` with manifests. The last scene has no proposals."""
    rng = np.random.default_rng([seed, 3])
    truth, found = [], []
    for index in range(scenes):
        labels, group = objects(rng)
        scene = random_scene(index, POINTS, labels, "scannet20")
        scene = Scene(**{**vars(scene), "group": group, "categories": ("thing",) * (int(group.max()) + 1)})
        predicted = guesses(scene, rng)
        if index == scenes - 1:
            nothing = np.zeros(0)
            predicted = InstancePredictions(
                scene.scene_id, scene.coords_sha256, Masks.of([], POINTS), nothing, nothing, nothing, no_proposals=True
            )
        save_scene(folder / "scenes" / f"{scene.scene_id}.safetensors", scene)
        save_instances(folder / "predictions" / f"{scene.scene_id}{SUFFIX}", predicted)
        said = {
            variant: rng.choice(allowed, POINTS).astype(np.int16)
            for variant, allowed in allowed_classes("scannet20", B15N4).items()
        }
        save_predictions(
            folder / "predictions" / f"{scene.scene_id}.safetensors",
            Predictions(scene.scene_id, scene.coords_sha256, "scannet20", said, np.zeros(POINTS, np.uint8)),
        )
        truth.append(scene)
        found.append(predicted)
    (folder / "scenes" / "splits.json").write_text(json.dumps({"train": [], "val": [s.scene_id for s in truth]}))
    write_manifest(folder / "scenes.manifest.json", tree_hashes(folder / "scenes"), {})
    write_facts(folder / "predictions")
    return SavedInstances(folder / "scenes", folder / "predictions", truth, found)


def write_facts(predictions: Path, task: str = "semantic") -> None:
    """Write the manifest of a predictions folder as it is now."""
    facts = facts_of("scannet20", B15N4, 4).model_dump(mode="json") | {"task": task}
    write_manifest(predictions.with_name("predictions.manifest.json"), tree_hashes(predictions), facts)
