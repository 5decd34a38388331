"""Every validation scene through the network once; what it says of each point goes to the predictions store."""

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
from regionzoo.evaluation.predictions import SUFFIX, Predictions, Variant, background, save_predictions
from regionzoo.evaluation.run_length import Masks
from regionzoo.models.batch import Batch
from regionzoo.models.network import Encoded, RegionNet
from regionzoo.models.text_head import IGNORED_LOGIT, calibrate
from regionzoo.progress import Meter
from regionzoo.scenes.store import Scene, load_scene
from regionzoo.training.collate import collate
from regionzoo.training.dataset import evaluation_item
from regionzoo.training.distributed import World


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
    voxel_size: float,
    out: Path,
    here: World,
    title: str,
) -> None:
    """Write ``out/<scene>.safetensors`` of every scene, in float32, each by exactly one of the processes."""
    network.eval()
    mine = list(here.mine(len(scene_ids)))
    with Meter(title, len(mine), quiet=not here.leader) as meter:
        for done, index in enumerate(mine, 1):
            scene = load_scene(scenes_dir / f"{scene_ids[index]}{SUFFIX}")
            batch = collate([evaluation_item(scene, voxel_size)]).to(here.device)
            with torch.no_grad():
                encoded = network.encode(batch)
            labels, is_base = point_labels(network, encoded, batch, name)
            if network.inst_head is not None:
                save_instances(out / f"{scene.scene_id}{INSTANCES}", _instances(network, encoded, batch, scene, name))
            save_predictions(
                out / f"{scene.scene_id}{SUFFIX}",
                Predictions(scene.scene_id, scene.coords_sha256, name, labels, is_base),
            )
            meter.update(done)


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
