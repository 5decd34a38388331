"""What instance segmentation passes around, and its thresholds. No torch at run time: configuration imports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class InstanceSettings:
    """Every threshold of the instance head; the defaults are the original's.

    shift: first class position that has instances (0 and 1 are wall and floor). warmup_epochs: epochs in which only
    offsets are trained. score_threshold: probability above which a point is a candidate of a class. min_candidates: a
    class with fewer candidates in the batch is left out. radius: metres within which shifted points are joined.
    max_neighbours: of a point, the first so many in index order count. min_points: of a proposal. max_proposals: keep
    only the first so many (memory; None for all). max_retry_proposals: the same where training found none and lowered
    ``min_points`` (the original's 200 sits there). voxels_per_metre, grid: a proposal is voxelised that finely, or
    coarser so that it fits ``grid`` cells along each axis. positive_iou: with an instance, from which a proposal
    trains the mask. mask_threshold: mask logit above which a point belongs to the mask. min_class_score,
    min_mask_points: of a prediction.
    """

    shift: int = 2
    warmup_epochs: int = 32
    score_threshold: float = 0.2
    min_candidates: int = 100
    radius: float = 0.04
    max_neighbours: int = 1000
    min_points: int = 50
    max_proposals: int | None = None
    max_retry_proposals: int = 200
    voxels_per_metre: float = 50.0
    grid: int = 20
    positive_iou: float = 0.5
    mask_threshold: float = -0.5
    min_class_score: float = 0.001
    min_mask_points: int = 100

    def __post_init__(self) -> None:
        for name in ("max_neighbours", "min_points", "max_retry_proposals", "grid"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name in ("radius", "voxels_per_metre", "positive_iou"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected more than 0")
        if self.max_proposals is not None and self.max_proposals < 1:
            raise ValueError(f"max_proposals is {self.max_proposals}; expected at least 1, or none")


@dataclass(frozen=True)
class Proposals:
    """P groups of points that may each be an instance; groups of different classes may overlap.

    offsets: int64 [P + 1]; point_ids: int64 [offsets[-1]], positions among the batch's N points; proposal p has
    ``point_ids[offsets[p]:offsets[p + 1]]``, ascending. Order: class by class, within a class by first point.
    scene: int64 [P], scene of each.
    """

    offsets: Tensor
    point_ids: Tensor
    scene: Tensor

    def __len__(self) -> int:
        return len(self.scene)

    @property
    def sizes(self) -> Tensor:
        """int64 [P]: number of points."""
        return self.offsets.diff()

    @property
    def rows(self) -> Tensor:
        """int64 [offsets[-1]]: proposal of each entry of ``point_ids``."""
        import torch  # here, because configuration imports this module

        return torch.repeat_interleave(self.sizes, output_size=len(self.point_ids))

    def first(self, count: int) -> Proposals:
        """The first ``count`` proposals, or all if there are fewer."""
        if len(self) <= count:
            return self
        offsets = self.offsets[: count + 1]
        return Proposals(offsets, self.point_ids[: int(offsets[-1])], self.scene[:count])

    def to(self, device: torch.device | str) -> Proposals:
        """The same proposals on ``device``."""
        return Proposals(self.offsets.to(device), self.point_ids.to(device), self.scene.to(device))
