"""Augmentation on the device: what was drawn for rooms is done to their points there, with the bits that a CPU gives.

Every operation is one that IEEE 754 fixes, apart from its neighbours and in the order of
:mod:`regionzoo.training.augment` and :mod:`regionzoo.training.trilinear`; nothing is summed over points. With Triton
one kernel places all points and one more for each round distorts them; without, plain PyTorch does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from regionzoo.models.triton_use import runs_triton
from regionzoo.training.room_points import LateRoom


@dataclass(frozen=True)
class PlacedPoints:
    """N points of B rooms.

    coords: int32 or int64 [N, 4], rows (scene, x, y, z) in voxels, non-negative. sizes: of each column, the least
    number above all. feats: float32 [N, 6], the last three x, y, z in metres.
    """

    coords: Tensor
    sizes: tuple[int, int, int, int]
    feats: Tensor

    def placed(self) -> PlacedPoints:
        """These."""
        return self


@dataclass(frozen=True)
class Grids:
    """One round of elastic distortion of B rooms.

    values: float32 [3, M], the nodes of all rooms side by side. sizes: int64 [B, 3] nodes. starts: int64 [B], where
    each room's nodes begin. scale: float64 [2], granularity and magnitude, a tensor because a GPU divides by a number
    inexactly.
    """

    values: Tensor
    sizes: Tensor
    starts: Tensor
    scale: Tensor


@dataclass(frozen=True)
class LatePoints:
    """N points of B rooms as they are stored, and what was drawn for the rooms.

    points: float32 [N, 3] metres. colors: uint8 [N, 3]. bounds: where each room's points begin, and the end of the
    last; offsets: the same, int64 [B + 1]. matrices: float64 [B, 3, 3]. color_shifts, lows, windows: float64 [B, 3]
    (:class:`~regionzoo.training.room_points.LateRoom`; a low that is to be found is NaN). voxel_size: float64 [3].
    """

    points: Tensor
    colors: Tensor
    bounds: tuple[int, ...]
    offsets: Tensor
    matrices: Tensor
    color_shifts: Tensor
    lows: Tensor
    windows: Tensor
    grids: tuple[Grids, ...]
    voxel_size: Tensor

    def placed(self) -> PlacedPoints:
        """The points after their augmentation, on the device that they are on; their extent is waited for.

        ``ValueError`` for an extent that no room has.
        """
        numbers = torch.arange(len(self.bounds) - 1, device=self.points.device)
        scene = numbers.repeat_interleave(self.offsets.diff(), output_size=len(self.points))
        if runs_triton(self.points):
            from regionzoo.training.late_kernels import distort, place

            longest = max(stop - start for start, stop in pairwise(self.bounds))
            feats, moved = place(self.points, self.colors, self.offsets, longest, self.matrices, self.color_shifts)
            for grids in self.grids:
                distort(moved, self.offsets, longest, grids.values, grids.sizes, grids.starts, grids.scale)
        else:
            feats = self._feats(scene)
            moved = feats[:, 3:].double()
            for grids in self.grids:
                moved = moved + _displacement(moved, scene, grids).double() * grids.scale[1]
        cells = moved / self.voxel_size
        least = torch.stack([cells[start:stop].amin(0) for start, stop in pairwise(self.bounds)])
        lows = torch.where(self.lows.isnan(), least, self.lows)
        cells = cells - lows.index_select(0, scene) + self.windows.index_select(0, scene)
        # Truncation is floor here: coordinates are never negative.
        coords = torch.cat([scene.unsqueeze(1), cells.long()], 1)
        x, y, z = (coords[:, 1:].amax(0) + 1).tolist()
        if max(x, y, z) >= 2**31:
            raise ValueError(f"voxels up to {(x - 1, y - 1, z - 1)}; are the points in metres?")
        return PlacedPoints(coords, (len(numbers), x, y, z), feats)

    def _feats(self, scene: Tensor) -> Tensor:
        exact, matrices = self.points.double(), self.matrices.index_select(0, scene)
        x, y, z = (exact[:, k : k + 1] * matrices[:, k] for k in range(3))
        colors = self.colors.float() / torch.full((1,), 127.5, device=self.colors.device) - 1
        shifted = colors.double() + self.color_shifts.index_select(0, scene)
        return torch.cat([shifted.float(), (x + y + z).float()], 1)


def _displacement(points: Tensor, scene: Tensor, grids: Grids) -> Tensor:
    """float32 [N, 3] in magnitudes at float64 points [N, 3]; 0 outside of their room's grid."""
    sizes, starts = grids.sizes.index_select(0, scene), grids.starts.index_select(0, scene)
    last = sizes - 1
    position = (points / grids.scale[0] + last) / 2
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


def joined(rooms: Sequence[LateRoom]) -> LatePoints:
    """The points of the rooms of a batch, none of them empty."""
    bounds = np.cumsum([0, *map(len, rooms)])
    one = rooms[0]
    size = one.voxel_size if isinstance(one.voxel_size, tuple) else (one.voxel_size,) * 3
    unknown = np.full(3, np.nan)

    def stacked(parts: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(parts).astype(np.float64))

    return LatePoints(
        points=torch.from_numpy(np.concatenate([room.points for room in rooms])),
        colors=torch.from_numpy(np.concatenate([room.colors for room in rooms])),
        bounds=tuple(bounds.tolist()),
        offsets=torch.from_numpy(bounds),
        matrices=stacked([room.matrix for room in rooms]),
        color_shifts=stacked([room.color_shift for room in rooms]),
        lows=stacked([unknown if room.low is None else room.low for room in rooms]),
        windows=stacked([room.window for room in rooms]),
        grids=tuple(
            _grids([room.volumes[number] for room in rooms], settings.granularity, settings.magnitude)
            for number, settings in enumerate(one.rounds)
        ),
        voxel_size=torch.tensor(size, dtype=torch.float64),
    )


def _grids(volumes: Sequence[np.ndarray], granularity: float, magnitude: float) -> Grids:
    nodes = np.cumsum([0, *(volume[0].size for volume in volumes)])
    return Grids(
        values=torch.from_numpy(np.concatenate([volume.reshape(3, -1) for volume in volumes], axis=1)),
        sizes=torch.tensor([volume.shape[1:] for volume in volumes]),
        starts=torch.from_numpy(nodes[:-1]),
        scale=torch.tensor([granularity, magnitude], dtype=torch.float64),
    )
