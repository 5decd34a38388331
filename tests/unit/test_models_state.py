"""Names, shapes and sizes of the parameters: checkpoints of the original must fit without renaming."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkpoint_layout import checkpoint
from tiny_drives import shipped_settings

from regionzoo.models.instance_types import InstanceSettings
from regionzoo.models.network import RegionNet
from regionzoo.models.settings import CaptionSettings, ModelSettings, Partition
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.table import TextTable
from regionzoo.training.build import build_network

UNET16 = (16, 32, 48, 64, 80, 96, 112)
UNET32 = (32, 64, 96, 128, 160, 192, 224)
NUSCENES = (32, 64, 128, 256, 256)

# name: widths, in_channels, classes, binary head, adapter layers, last norm, tensors, parameters
MODELS = {
    "scannet_b15n4": (UNET16, 6, 20, True, 2, True, 606, 11_011_586),
    "scannet_inst_b13n4": (UNET16, 6, 20, True, 2, True, 711, 11_194_423),
    "scannet200_b170n30": (UNET32, 6, 200, True, 2, True, 606, 43_972_514),
    "nuscenes_b12n3": (NUSCENES, 4, 16, True, 1, True, 415, 42_981_218),
    "scannet_zs_unet16": (UNET16, 6, 20, False, 2, True, 413, 7_586_385),
    "scannet_zs_unet32": (UNET32, 6, 20, False, 2, True, 413, 30_188_097),
    "scannet_zs_openscene_unet16": (UNET16, 6, 20, False, 2, False, 408, 7_585_361),
    "scannet_zs_openscene_unet32": (UNET32, 6, 20, False, 2, False, 408, 30_187_073),
}


def network(name: str) -> RegionNet:
    widths, inputs, classes, binary, layers, last_norm, *_ = MODELS[name]
    caption = None if "openscene" in name else CaptionSettings(0.5, novel_grad_only=binary)
    settings = ModelSettings(
        in_channels=inputs,
        widths=widths,
        block_reps=2,
        adapter_layers=layers,
        adapter_last_norm=last_norm,
        embed_dim=512,
        binary_head=binary,
        eval_only_text=not binary,
        caption=caption,
        instances=InstanceSettings() if "inst" in name else None,
    )
    with torch.device("meta"):
        embeddings = torch.empty(classes, 512)
        return RegionNet(settings, embeddings, Partition((), tuple(range(classes))))


@pytest.mark.parametrize("name", MODELS)
def test_tensors_and_parameters(name):
    net = network(name)
    *_, tensors, parameters = MODELS[name]
    assert len(net.state_dict()) == tensors
    assert sum(p.numel() for p in net.parameters()) == parameters


@pytest.mark.parametrize("name", MODELS)
def test_every_key_and_shape(name):
    widths, inputs, classes, binary, layers, last_norm, *_ = MODELS[name]
    hidden = {16: 80, 32: 128}[widths[0]]
    ours = {key: list(value.shape) for key, value in network(name).state_dict().items()}
    assert ours == checkpoint(widths, inputs, classes, binary, hidden, layers, last_norm, "inst" in name)


def test_parameters_of_each_module():
    counts = {
        prefix: sum(p.numel() for key, p in network("scannet_inst_b13n4").named_parameters() if key.startswith(prefix))
        for prefix in ("backbone_3d", "adapter", "binary_head", "task_head", "caption_head", "inst_head")
    }
    assert list(counts.values()) == [7_532_128, 44_016, 3_425_201, 10_240, 1, 182_837]


@pytest.mark.parametrize("row", ["nuscenes_b12n3", "nuscenes_b10n5"])
def test_the_rows_of_drives_build_the_original_network(row):
    strings = tuple(sorted(class_prompts("nuscenes16", "identity")))
    table = TextTable(strings, np.eye(16, 512, dtype=np.float32))
    with torch.device("meta"):
        net = build_network(shipped_settings(row, "paper"), table, "native")
    ours = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert ours == checkpoint(NUSCENES, 4, 16, True, 128, 1, True) and len(ours) == 415
    counts = {
        prefix: sum(p.numel() for key, p in net.named_parameters() if key.startswith(prefix))
        for prefix in ("backbone_3d", "adapter", "binary_head", "task_head", "caption_head")
    }
    assert list(counts.values()) == [30_155_968, 17_920, 12_799_137, 8_192, 1]
    assert sum(counts.values()) == sum(p.numel() for p in net.parameters()) == 42_981_218
    # AdamW sees the logit scale too.
    assert [key for key, p in net.named_parameters() if not p.requires_grad] == ["task_head.cls_head.weight"]


def test_types_and_what_is_trained():
    net = network("scannet_b15n4")
    state = net.state_dict()
    assert state["global_step"].dtype == torch.int64
    frozen = {key for key, value in net.named_parameters() if not value.requires_grad}
    assert frozen == {"task_head.cls_head.weight", "caption_head.caption_logit_scale"}
    instances = network("scannet_inst_b13n4").named_parameters()
    assert all(value.requires_grad for key, value in instances if key.startswith("inst_head"))


def test_adapter_width_follows_the_text_dimension():
    def hidden(width: int, dim: int) -> int:
        return ModelSettings(6, (width,), 2, 2, True, dim, False, True, None).adapter_hidden

    assert (hidden(16, 512), hidden(32, 512), hidden(16, 384)) == (80, 128, 64)


def test_seed_decides_the_initial_weights():
    def weights(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        settings = ModelSettings(6, (8, 12), 1, 2, True, 24, True, False, None)
        return RegionNet(settings, torch.eye(3, 24), Partition((0,), (1, 2))).state_dict()

    first, same, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[key], same[key]) for key in first)
    key = "backbone_3d.unet.u.blocks.block0.conv_branch.2.weight"
    assert not torch.equal(first[key], other[key])
    # spconv's Kaiming-uniform: bound 1 / sqrt(fan in), nearly reached by the largest of 3,888 draws.
    bound = (12 * 27) ** -0.5
    assert 0.99 * bound < first[key].abs().max() <= bound
