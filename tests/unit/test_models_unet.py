"""The U-Net and both heads, written a second time with dense convolutions straight from the named weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from model_cases import PARTITION, small_settings, unit_rows
from sparse_oracle import dense_down, dense_subm, dense_up, random_sites
from torch import Tensor

from regionzoo.models.batch import Batch
from regionzoo.models.network import RegionNet
from regionzoo.sparse.pyramid import Pyramid

LEVELS = 3
EXTENT = (9, 6, 7)


class DenseNet:
    """Evaluation-mode forward pass over a ``state_dict``, level by level as the published layer list reads."""

    def __init__(self, state: dict[str, Tensor], coords: Tensor) -> None:
        self.state = state
        pyramid = Pyramid(coords, EXTENT, LEVELS)
        self.coords = [pyramid.level(i).coords for i in range(LEVELS)]
        self.extents = [tuple(size >> i for size in EXTENT) for i in range(LEVELS)]

    def norm_relu(self, key: str, x: Tensor) -> Tensor:
        part = [self.state[f"{key}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *part, training=False, eps=1e-4).relu()

    def subm(self, key: str, x: Tensor, i: int) -> Tensor:
        return dense_subm(x, self.state[f"{key}.weight"], self.coords[i], self.extents[i])

    def residual(self, key: str, x: Tensor, i: int) -> Tensor:
        main = self.subm(f"{key}.conv_branch.2", self.norm_relu(f"{key}.conv_branch.0", x), i)
        main = self.subm(f"{key}.conv_branch.5", self.norm_relu(f"{key}.conv_branch.3", main), i)
        skip = self.state.get(f"{key}.i_branch.0.weight")
        return main + (x if skip is None else x @ skip[:, 0, 0, 0].t())

    def decode(self, key: str, encoded: Tensor, deeper: Tensor, i: int) -> Tensor:
        up = dense_up(
            self.norm_relu(f"{key}.deconv.0", deeper),
            self.state[f"{key}.deconv.2.weight"],
            self.coords[i],
            self.coords[i + 1],
            self.extents[i],
        )
        x = self.residual(f"{key}.blocks_tail.block0", torch.cat([encoded, up], 1), i)
        return self.residual(f"{key}.blocks_tail.block1", x, i)

    def __call__(self, feats: Tensor) -> tuple[Tensor, Tensor]:
        x = self.subm("backbone_3d.input_conv.0", feats, 0)
        encoded = []
        for i in range(LEVELS):
            key = "backbone_3d.unet" + ".u" * i
            x = self.residual(f"{key}.blocks.block1", self.residual(f"{key}.blocks.block0", x, i), i)
            encoded.append(x)
            if i < LEVELS - 1:
                weight = self.state[f"{key}.conv.2.weight"]
                x = self.norm_relu(f"{key}.conv.0", x)
                x = dense_down(x, weight, self.coords[i], self.coords[i + 1], self.extents[i])
        decoded, binary = encoded[-1], encoded[-1]
        for i in reversed(range(LEVELS - 1)):
            decoded = self.decode("backbone_3d.unet" + ".u" * i, encoded[i], decoded, i)
            binary = self.decode("binary_head.binary_encoder" + ".u" * i, encoded[i], binary, i)
        x = self.norm_relu("backbone_3d.output_layer.0", decoded)
        x = self.linear("adapter.adapter.0", x)
        x = self.norm_relu(
            "adapter.adapter.4", self.linear("adapter.adapter.3", self.norm_relu("adapter.adapter.1", x))
        )
        binary = self.linear(
            "binary_head.binary_classifier.2", self.norm_relu("binary_head.binary_classifier.0", binary)
        )
        return x @ self.state["task_head.cls_head.weight"].t(), binary[:, 0]

    def linear(self, key: str, x: Tensor) -> Tensor:
        return F.linear(x, self.state[f"{key}.weight"], self.state[f"{key}.bias"])


@pytest.mark.parametrize("seed", [0, 1])
def test_network_equals_its_dense_description(seed):
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = RegionNet(small_settings(), unit_rows(6, 24, rng), PARTITION).double().eval()
    for name, value in net.state_dict().items():
        if name.endswith(("running_mean", "running_var")) or (value.ndim == 1 and name.endswith(("weight", "bias"))):
            value.copy_(torch.rand(value.shape, generator=rng) + 0.5)
    coords = random_sites(EXTENT, 2, 0.3, rng, shuffled=True)
    feats = torch.randn(len(coords), 6, generator=rng, dtype=torch.float64)
    v2p = torch.arange(len(coords))
    prediction = net.predict(Batch(coords, EXTENT, feats, v2p, torch.tensor([0, len(coords)])))
    logits, binary = DenseNet(net.state_dict(), coords)(feats)
    seen = [c for c in range(6) if c not in PARTITION.ignore_idx]
    torch.testing.assert_close(prediction.voxel_logits[:, seen], logits[:, seen].float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(prediction.voxel_binary, binary.float(), rtol=1e-5, atol=1e-5)
