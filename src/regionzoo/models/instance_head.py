"""Instance head: offsets to centres, and a small U-Net over each proposal for its mask and its IoU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regionzoo.models.blocks import Grid
from regionzoo.models.instance_types import InstanceSettings, Proposals
from regionzoo.models.norm import VoxelNorm
from regionzoo.models.unet import UBlock
from regionzoo.models.voxelize import voxelize
from regionzoo.sparse.engine import SparseEngine
from regionzoo.sparse.pyramid import Pyramid


@dataclass(frozen=True)
class Refined:
    """mask_logits: float32 [offsets[-1]], one an entry of the proposals' ``point_ids``. iou_logits: float32 [P]."""

    mask_logits: Tensor
    iou_logits: Tensor


class InstanceHead(nn.Module):
    """Names and shapes of the original's ``inst_head``; ``width`` is the backbone's finest."""

    def __init__(self, width: int, block_reps: int = 2) -> None:
        super().__init__()
        self.offset_linear = nn.Sequential(
            nn.Linear(width, width), VoxelNorm(width), nn.ReLU(inplace=True), nn.Linear(width, 3)
        )
        self.tiny_unet = UBlock((width, 2 * width), block_reps)
        self.tiny_unet_outputlayer = nn.Sequential(VoxelNorm(width), nn.ReLU(inplace=True))
        self.mask_linear = nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, 1))
        self.iou_score_linear = nn.Linear(width, 1)

    def offsets(self, feats: Tensor, v2p: Tensor) -> Tensor:
        """Vector from each point to its instance's centre, float32 [N, 3] in metres.

        feats: backbone features [V, c]; v2p: int64 [N]. In training the normalisation sees points, not voxels.
        """
        if self.training:
            return self.offset_linear(feats.index_select(0, v2p)).float()
        return self.offset_linear(feats).float().index_select(0, v2p)

    def refine(
        self,
        feats: Tensor,
        v2p: Tensor,
        points: Tensor,
        proposals: Proposals,
        settings: InstanceSettings,
        engine: SparseEngine,
        generator: torch.Generator | None = None,
    ) -> Refined:
        """Mask and IoU logits of P proposals, in float32 whatever the autocast.

        feats: backbone features [V, c]; v2p: int64 [N]; points: float32 [N, 3], not shifted. generator (CPU): draws
        the place of the proposals within their grids in training; None puts them at its corner, as at test.
        """
        with torch.autocast(feats.device.type, enabled=False):
            feats = feats.float()
            if not len(proposals):
                return Refined(feats.new_zeros(0), feats.new_zeros(0))
            rows = proposals.rows
            cells = proposal_cells(
                points.index_select(0, proposals.point_ids), rows, len(proposals), settings, generator
            )
            inside = feats.index_select(0, v2p.index_select(0, proposals.point_ids))
            coords, voxel_of, pooled = voxelize(torch.cat([rows.unsqueeze(1), cells], 1), inside)
            # One stride of 2: any even extent keeps every site's parent.
            grid = Grid(Pyramid(coords, (settings.grid + settings.grid % 2,) * 3, 2), engine)
            out = self.tiny_unet_outputlayer(self.tiny_unet(pooled, grid, []))
            mask = self.mask_linear(out).squeeze(1).index_select(0, voxel_of)
            proposal = coords[:, 0].long()
            sums = out.new_zeros((len(proposals), out.shape[1])).index_add(0, proposal, out)
            counts = torch.bincount(proposal, minlength=len(proposals)).unsqueeze(1)
            return Refined(mask, self.iou_score_linear(sums / counts).squeeze(1))


def proposal_cells(
    points: Tensor, rows: Tensor, count: int, settings: InstanceSettings, generator: torch.Generator | None
) -> Tensor:
    """int64 [n, 3]: cell of each point in its proposal's own grid, every coordinate within ``0 <= . < grid``.

    points: float32 [n, 3]; rows: int64 [n], proposal of each, all of 0..count-1 occurring.
    """
    index = rows.unsqueeze(1).expand(-1, 3)
    low = points.new_empty((count, 3)).scatter_reduce_(0, index, points, "amin", include_self=False)
    high = points.new_empty((count, 3)).scatter_reduce_(0, index, points, "amax", include_self=False)
    scale = (settings.grid / (high - low).amax(1) - 0.01).clamp(max=settings.voxels_per_metre).unsqueeze(1)
    corner = low * scale
    if generator is not None:
        free = settings.grid - (high * scale - corner)
        # Drawn on the CPU, and twice whatever the sizes are: the same place on every device.
        shift, other = torch.rand((2, 3), generator=generator).to(points.device)
        corner = corner - (free - 0.001).clamp(min=0) * shift - (free + 0.001).clamp(max=0) * other
    local = points * scale.index_select(0, rows) - corner.index_select(0, rows)
    # Rounding of large coordinates must not leave the grid.
    return local.long().clamp_(0, settings.grid - 1)
