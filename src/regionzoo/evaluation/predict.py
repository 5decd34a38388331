"""Every validation scene through the network once; what it says of each point goes to the predictions store.

A drive is a scene of many sweeps: they go through the network one by one, and into one file together.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from regionzoo.classes import class_set
from regionzoo.evaluation.instance_store import SUFFIX as INSTANCES
from regionzoo.evaluation.instance_store import InstancePredictions, save_instances
from regionzoo.evaluation.predictions import SUFFIX, VARIANTS, Predictions, Variant, background, save_predictions
from regionzoo.evaluation.run_length import Masks
from regionzoo.models.batch import Batch
from regionzoo.models.network import Encoded, RegionNet
from regionzoo.models.text_head import IGNORED_LOGIT, calibrate
from regionzoo.progress import Meter
from regionzoo.scenes import drives
from regionzoo.scenes.store import Scene, load_metadata, load_scene
from regionzoo.training.collate import collate, collate_sweeps
from regionzoo.training.dataset import evaluation_item
from regionzoo.training.distributed import World
from regionzoo.training.sweeps import evaluation_sweep
from regionzoo.training.voxels import VoxelSize


def device_name(device: torch.device) -> str:
    """Human name of a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


@torch.no_grad()
def point_labels(
    network: RegionNet, encoded: Encoded, batch: Batch, name: str
) -> tuple[dict[Variant, np.ndarray], np.ndarray | None]:
    """int16 [N] labels of every variant, and uint8 [N] decisions of the binary head (None without one).

    encoded: ``network.encode(batch)``. name: the class set that the network is asked for.
    """
    binary = encoded.binary
    scores = network.task_head.cls_head(encoded.adapted).float()
    roles = network.partition
    masked = _without(scores, roles.ignore_idx)
    row = masked if binary is None else calibrate(masked, binary.float(), roles.base_idx, roles.novel_idx)
    classes = class_set(name)
    behind = tuple(classes.index(entry) for entry in background(name))
    best = {"row": row, "masked": masked, "all": scores, "foreground": _without(scores, behind)}
    labels: dict[Variant, np.ndarray] = {
        variant: _of_points(values.argmax(1), batch.v2p).astype(np.int16) for variant, values in best.items()
    }
    if binary is None:
        return labels, None
    return labels, _of_points(torch.sigmoid(binary.float()) > 0.5, batch.v2p).astype(np.uint8)


def predict_scenes(
    network: RegionNet,
    scenes_dir: Path,
    scene_ids: Sequence[str],
    name: str,
    voxel_size: VoxelSize,
    out: Path,
    here: World,
    title: str,
) -> None:
    """Write ``out/<scene>.safetensors`` of every scene or drive, in float32, each by exactly one of the processes.

    name: the class set that the network is asked for.
    """
    network.eval()
    mine = list(here.mine(len(scene_ids)))
    with Meter(title, len(mine), quiet=not here.leader) as meter:
        for done, index in enumerate(mine, 1):
            path = scenes_dir / f"{scene_ids[index]}{SUFFIX}"
            if load_metadata(path).get("kind") == drives.KIND:
                found = predict_drive(network, path, name, voxel_size, here.device)
            else:
                found = _predict_room(network, load_scene(path), name, voxel_size, out, here.device)
            save_predictions(out / f"{found.scene_id}{SUFFIX}", found)
            meter.update(done)


@torch.no_grad()
def predict_drive(
    network: RegionNet, path: Path, name: str, voxel_size: VoxelSize, device: torch.device
) -> Predictions:
    """Predictions for all points of a stored drive in order, a keyframe at a time; switch to evaluation before."""
    metadata = drives.drive_metadata(path)
    labels: dict[Variant, list[np.ndarray]] = {variant: [] for variant in VARIANTS}
    is_base: list[np.ndarray] = []
    for number in range(int(metadata["keyframes"])):
        batch = collate_sweeps([evaluation_sweep(drives.load_keyframe(path, number), voxel_size)]).to(device)
        of_keyframe, decided = point_labels(network, network.encode(batch), batch, name)
        for variant, values in of_keyframe.items():
            labels[variant].append(values)
        if decided is not None:
            is_base.append(decided)
    joined = {variant: np.concatenate(parts) for variant, parts in labels.items()}
    both = np.concatenate(is_base) if is_base else None
    return Predictions(metadata["scene_id"], metadata["coords_sha256"], name, joined, both)


@torch.no_grad()
def _predict_room(
    network: RegionNet, scene: Scene, name: str, voxel_size: VoxelSize, out: Path, device: torch.device
) -> Predictions:
    batch = collate([evaluation_item(scene, voxel_size)]).to(device)
    encoded = network.encode(batch)
    labels, is_base = point_labels(network, encoded, batch, name)
    if network.inst_head is not None:
        save_instances(out / f"{scene.scene_id}{INSTANCES}", _instances(network, encoded, batch, scene, name))
    return Predictions(scene.scene_id, scene.coords_sha256, name, labels, is_base)


def _instances(network: RegionNet, encoded: Encoded, batch: Batch, scene: Scene, name: str) -> InstancePredictions:
    found = network.find_instances(encoded, batch)
    return InstancePredictions(
        scene_id=scene.scene_id,
        coords_sha256=scene.coords_sha256,
        masks=Masks.of_csr(found.mask_offsets, found.mask_points, len(scene)),
        mask=found.mask,
        label=found.label,
        score=found.score,
        no_proposals=found.no_proposals,
        class_set=name,
    )


def _without(scores: Tensor, classes: tuple[int, ...]) -> Tensor:
    if not classes:
        return scores
    return scores.index_fill(1, torch.tensor(classes, device=scores.device), IGNORED_LOGIT)


def _of_points(of_voxels: Tensor, v2p: Tensor) -> np.ndarray:
    return of_voxels.index_select(0, v2p).cpu().numpy()
