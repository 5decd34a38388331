"""Small stored scenes with captions, and the files in which the original's authors would release them."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
from pickled import write_pickle

from regionzoo.scenes.drives import Drive, save_drive
from regionzoo.scenes.nuscenes_layout import CAMERAS
from regionzoo.scenes.store import Scene, save_scene

Regions = dict[str, tuple[str, list[int]]]
"""Region -> its caption and its point ids, ascending."""


def store_scenes(folder: Path, sizes: dict[str, int]) -> None:
    """Scenes with as many vertices."""
    for scene_id, n in sizes.items():
        rng = np.random.default_rng([7, n])
        nothing = np.zeros(n, np.int32)
        coords = rng.random((n, 3), np.float32)
        scene = Scene(scene_id, "train", "scannet", coords, np.zeros((n, 3), np.uint8), nothing, nothing, {})
        save_scene(folder / f"{scene_id}.safetensors", scene)


def store_drive(folder: Path, scene_id: str, sweeps: dict[str, int]) -> None:
    """A drive with a keyframe of so many points for each lidar file, in temporal order."""
    n, f = sum(sweeps.values()), len(sweeps)
    drive = Drive(
        scene_id=scene_id,
        split="train",
        source="nuscenes",
        coords=np.random.default_rng([8, n]).random((n, 3), np.float32),
        intensity=np.zeros(n),
        labels={},
        group=np.full(n, -100),
        offsets=np.concatenate([[0], np.cumsum(list(sweeps.values()))]),
        tokens=tuple(f"token{k}" for k in range(f)),
        categories=(),
        images=tuple(tuple(f"samples/{camera}/{k}.jpg" for camera in CAMERAS) for k in range(f)),
        intrinsics=np.zeros((f, 6, 3, 3)),
        lidar_to_camera=np.zeros((f, 6, 4, 4)),
        raw_sha256={"tables": "0", "lidarseg/v1.0-mini/0_lidarseg.bin": "1"} | dict.fromkeys(sweeps, "2"),
    )
    save_drive(folder / f"{scene_id}.safetensors", drive)


def random_captions(sizes: dict[str, int], seed: int = 0, regions: int = 5) -> dict[str, Regions]:
    """Scene -> regions, names as the generators and the fusion make them; one region of each scene has no points."""
    rng = np.random.default_rng([9, seed])
    captions: dict[str, Regions] = {}
    for scene_id, n in sizes.items():
        names = [f"{100 * k:06d}_{k % 2}" for k in range(regions - 2)] + ["app_1_0", "7"]
        points = [sorted(rng.choice(n, rng.integers(1, n), replace=False).tolist()) for _ in names[1:]] + [[]]
        captions[scene_id] = {
            name: (f"a thing {rng.integers(4)} in {scene_id}", ids) for name, ids in zip(names, points, strict=True)
        }
    return captions


def write_texts(path: Path, captions: dict[str, Regions]) -> Path:
    """Regions in descending order of their names: they are to be looked up."""
    content = {
        scene: {name: regions[name][0] for name in sorted(regions, reverse=True)} for scene, regions in captions.items()
    }
    path.write_text(json.dumps(content))
    return path


def tensor_of(ids: list[int], kind: str) -> object:
    """The ids as one of the things that indices hold."""
    if kind == "range":
        return range(ids[0], ids[-1] + 1) if ids and ids == list(range(ids[0], ids[-1] + 1)) else ids
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](ids)
    if kind.startswith("numpy"):
        return np.array(ids, kind.split(".")[1])
    import torch

    return torch.tensor(ids, dtype=getattr(torch, kind))


def write_index(path: Path, captions: dict[str, Regions], layout: str, kind: str = "int32", protocol: int = 4) -> Path:
    """layout: "list", "dict", "ordered", "folder", or "folder of entries"."""
    infos = {
        scene: {name: tensor_of(ids, kind) for name, (_, ids) in regions.items()} for scene, regions in captions.items()
    }
    entries = [
        {"scene_name": scene, "infos": regions, "boxes": {name: np.ones(4, np.float32) for name in regions}}
        for scene, regions in infos.items()
    ]
    if layout == "list":
        return write_pickle(path, entries, protocol)
    if layout == "dict":
        return write_pickle(path, infos, protocol)
    if layout == "ordered":
        return write_pickle(
            path, OrderedDict((scene, OrderedDict(regions)) for scene, regions in infos.items()), protocol
        )
    for entry in entries:
        content = entry["infos"] if layout == "folder" else entry
        write_pickle(path / f"{entry['scene_name']}.pickle", content, protocol)
    return path
