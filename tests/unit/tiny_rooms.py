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
from regionzoo.scenes.store import Scene, save_scene
from regionzoo.settings.train import Network, TrainSettings
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
    strings = sorted({*class_prompts("scannet20", "identity"), *(f"a photo of a {c}." for c in ("floor", *NAMES))})
    vectors = np.random.default_rng(0).standard_normal((len(strings), DIMENSION)).astype(np.float32)
    # A caption stands near the class that it names.
    for position, string in enumerate(strings):
        name = string.removeprefix("a photo of a ").removesuffix(".")
        if name != string:
            vectors[position] = vectors[strings.index(name)] + 0.1 * vectors[position]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    save_table(text, TextTable(tuple(strings), vectors, {"encoder": "random"}))
    write_manifest(folder / "scenes.manifest.json", tree_hashes(scenes), {})
    write_manifest(folder / "captions" / "set.manifest.json", tree_hashes(captions), {"captioners": ["hand"]})
    return TinyRow(tiny_settings(), scenes, captions, text, ids["train"])


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
