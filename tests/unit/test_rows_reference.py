"""Every row of params.yaml at scale `paper` is the original's recipe, fact by fact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from regionzoo.classes import class_set
from regionzoo.config import Params
from regionzoo.evaluation.instance_protocols import instance_protocol
from regionzoo.models.instance_types import InstanceSettings
from regionzoo.models.proposals import instance_classes
from regionzoo.training.labels import partition_of

# Facts of the original: partition (base, novel, ignored, counted), optimiser, network, captions, text.
# Columns: base classes, novel classes, ignored classes | optimizer, pct_start, div_factor, step_epoch | first width,
# adapter ends with norm | caption weight, ratio, gradient on novel points alone | primary, supplementary, IoU bounds |
# text model, template | distillation.
ONE, FREE, COS = ("adam_onecycle", 0.39, 1.0, None), ("adam_onecycle", 0.4, 2.0, None), ("adamw", None, None, 50)
B16, B32 = ("ViT-B-16", "identity"), ("ViT-B-32", "lseg")
KS, K25 = (["kosmos", "sw"], [0.2]), (["kosmos-25k", "sw-25k"], [0.1])
FACTS: dict[str, tuple[Any, ...]] = {
    "scannet_b15n4": (15, 4, 1, ONE, 16, True, 0.5, 0.2, True, (["detic-template", "kosmos"], [0.2]), B16, 0.0),
    "scannet_b12n7": (12, 7, 1, ONE, 16, True, 0.5, 0.2, True, (["detic", "sw"], [0.3]), B16, 0.0),
    "scannet_b10n9": (10, 9, 1, COS, 16, True, 0.5, 0.2, True, KS, B16, 0.0),
    "scannet200_b170n30": (170, 30, 0, COS, 32, True, 0.5, 0.2, True, (["kosmos", "detic-template"], [0.2]), B16, 0.0),
    "scannet200_b150n50": (150, 50, 0, COS, 32, True, 0.5, 0.2, True, (["kosmos", "detic-template"], [0.2]), B16, 0.0),
    "scannet_zs_unet16": (
        0, 17, 3, FREE, 16, True, 1.0, 0.2, False, (["kosmos", "sw", "detic-template"], [0.2, 0.1]), B16, 0.0,
    ),
    "scannet_zs_unet32": (0, 17, 3, FREE, 32, True, 1.0, 0.2, False, KS, B16, 0.0),
    "scannet_zs_openscene_unet16": (0, 17, 3, FREE, 16, False, 0.1, 0.8, False, K25, B32, 1.0),
    "scannet_zs_openscene_unet32": (0, 17, 3, FREE, 32, False, 1.0, 0.2, False, KS, B32, 1.0),
}  # fmt: skip
# Rows that find instances: novel classes | caption weight, ratio, pool | hAP50, AP50 of base and of novel instances.
# Positions in scannet20; base are the others but the last, and the first two, wall and floor, have no instances.
INSTANCES: dict[str, tuple[Any, ...]] = {
    "scannet_inst_b13n4": ((5, 9, 12, 16), 0.5, 0.15, "feat", (58.2, 59.2, 57.2)),
    "scannet_inst_b10n7": ((3, 4, 6, 9, 10, 17, 18), 0.6, 0.2, "score", (40.6, 53.9, 32.5)),
    "scannet_inst_b8n9": ((9, 10, 11, 12, 14, 15, 16, 17, 18), 0.5, 0.2, "score", (46.8, 62.5, 37.4)),
}
# Rows of drives: novel classes | caption weight, ratio | captions | scores.
DRIVES: dict[str, tuple[Any, ...]] = {
    "nuscenes_b12n3": ((5, 6, 7), 0.6, (["nuscenes-kosmos", "nuscenes-detic"], [0.2]), (64.4, 75.8, 56.0)),
    "nuscenes_b10n5": ((0, 5, 6, 7, 12), 0.5, (["nuscenes-kosmos", "nuscenes-sw"], [0.3]), (49.0, 75.8, 36.3)),
}
SHARED = {"scannet200_zs_unet32": "scannet_zs_unet32", "scannet200_zs_openscene_unet32": "scannet_zs_openscene_unet32"}


@pytest.fixture(scope="module")
def params(repository: Path) -> Params:
    plain = yaml.safe_load((repository / "params.yaml").read_text())
    return Params.check(plain | {"scale": "paper"}, "params.yaml")


def sources(params: Params, name: str) -> tuple[list[str], list[float]]:
    """Sources of a caption set in order, and the bounds of those after the first."""
    if name in params.region_sources:
        return [name], []
    entry = params.caption_sets[name]
    assert entry.iou_low == 0.0
    names, bounds = sources(params, entry.primary)
    return [*names, entry.supplementary], [*bounds, entry.iou_high]


@pytest.mark.parametrize("row", FACTS)
def test_the_row_is_the_originals(params: Params, row: str) -> None:
    base, novel, ignored, optim, width, norm, weight, ratio, novel_grad, captions, text, distill = FACTS[row]
    train, entry = params.train(row), params.rows[row]
    roles = partition_of(train.classes)
    assert (len(roles.base_idx), len(roles.novel_idx), len(roles.ignore_idx)) == (base, novel, ignored)
    recipe = train.recipe
    assert (recipe.optimizer, train.lr, recipe.weight_decay, recipe.epochs) == (optim[0], 0.004, 1e-4, 128)
    if optim[0] == "adamw":
        assert (recipe.schedule, recipe.step_epoch) == ("cos_after_step", optim[3])
    else:
        assert (recipe.schedule, recipe.pct_start, recipe.div_factor) == ("adam_onecycle", *optim[1:3])
    assert (recipe.shards, recipe.scenes_per_shard, recipe.repeat, recipe.voxel_size) == (8, 4, 4, 0.02)
    assert train.network.widths == tuple(width * k for k in range(1, 8)) and train.network.adapter_layers == 2
    assert train.network.adapter_last_norm is norm
    caption = train.caption
    assert (caption.weight, caption.ratio, caption.novel_grad_only, caption.pool) == (
        weight,
        ratio,
        novel_grad,
        "score",
    )
    assert sources(params, entry.captions) == captions
    table = params.text_table(entry.text)
    assert (table.encoder, table.template) == (f"open_clip:{text[0]}/openai", text[1])
    assert (train.distill, entry.features) == (distill, "openscene-lseg" if distill else "none")
    assert (train.classes.unlabelled_as == "hair dryer") == (train.classes.set == "scannet200")


@pytest.mark.parametrize("row", INSTANCES)
def test_the_instance_row_is_the_originals(params: Params, row: str) -> None:
    novel, weight, ratio, pool, _ = INSTANCES[row]
    train, entry, recipe = params.train(row), params.rows[row], params.train(row).recipe
    roles = partition_of(train.classes)
    assert train.classes.set == "scannet20" and train.classes.annotated and train.classes.unlabelled_as is None
    assert (roles.novel_idx, roles.ignore_idx) == (novel, (19,))
    assert roles.base_idx == tuple(c for c in range(19) if c not in novel)
    assert (recipe.optimizer, recipe.schedule, train.lr, recipe.weight_decay) == (
        "adamw",
        "cos_after_step",
        0.004,
        1e-4,
    )
    assert (recipe.epochs, recipe.step_epoch) == (160, 82)
    assert (recipe.shards, recipe.scenes_per_shard, recipe.repeat, recipe.voxel_size) == (8, 4, 4, 0.02)
    assert (recipe.max_points, recipe.amp) == (250_000, True)
    assert train.network.model_dump() == {
        "in_channels": 6,
        "widths": (16, 32, 48, 64, 80, 96, 112),
        "block_reps": 2,
        "adapter_layers": 2,
        "adapter_last_norm": True,
    }
    assert train.caption.model_dump() == {
        "weight": weight,
        "ratio": ratio,
        "pool": pool,
        "novel_grad_only": True,
        "gather": False,
    }
    assert sources(params, entry.captions) == KS
    table = params.text_table(entry.text)
    assert (table.encoder, table.template) == ("open_clip:ViT-B-16/openai", "identity")
    assert (train.distill, entry.features) == (0.0, "none")
    assert train.augmentation == params.train("scannet_b15n4").augmentation


@pytest.mark.parametrize("row", INSTANCES)
def test_the_instance_head_is_the_originals(params: Params, row: str) -> None:
    head = params.train(row).instances
    assert head is not None
    assert head.model_dump() == {
        "warmup_epochs": 32,
        "score_threshold": 0.2,
        "min_candidates": 100,
        "radius": 0.04,
        "max_neighbours": 1000,
        "min_points": 50,
        # The original's cap of 200 sits in a branch that is not reached.
        "max_proposals": None,
        "voxels_per_metre": 50.0,
        "grid": 20,
        "positive_iou": 0.5,
        "mask_threshold": -0.5,
        "min_class_score": 0.001,
        "min_mask_points": 100,
    }
    # What params.yaml does not offer: wall and floor have no instances, and 200 proposals of a lowered size are kept.
    settings = InstanceSettings(**head.model_dump())
    assert settings == InstanceSettings() and (settings.shift, settings.max_retry_proposals) == (2, 200)


@pytest.mark.parametrize("row", INSTANCES)
def test_the_instance_row_is_scored_as_published(params: Params, row: str) -> None:
    novel, *_, scores = INSTANCES[row]
    asked, published = params.evaluate(row), params.published[row]
    assert asked.protocol == published.protocol == "regionplc-instance/1"
    assert set(asked.also) == {"scannet-instance/1", "regionplc-base/1"}
    assert published.scores == dict(zip(("hAP50", "AP50_base", "AP50_novel"), scores, strict=True))
    assert (published.table, published.dataset, published.tolerance) == ("instance", "ScanNet", 1.0)
    rules, roles = instance_protocol(asked.protocol), partition_of(params.predict(row).classes)
    assert (rules.min_points, rules.no_proposals) == (50, "skipped")
    averaged = rules.averaged(roles, "scannet20")
    assert averaged == {"base": tuple(c for c in range(2, 19) if c not in novel), "novel": novel}
    assert published.setting == f"B{len(averaged['base'])}/N{len(averaged['novel'])}"
    # A whole set of 17, whichever are novel.
    model = instance_classes(roles, InstanceSettings())
    assert model.positions == tuple(range(2, 19))
    assert model.novel == tuple(c - 2 for c in novel) and model.base == tuple(c - 2 for c in averaged["base"])


def test_instance_rows_share_the_classes_of_semantic_rows(params: Params) -> None:
    pairs = {
        "scannet_inst_b13n4": "scannet_b15n4",
        "scannet_inst_b10n7": "scannet_b12n7",
        "scannet_inst_b8n9": "scannet_b10n9",
    }
    assert set(pairs) == set(params.instance_rows)
    for row, semantic in pairs.items():
        assert partition_of(params.train(row).classes) == partition_of(params.train(semantic).classes)


@pytest.mark.parametrize("row", DRIVES)
def test_the_row_of_drives_is_the_originals(params: Params, row: str) -> None:
    novel, ratio, captions, scores = DRIVES[row]
    train, entry, recipe = params.train(row), params.rows[row], params.train(row).recipe
    roles = partition_of(train.classes)
    assert (roles.novel_idx, roles.ignore_idx) == (novel, (11,)) and train.classes.unlabelled_as is None
    assert (recipe.optimizer, recipe.schedule, recipe.power, train.lr) == ("adamw", "poly", 0.9, 0.01)
    assert (recipe.weight_decay, recipe.epochs, recipe.amp) == (0.01, 50, True)
    assert (recipe.shards, recipe.scenes_per_shard, recipe.repeat, recipe.max_points) == (8, 4, 1, None)
    assert recipe.voxel_size == (0.2, 0.2, 0.1)
    assert train.network.model_dump() == {
        "in_channels": 4,
        "widths": (32, 64, 128, 256, 256),
        "block_reps": 2,
        "adapter_layers": 1,
        "adapter_last_norm": True,
    }
    # Captions of all processes are contrasted, in these two rows alone.
    assert train.caption.model_dump() == {
        "weight": 0.5,
        "ratio": ratio,
        "pool": "score",
        "novel_grad_only": True,
        "gather": True,
    }
    assert {name for name in params.rows if params.rows[name].train.caption.gather} == set(DRIVES)
    assert train.augmentation.model_dump() == {
        "flip": True,
        "rotate": True,
        "scale": 0.05,
        "translate": 0.1,
        "voxel_shift": True,
    }
    assert sources(params, entry.captions) == captions
    table = params.text_table(entry.text)
    assert (table.encoder, table.template) == ("open_clip:ViT-B-16/openai", "identity")
    assert (train.distill, train.instances) == (0.0, None)
    published = params.published[row]
    assert published.scores == dict(zip(("hIoU", "mIoU_base", "mIoU_novel"), scores, strict=True))
    assert params.evaluate(row).protocol == published.protocol == "regionplc-base/1"
    assert published.setting == f"B{len(roles.base_idx)}/N{len(novel)}"


def test_fourteen_trainings_make_sixteen_rows(params: Params) -> None:
    assert len(params.published) == 16
    assert {row: params.weights_of(row) for row in params.shared_rows} == SHARED
    assert set(params.published) == set(params.zoo_rows) == {*FACTS, *INSTANCES, *DRIVES, *SHARED}
    assert len({params.weights_of(row) for row in params.zoo_rows}) == 14 and len(params.zoo_rows) == 16


def test_annotation_free_scannet200_asks_for_186_names(params: Params) -> None:
    names = class_set("scannet200")
    for row in SHARED:
        roles = partition_of(params.predict(row).classes)
        assert len(roles.novel_idx) == 186 and roles.base_idx == ()
        left_out = {names.names[c] for c in set(roles.ignore_idx) - set(names.train_only)}
        assert left_out == {"wall", "floor", "ceiling"} and set(names.train_only) <= set(roles.ignore_idx)


def test_classes_without_validation_points_are_base(params: Params) -> None:
    only = set(class_set("scannet200").train_only)
    for row, base in (("scannet200_b170n30", 159), ("scannet200_b150n50", 139)):
        roles = partition_of(params.train(row).classes)
        assert only <= set(roles.base_idx) and len(set(roles.base_idx) - only) == base
