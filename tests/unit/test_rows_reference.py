"""Every semantic indoor row of params.yaml at scale `paper` is the original's recipe, fact by fact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from regionzoo.classes import class_set
from regionzoo.config import Params
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


def test_fourteen_trainings_make_sixteen_rows(params: Params) -> None:
    assert len(params.published) == 16
    assert {row: params.weights_of(row) for row in params.shared_rows} == SHARED
    # nuScenes and instance rows have a training each; the nine here make eleven rows.
    assert len({params.weights_of(row) for row in params.zoo_rows}) == 9 and len(params.zoo_rows) == 11


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
