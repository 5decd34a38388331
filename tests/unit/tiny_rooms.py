"""A row small enough to train in a second: boxes on a floor, captions that name them, a table of random vectors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from regionzoo.artifacts import tree_hashes, write_manifest
from regionzoo.captions.store import from_regions, save_captions
from regionzoo.classes import class_set
from regionzoo.config import Params
from regionzoo.features.store import FeatureIndex, save_point_features, unit_half, write_index
from regionzoo.scenes.store import Scene, load_scene, save_scene
from regionzoo.settings.train import Classes, Network, TrainSettings
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.table import TextTable, save_table

REPOSITORY = Path(__file__).resolve().parents[2]
DIMENSION = 24


@dataclass(frozen=True)
class TinyRow:
    """Settings and input artifacts of a tiny row."""

    settings: TrainSettings
    scenes: Path
    captions: Path
    features: Path
    text: Path
    train_ids: list[str]


def tiny_scene(index: int, split: str) -> Scene:
    """A floor and four boxes, each of its own class and colour."""
    rng = np.random.default_rng([7, index])
    twenty = class_set("scannet20")
    parts, labels, colors, groups = [], [], [], []
    floor = np.column_stack([rng.uniform(0, 2, (300, 2)), np.zeros(300)])
    parts.append(floor)
    labels.append(np.full(300, twenty.index("floor")))
    colors.append(np.full((300, 3), 120))
    groups.append(np.full(300, 0))
    names = ["chair", "table", "sofa", "toilet"]
    for k, name in enumerate(names):
        corner = np.array([0.2 + 0.9 * (k % 2), 0.2 + 0.9 * (k // 2), 0.0])
        box = corner + rng.uniform(0, 1, (150, 3)) * np.array([0.5, 0.5, 0.3 + 0.2 * k])
        parts.append(box)
        labels.append(np.full(150, twenty.index(name)))
        colors.append(np.clip(rng.normal([60 * k, 255 - 60 * k, 128], 10, (150, 3)), 0, 255))
        groups.append(np.full(150, k + 1))
    label = np.concatenate(labels).astype(np.int16)
    n = len(label)
    return Scene(
        scene_id=f"scene{index:04}_00",
        split=split,
        source="synthetic-rooms",
        coords=np.concatenate(parts).astype(np.float32),
        colors=np.concatenate(colors).astype(np.uint8),
        superpoint=np.arange(n, dtype=np.int32) // 10,
        group=np.concatenate(groups).astype(np.int32),
        labels={"scannet20": label, "scannet200": np.full(n, -100, np.int16)},
        categories=("floor", *names),
    )


def make_tiny_row(folder: Path, train: int = 6, val: int = 3) -> TinyRow:
    """Write scenes, captions and a text table below ``folder``, with their manifests, as the stages would."""
    scenes, captions, text = folder / "scenes", folder / "captions" / "set", folder / "text.safetensors"
    features = folder / "features" / "classes"
    ids: dict[str, list[str]] = {"train": [], "val": []}
    for index in range(train + val):
        scene = tiny_scene(index, "train" if index < train else "val")
        ids[scene.split].append(scene.scene_id)
        save_scene(scenes / f"{scene.scene_id}.safetensors", scene)
        regions = [np.flatnonzero(scene.group == k) for k in range(5)]
        texts = [f"a photo of a {name}." for name in scene.categories]
        made = from_regions(
            scene.scene_id, scene.coords_sha256, len(scene), [f"000000_{k}" for k in range(5)], texts, regions
        )
        if scene.split == "train":
            save_captions(captions / f"{scene.scene_id}.safetensors", made)
    (scenes / "splits.json").write_text(json.dumps(ids))
    prompts = [*class_prompts("scannet20", "identity"), *class_prompts("scannet200", "identity")]
    strings = sorted({*prompts, *(f"a photo of a {c}." for c in ("floor", *NAMES))})
    vectors = np.random.default_rng(0).standard_normal((len(strings), DIMENSION)).astype(np.float32)
    # A caption stands near the class that it names.
    for position, string in enumerate(strings):
        name = string.removeprefix("a photo of a ").removesuffix(".")
        if name != string:
            vectors[position] = vectors[strings.index(name)] + 0.1 * vectors[position]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    save_table(text, TextTable(tuple(strings), vectors, {"encoder": "random"}))
    write_features(features, scenes, ids["train"], dict(zip(strings, vectors, strict=True)))
    write_manifest(folder / "scenes.manifest.json", tree_hashes(scenes), {})
    write_manifest(folder / "captions" / "set.manifest.json", tree_hashes(captions), {"captioners": ["hand"]})
    write_manifest(folder / "features" / "classes.manifest.json", tree_hashes(features), {})
    return TinyRow(tiny_settings(), scenes, captions, features, text, ids["train"])


def write_features(folder: Path, scenes: Path, ids: list[str], vectors: dict[str, np.ndarray]) -> None:
    """Two chunks of points a scene with noisy vectors of their class."""
    prompts = class_prompts("scannet20", "identity")
    for scene_id in ids:
        scene = load_scene(scenes / f"{scene_id}.safetensors")
        rng = np.random.default_rng([3, int(scene_id[5:9])])
        chunks = []
        for _ in range(2):
            points = np.sort(rng.permutation(len(scene))[:400]).astype(np.int32)
            exact = np.stack([vectors[prompts[label]] for label in scene.labels["scannet20"][points]])
            chunks.append((points, unit_half(exact + 0.05 * rng.standard_normal(exact.shape))))
        save_point_features(folder / f"{scene_id}.safetensors", scene_id, scene.coords_sha256, len(scene), chunks)
    write_index(folder, FeatureIndex(DIMENSION, {"provider": "hand"}, dict.fromkeys(ids, 2)))


NAMES = ("chair", "table", "sofa", "toilet")


def tiny_settings() -> TrainSettings:
    """The shipped row with a network of three narrow levels and two epochs."""
    plain = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    settings = Params.check(plain, "params.yaml").train("scannet_b15n4")
    recipe = settings.recipe.model_copy(
        update={"epochs": 2, "shards": 1, "scenes_per_shard": 2, "repeat": 1, "voxel_size": 0.1}
    )
    network = Network(in_channels=6, widths=(4, 6, 8), block_reps=1, adapter_layers=2, adapter_last_norm=True)
    caption = settings.caption.model_copy(update={"ratio": 0.8})
    return settings.model_copy(update={"recipe": recipe, "network": network, "caption": caption, "row": "tiny"})


def annotation_free(settings: TrainSettings, distill: float = 0.0) -> TrainSettings:
    """The same row without annotation, as the annotation-free rows are set up."""
    free = Classes(set="scannet20", annotated=False, ignore=("wall", "floor", "otherfurniture"))
    caption = settings.caption.model_copy(update={"weight": 1.0, "novel_grad_only": False})
    network = settings.network.model_copy(update={"adapter_last_norm": not distill})
    return settings.model_copy(update={"classes": free, "caption": caption, "network": network, "distill": distill})
