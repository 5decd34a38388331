"""Small networks and random batches for the tests of the models."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from regionzoo.models.batch import Batch, CaptionBatch
from regionzoo.models.settings import CaptionSettings, ModelSettings, Partition
from regionzoo.models.voxelize import voxelize
from regionzoo.sparse.pyramid import spatial_shape

PARTITION = Partition(base_idx=(4, 0, 2), novel_idx=(1, 5), ignore_idx=(3,))


def small_settings(**changes: object) -> ModelSettings:
    """A three-level network with every head."""
    values: dict[str, object] = {
        "in_channels": 6,
        "widths": (8, 12, 16),
        "block_reps": 2,
        "adapter_layers": 2,
        "adapter_last_norm": True,
        "embed_dim": 24,
        "binary_head": True,
        "eval_only_text": False,
        "caption": CaptionSettings(0.5, "score", novel_grad_only=True),
    }
    return ModelSettings(**(values | changes))


def unit_rows(rows: int, dim: int, rng: torch.Generator) -> torch.Tensor:
    """float32 [rows, dim] of unit length."""
    return F.normalize(torch.randn(rows, dim, generator=rng), dim=1)


def random_captions(points: int, regions: int, unique: int, dim: int, rng: torch.Generator) -> CaptionBatch:
    """Overlapping regions of random sizes, with repeated points and one empty region."""
    sizes = torch.randint(1, 30, (regions,), generator=rng)
    sizes[regions // 2] = 0
    return CaptionBatch(
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
        point_ids=torch.randint(0, points, (int(sizes.sum()),), generator=rng),
        targets=torch.randint(0, unique, (regions,), generator=rng),
        text_vectors=unit_rows(unique, dim, rng),
    )


def random_batch(seed: int = 0, points: int = 1500, dim: int = 24, size: int = 20) -> Batch:
    """Two scenes with about two points a voxel, labels of the three training columns, and captions."""
    rng = torch.Generator().manual_seed(seed)
    scene = (torch.arange(points) >= points // 3).long()
    cells = (torch.rand(points, 3, generator=rng) * torch.tensor([size, size, 3])).long()
    coords = torch.cat([scene[:, None], cells], 1)
    voxel_coords, v2p, voxel_feats = voxelize(coords, torch.randn(points, 6, generator=rng))
    kind = torch.randint(0, 6, (points,), generator=rng)
    return Batch(
        voxel_coords=voxel_coords,
        spatial_shape=spatial_shape(voxel_coords),
        voxel_feats=voxel_feats,
        v2p=v2p,
        point_offsets=torch.tensor([0, points // 3, points]),
        labels=torch.where(kind < 3, kind, -100),
        binary_labels=torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, -100.0])[kind],
        captions=random_captions(points, 9, 5, dim, rng),
    )
