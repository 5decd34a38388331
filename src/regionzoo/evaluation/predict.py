"""Every validation scene through the network once, into one confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from regionzoo.classes import IGNORE_INDOOR
from regionzoo.evaluation.semantic import confusion
from regionzoo.models.network import RegionNet
from regionzoo.models.settings import Partition
from regionzoo.progress import Meter
from regionzoo.scenes.store import load_scene
from regionzoo.training.collate import collate
from regionzoo.training.dataset import evaluation_item
from regionzoo.training.distributed import World, sum_over_world
from regionzoo.training.labels import binary_labels, evaluation_labels


@dataclass(frozen=True)
class Counts:
    """Sums over the validation set.

    matrix: int64 [classes, classes], rows ground truth. binary: int64 [2, 2], rows novel/base truth, columns
    prediction. scenes, points: how many went in.
    """

    matrix: np.ndarray
    binary: np.ndarray
    scenes: int
    points: int


@torch.no_grad()
def count_scenes(
    network: RegionNet,
    scenes_dir: Path,
    scene_ids: list[str],
    classes: str,
    partition: Partition,
    voxel_size: float,
    calibrated: bool,
    here: World,
    title: str,
) -> Counts:
    """Evaluate scene by scene in float32; with several processes each scene is counted by exactly one of them."""
    network.eval()
    n = partition.num_classes
    matrix, binary = np.zeros((n, n), np.int64), np.zeros((2, 2), np.int64)
    points = 0
    mine = list(here.mine(len(scene_ids)))
    with Meter(title, len(mine), quiet=not here.leader) as meter:
        for done, index in enumerate(mine, 1):
            scene = load_scene(scenes_dir / f"{scene_ids[index]}.safetensors")
            batch = collate([evaluation_item(scene, voxel_size)]).to(here.device)
            result = network.predict(batch)
            labels = scene.labels[classes]
            predicted = result.labels(calibrated=calibrated).cpu().numpy()
            matrix += confusion(evaluation_labels(labels, partition), predicted, n, IGNORE_INDOOR)
            if result.binary_logit is not None and partition.base_idx:
                said = (torch.sigmoid(result.binary_logit) > 0.5).cpu().numpy()
                binary += confusion(binary_labels(labels, partition).astype(np.int64), said, 2, IGNORE_INDOOR)
            points += len(scene)
            meter.update(done)
    sums = [torch.from_numpy(matrix), torch.from_numpy(binary), torch.tensor([len(mine), points])]
    sums = [tensor.to(here.device) for tensor in sums]
    sum_over_world(sums, here)
    matrix, binary, totals = (tensor.cpu().numpy() for tensor in sums)
    return Counts(matrix, binary, int(totals[0]), int(totals[1]))
