"""A row of drives small enough to train in a second: a road with boxes on it, seen by a few sweeps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from tiny_rooms import DIMENSION, REPOSITORY, TinyRow

from regionzoo.artifacts import tree_hashes, write_manifest
from regionzoo.captions.store import from_regions, save_captions
from regionzoo.classes import class_set
from regionzoo.config import Params
from regionzoo.features.store import FeatureIndex, write_index
from regionzoo.scenes.drives import Drive, save_drive
from regionzoo.settings.train import Network, TrainSettings
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.table import TextTable, save_table

OBJECTS = ("driveable_surface", "car", "vegetation", "pedestrian", "manmade")
"""What each sweep shows; the pedestrians are novel."""
ROAD, BOX, STRAY = 200, 70, 9
POINTS = ROAD + 4 * BOX + STRAY
"""Of a keyframe, but for the odd ones, which lack a point."""


def sweep(drive: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """float32 coords [n, 3], float32 intensity [n] and int16 label [n] of one sweep; some points have no class."""
    rng = np.random.default_rng([11, drive, number])
    names = class_set("nuscenes16")
    road = np.column_stack([rng.uniform(-4, 4, (ROAD, 2)), rng.normal(-1.8, 0.02, ROAD)])
    parts, labels = [road], [np.full(ROAD, names.index(OBJECTS[0]))]
    for k, name in enumerate(OBJECTS[1:]):
        corner = np.array([[-3, -3], [-3, 1], [1, -3], [1, 1]][k]) + rng.uniform(0, 1, 2)
        size = np.array([[1.6, 1.0, 0.6], [1.0, 1.0, 1.4], [0.5, 0.5, 1.8], [1.5, 0.3, 2.2]][k])
        box = rng.uniform(0, 1, (BOX, 3)) * size + [*corner, -1.75]
        parts.append(box)
        labels.append(np.full(BOX, names.index(name)))
    parts.append(rng.uniform(-4, 4, (STRAY, 3)))
    labels.append(np.full(STRAY, -100))
    label = np.concatenate(labels).astype(np.int16)
    glow = np.where(label < 0, 3, 14 * (label % 7) + 20) + rng.normal(0, 3, len(label))
    # Every sweep in an order of its own, so that no keyframe can be taken for another.
    order = rng.permutation(POINTS)[: POINTS - number % 2]
    coords = np.concatenate(parts).astype(np.float32)
    return coords[order], np.clip(glow, 0, 255).astype(np.float32)[order], label[order]


def tiny_drive(index: int, split: str, keyframes: int) -> Drive:
    """Sweeps one after another; every odd one is a point shorter."""
    sweeps = [sweep(index, number) for number in range(keyframes)]
    coords, glow, label = (np.concatenate(parts) for parts in zip(*sweeps, strict=True))
    return Drive(
        scene_id=f"scene-{index:04}",
        split=split,
        source="synthetic-streets",
        coords=coords,
        intensity=glow,
        labels={"nuscenes16": label},
        group=np.full(len(coords), -100, np.int32),
        offsets=np.cumsum([0, *(len(part[0]) for part in sweeps)]),
        tokens=tuple(f"{index}-{number}" for number in range(keyframes)),
        categories=(),
        images=tuple(("none.jpg",) * 6 for _ in sweeps),
        intrinsics=np.tile(np.eye(3), (keyframes, 6, 1, 1)),
        lidar_to_camera=np.tile(np.eye(4), (keyframes, 6, 1, 1)),
    )


def caption_of(name: str, drive: int) -> str:
    """Every drive has captions of its own, so that gathering them makes a difference."""
    return f"a {name} of drive {drive}"


def save_drive_captions(folder: Path, drive: Drive, index: int) -> None:
    """One region an object and keyframe, those of a keyframe not next to each other, and one without points."""
    names, texts, regions = [], [], []
    for name in OBJECTS:
        for number in range(drive.keyframes):
            part = drive.part(number)
            points = part.start + np.flatnonzero(
                drive.labels["nuscenes16"][part] == class_set("nuscenes16").index(name)
            )
            names.append(f"{number:03}_{name}")
            texts.append(caption_of(name, index))
            regions.append(points)
    names.append("000_empty")
    texts.append(caption_of(OBJECTS[0], index))
    regions.append(np.zeros(0, np.int64))
    captions = from_regions(drive.scene_id, drive.coords_sha256, len(drive), names, texts, regions)
    save_captions(folder / f"{drive.scene_id}.safetensors", captions)


def tiny_table(drives: int) -> TextTable:
    """Random vectors; those of captions lie near the class that they name."""
    prompts = class_prompts("nuscenes16", "identity")
    of_class = {name: prompts[class_set("nuscenes16").index(name)] for name in OBJECTS}
    captions = {caption_of(name, drive): of_class[name] for name in OBJECTS for drive in range(drives)}
    strings = tuple(sorted({*prompts, *captions}))
    vectors = np.random.default_rng(0).standard_normal((len(strings), DIMENSION)).astype(np.float32)
    for text, prompt in captions.items():
        vectors[strings.index(text)] = vectors[strings.index(prompt)] + 0.1 * vectors[strings.index(text)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return TextTable(strings, vectors, {"encoder": "random"})


def make_tiny_drives(folder: Path, train: int = 3, val: int = 2, keyframes: int = 2) -> TinyRow:
    """Write drives, captions and a text table below ``folder``, with their manifests, as the stages would."""
    scenes, captions, text = folder / "scenes", folder / "captions" / "set", folder / "text.safetensors"
    features = folder / "features" / "none"
    ids: dict[str, list[str]] = {"train": [], "val": []}
    for index in range(train + val):
        drive = tiny_drive(index, "train" if index < train else "val", keyframes)
        ids[drive.split].append(drive.scene_id)
        save_drive(scenes / f"{drive.scene_id}.safetensors", drive)
        if drive.split == "train":
            save_drive_captions(captions, drive, index)
    (scenes / "splits.json").write_text(json.dumps(ids))
    save_table(text, tiny_table(train))
    write_index(features, FeatureIndex(0, {"provider": "none"}, {}))
    write_manifest(folder / "scenes.manifest.json", tree_hashes(scenes), {})
    write_manifest(folder / "captions" / "set.manifest.json", tree_hashes(captions), {"captioners": ["hand"]})
    write_manifest(folder / "features" / "none.manifest.json", tree_hashes(features), {})
    return TinyRow(tiny_street_settings(), scenes, captions, features, text, ids["train"])


def shipped_settings(row: str, scale: str = "small") -> TrainSettings:
    """A row of ``params.yaml``."""
    plain = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    return Params.check(plain | {"scale": scale}, "params.yaml").train(row)


def tiny_street_settings() -> TrainSettings:
    """The shipped row with the published voxels, a network of three narrow levels, and two epochs."""
    settings = shipped_settings("nuscenes_b12n3")
    sizes = {"epochs": 2, "shards": 1, "scenes_per_shard": 2, "repeat": 1, "voxel_size": (0.2, 0.2, 0.1)}
    recipe = settings.recipe.model_copy(update=sizes)
    network = Network(in_channels=4, widths=(4, 6, 8), block_reps=1, adapter_layers=1, adapter_last_norm=True)
    return settings.model_copy(update={"recipe": recipe, "network": network, "row": "tiny"})
