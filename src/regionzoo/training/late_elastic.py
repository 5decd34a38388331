"""Elastic distortion on the device: a batch' points are moved there, with the bits that a CPU gives.

Every operation is one that IEEE 754 fixes and PyTorch does apart from its neighbours, in SciPy's order
(:mod:`regionzoo.training.trilinear`); nothing is summed over points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regionzoo.settings.train import Elastic
from regionzoo.training.voxels import VoxelSize


@dataclass(frozen=True)
class Distortion:
    """What is still to be done to a scene: the volumes of each round (:func:`regionzoo.training.elastic.drawn`)."""

    volumes: tuple[np.ndarray, ...]
    rounds: tuple[Elastic, ...]
    voxel_size: VoxelSize


@dataclass(frozen=True)
class Grids:
    """One round's grids of S scenes.

    values: float32 [3, M], the nodes of all scenes side by side. sizes: int64 [S, 3] nodes. starts: int64 [S], where
    each scene's nodes begin. granularity: float64 [1], a tensor because a GPU divides by a number inexactly.
    """

    values: Tensor
    sizes: Tensor
    starts: Tensor
    granularity: Tensor
    magnitude: float


@dataclass(frozen=True)
class DistortionBatch:
    """Distortions of those scenes of a batch that have one, all of the same rounds.

    spans: for each of these scenes, its first point in the batch and the one behind its last. counts: int64 [S], their
    points. voxel_size: float64 [3], metres.
    """

    spans: tuple[tuple[int, int], ...]
    counts: Tensor
    grids: tuple[Grids, ...]
    voxel_size: Tensor

    def voxels(self, points: Tensor, coords: Tensor) -> Tensor:
        """``coords`` int64 [N, 4] with the voxels of the distorted scenes in columns 1 to 3.

        points: float32 [N, 3] metres, before the distortion.
        """
        moved = torch.cat([points[start:stop] for start, stop in self.spans]).double()
        numbers = torch.arange(len(self.spans), device=points.device)
        scene = numbers.repeat_interleave(self.counts, output_size=len(moved))
        for grids in self.grids:
            moved = moved + _displacement(moved, scene, grids).double() * grids.magnitude
        cells = moved / self.voxel_size
        result, taken = coords.clone(), 0
        for start, stop in self.spans:
            part = cells[taken : taken + stop - start]
            # Truncation is floor here: coordinates are never negative.
            result[start:stop, 1:] = (part - part.amin(0)).long()
            taken += stop - start
        return result


def _displacement(points: Tensor, scene: Tensor, grids: Grids) -> Tensor:
    """float32 [n, 3] in magnitudes at float64 points [n, 3]; 0 outside of their scene's grid."""
    sizes, starts = grids.sizes.index_select(0, scene), grids.starts.index_select(0, scene)
    last = sizes - 1
    position = (points / grids.granularity + last) / 2
    low = position.floor()
    upper = position - low
    weights = 1.0 - upper, upper
    whole = low.long()
    steps = sizes[:, 1] * sizes[:, 2], sizes[:, 2], torch.ones_like(starts)
    first = whole[:, 0] * steps[0] + whole[:, 1] * steps[1] + whole[:, 2]
    nodes = sizes[:, 0] * steps[0]
    values = grids.values.double()
    total = torch.zeros((3, len(points)), dtype=torch.float64, device=points.device)
    for corner in np.ndindex(2, 2, 2):
        place = first
        for axis in range(3):
            if corner[axis]:
                place = place + steps[axis]
        # Corners beyond the last node have weight 0, whatever is read there.
        part = values.index_select(1, torch.minimum(place.clamp(min=0), nodes - 1) + starts)
        for axis, side in enumerate(corner):
            part = part * weights[side][:, axis]
        total = total + part
    outside = ((position < 0) | (position > last)).any(1)
    return total.float().masked_fill(outside, 0).t()


def batched(distortions: Sequence[Distortion | None], offsets: Sequence[int]) -> DistortionBatch | None:
    """The distortions of a batch' scenes, whose points are ``offsets[b]:offsets[b + 1]``; None if none has one."""
    found = [(k, distortion) for k, distortion in enumerate(distortions) if distortion is not None]
    if not found:
        return None
    spans = tuple((int(offsets[k]), int(offsets[k + 1])) for k, _ in found)
    one = found[0][1]
    size = one.voxel_size if isinstance(one.voxel_size, tuple) else (one.voxel_size,) * 3
    return DistortionBatch(
        spans=spans,
        counts=torch.tensor([stop - start for start, stop in spans]),
        grids=tuple(
            _grids([distortion.volumes[number] for _, distortion in found], settings)
            for number, settings in enumerate(one.rounds)
        ),
        voxel_size=torch.tensor(size, dtype=torch.float64),
    )


def _grids(volumes: Sequence[np.ndarray], settings: Elastic) -> Grids:
    nodes = np.cumsum([0, *(volume[0].size for volume in volumes)])
    return Grids(
        values=torch.from_numpy(np.concatenate([volume.reshape(3, -1) for volume in volumes], axis=1)),
        sizes=torch.tensor([volume.shape[1:] for volume in volumes]),
        starts=torch.from_numpy(nodes[:-1]),
        granularity=torch.tensor([settings.granularity], dtype=torch.float64),
        magnitude=settings.magnitude,
    )
