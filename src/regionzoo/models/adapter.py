"""Vision-language adapter: backbone features into the space of the text vectors."""

from __future__ import annotations

from torch import Tensor, nn

from regionzoo.models.norm import VoxelNorm
from regionzoo.models.settings import ModelSettings


class VLAdapter(nn.Module):
    """Per-voxel MLP [V, c_1] -> [V, D]. With ``adapter_last_norm`` the result is non-negative: it ends in a ReLU."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width, dim = settings.widths[0], settings.embed_dim
        layers: list[nn.Module] = []
        if settings.adapter_layers == 2:
            hidden = settings.adapter_hidden
            layers += [nn.Linear(width, hidden), VoxelNorm(hidden), nn.ReLU(inplace=True)]
            width = hidden
        layers.append(nn.Linear(width, dim))
        if settings.adapter_last_norm:
            layers += [VoxelNorm(dim), nn.ReLU(inplace=True)]
        self.adapter = nn.Sequential(*layers)

    def forward(self, feats: Tensor) -> Tensor:
        """[V, c_1] -> [V, D]."""
        return self.adapter(feats)
