"""Instances of a scan in one pass of the network: run-length masks, benchmark text files, a number a point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from regionzoo.apply.clouds import Cloud
from regionzoo.apply.grid import Voxels
from regionzoo.apply.weights import Weights
from regionzoo.artifacts import replaced_folder
from regionzoo.evaluation.instance_store import InstancePredictions
from regionzoo.evaluation.run_length import Masks
from regionzoo.evaluation.submission import write_instances
from regionzoo.models.batch import Batch
from regionzoo.models.network import RegionNet
from regionzoo.report.scene_pictures import Predictions, best_predictions
from regionzoo.scenes.centring import centred
from regionzoo.scenes.store import coords_hash

LEAST_SCORE = 0.1
"""A point's number is that of its best mask with at least this score."""


@torch.no_grad()
def find(
    network: RegionNet, cloud: Cloud, voxels: Voxels, weights: Weights, device: torch.device
) -> InstancePredictions:
    """The instances of a scan; points without finite coordinates belong to none."""
    usable = np.flatnonzero(voxels.v2p >= 0)
    v2p = torch.from_numpy(voxels.v2p[usable].astype(np.int64))
    points = torch.from_numpy(centred(cloud.coords[usable]))
    batch = Batch(
        voxel_coords=torch.cat([voxels.coords.new_zeros((len(voxels), 1)), voxels.coords], 1),
        spatial_shape=voxels.extent,
        voxel_feats=voxels.feats,
        v2p=v2p,
        point_offsets=torch.tensor([0, len(v2p)]),
        points=points,
    ).to(device)
    found = network.find_instances(network.encode(batch), batch)
    return InstancePredictions(
        scene_id=cloud.name,
        coords_sha256=coords_hash(cloud.coords),
        masks=Masks.of_csr(found.mask_offsets, usable[found.mask_points], len(cloud)),
        mask=found.mask,
        label=found.label,
        score=found.score,
        no_proposals=found.no_proposals,
        class_set=weights.classes.set,
    )


def instance_arrays(found: InstancePredictions) -> dict[str, np.ndarray]:
    """Arrays of an archive: masks as runs of point ids, and predictions, which may share masks.

    ``instance_offsets`` int32 [M + 1], ``instance_starts``, ``instance_lengths`` int32 [runs]: mask m has the runs
    ``offsets[m]:offsets[m + 1]``. ``instance_mask`` int32 [R], ``instance_label`` int16 [R] and ``instance_score``
    float32 [R] are of the predictions.
    """
    masks = found.masks
    return {
        "instance_offsets": masks.offsets,
        "instance_starts": masks.starts,
        "instance_lengths": masks.lengths,
        "instance_mask": found.mask,
        "instance_label": found.label,
        "instance_score": found.score,
    }


def instance_of_points(found: InstancePredictions, count: int) -> np.ndarray:
    """int32 [N]: number of the best mask that has the point, 0 for the best of all, -1 for none."""
    masks = [found.masks.ids(m, m + 1)[1] for m in range(len(found.masks))]
    best = best_predictions(Predictions(masks, found.mask, found.label, found.score), count, LEAST_SCORE, len(masks))
    owner = np.full(count, -1, np.int32)
    for number, entry in enumerate(best):
        owner[entry.paint] = number
    return owner


def write_benchmark(folder: Path, found: InstancePredictions) -> None:
    """Write the instances as the ScanNet benchmark takes them, in place of what ``folder`` held."""
    with replaced_folder(folder) as fresh:
        write_instances(fresh, found)
