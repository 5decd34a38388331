"""A scene store and predictions of random points, without a network: what scoring needs, in a few milliseconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regionzoo.artifacts import tree_hashes, write_manifest
from regionzoo.classes import class_set
from regionzoo.evaluation.predictions import (
    VARIANTS,
    PredictedClasses,
    PredictionFacts,
    Predictions,
    TrainedWith,
    Variant,
    background,
    save_predictions,
)
from regionzoo.models.settings import Partition
from regionzoo.scenes.store import Scene, save_scene

B15N4 = Partition(
    base_idx=(0, 1, 2, 3, 4, 6, 7, 8, 10, 11, 13, 14, 15, 17, 18), novel_idx=(5, 9, 12, 16), ignore_idx=(19,)
)
FREE20 = Partition((), tuple(range(2, 19)), (0, 1, 19))


@dataclass(frozen=True)
class Saved:
    """Folders, and the truth and predictions of all points one after another."""

    scenes: Path
    predictions: Path
    truth: np.ndarray
    labels: dict[Variant, np.ndarray]
    is_base: np.ndarray | None


def allowed_classes(name: str, roles: Partition) -> dict[Variant, np.ndarray]:
    """Positions of the classes that each variant may predict."""
    names = class_set(name).names
    every = np.arange(len(names))
    valid = np.setdiff1d(every, roles.ignore_idx)
    front = np.array([c for c in every if names[c] not in background(name)])
    return {"row": valid, "masked": valid, "all": every, "foreground": front}


def random_scene(index: int, points: int, truth: np.ndarray, name: str, split: str = "val") -> Scene:
    """A scene of random vertices with the given labels of one class set."""
    rng = np.random.default_rng([5, index])
    other = "scannet200" if name == "scannet20" else "scannet20"
    return Scene(
        scene_id=f"scene{index:04}_00",
        split=split,
        source="synthetic-rooms",
        coords=rng.uniform(0, 3, (points, 3)).astype(np.float32),
        colors=np.zeros((points, 3), np.uint8),
        superpoint=np.zeros(points, np.int32),
        group=np.zeros(points, np.int32),
        labels={name: truth.astype(np.int16), other: np.full(points, -100, np.int16)},
        categories=("thing",),
    )


def facts_of(name: str, roles: Partition, scenes: int, row: str = "tiny") -> PredictionFacts:
    """Facts as the stage writes them."""
    return PredictionFacts(
        row=row,
        classes=PredictedClasses.of(name, roles),
        training=TrainedWith(
            row=row,
            source="synthetic-rooms",
            scale="small",
            seed=0,
            overrides={},
            unlabelled_as=None,
            captions={"on": True, "captioners": ["hand"]},
            distill=0.0,
            features={"provider": "none"},
            text={"encoder": "random"},
            weights_sha256="0" * 64,
            cost={"train_hours": 0.1},
        ),
        scenes=scenes,
        device="cpu (test)",
        predict_hours=0.0,
        predict_peak_memory_gib=0.1,
    )


def save_random(
    folder: Path, name: str = "scannet20", roles: Partition = B15N4, scenes: int = 3, points: int = 400, seed: int = 0
) -> Saved:
    """Write ``folder/scenes`` and ``folder/predictions`` with manifests; one scene in the split "train" is not scored.

    About half of the predictions are right, a tenth of the points is unlabelled, and some classes never occur.
    """
    rng = np.random.default_rng([seed, len(name)])
    n = len(class_set(name).names)
    seen = rng.permutation(n)[: max(n * 3 // 4, 2)]
    parts: dict[str, list[np.ndarray]] = {key: [] for key in ("truth", "is_base", *VARIANTS)}
    ids = []
    for index in range(scenes):
        truth = np.where(rng.random(points) < 0.1, -100, rng.choice(seen, points))
        scene = random_scene(index, points, truth, name)
        ids.append(scene.scene_id)
        save_scene(folder / "scenes" / f"{scene.scene_id}.safetensors", scene)
        labels = {}
        for variant, allowed in allowed_classes(name, roles).items():
            guess = rng.choice(np.intersect1d(allowed, seen), points)
            right = np.isin(truth, allowed) & (rng.random(points) < 0.5)
            labels[variant] = np.where(right, truth, guess).astype(np.int16)
        is_base = rng.integers(0, 2, points).astype(np.uint8) if roles.base_idx else None
        save_predictions(
            folder / "predictions" / f"{scene.scene_id}.safetensors",
            Predictions(scene.scene_id, scene.coords_sha256, name, labels, is_base),
        )
        for key, values in {"truth": truth, **labels}.items():
            parts[key].append(values)
        parts["is_base"].append(np.zeros(0, np.uint8) if is_base is None else is_base)
    save_scene(
        folder / "scenes" / "scene0999_00.safetensors", random_scene(999, 10, np.zeros(10, np.int64), name, "train")
    )
    (folder / "scenes" / "splits.json").write_text(json.dumps({"train": ["scene0999_00"], "val": ids}))
    write_manifest(folder / "scenes.manifest.json", tree_hashes(folder / "scenes"), {})
    facts = facts_of(name, roles, scenes).model_dump(mode="json")
    write_manifest(folder / "predictions.manifest.json", tree_hashes(folder / "predictions"), facts)
    joined = {key: np.concatenate(values) for key, values in parts.items()}
    return Saved(
        folder / "scenes",
        folder / "predictions",
        joined["truth"],
        {variant: joined[variant] for variant in VARIANTS},
        joined["is_base"] if roles.base_idx else None,
    )
