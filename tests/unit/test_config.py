"""params.yaml: what is accepted, what is refused, what each job is told."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from regionzoo.config import Params, load_params
from regionzoo.errors import UserError
from regionzoo.settings.base import Settings
from regionzoo.settings.train import TrainSettings


@pytest.fixture
def plain(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / "params.yaml").read_text())


def changed(plain: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(plain)
    node = result
    *parents, last = path.split("/")
    for key in parents:
        node = node[key]
    node[last] = value
    return result


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("sed", 1, "sed: unknown key; did you mean 'seed'?"),
        ("recipes/onecycle/epohcs", 3, "recipes.onecycle.epohcs: unknown key; did you mean 'epochs'?"),
        ("rows/scannet_b15n4/train/caption/ratoi", 1.0, "caption.ratoi: unknown key; did you mean 'ratio'?"),
        ("rows/scannet_b15n4/train/lr", "1e-3", "rows.scannet_b15n4.train.lr: input should be a valid number"),
        ("rows/scannet_b15n4/train/lr", -1.0, "rows.scannet_b15n4.train.lr: input should be greater than 0"),
        ("rows/scannet_b15n4/text", "clip-b61", "no text table 'clip-b61'"),
        (
            "rows/scannet_b15n4/train/classes/novel",
            ["sofa", "bokshelf"],
            "no class 'bokshelf'; did you mean 'bookshelf'?",
        ),
        ("caption_sets/detic-template_and_kosmos_iou20/primary", "detic-tmplate", "did you mean 'detic-template'?"),
        ("recipes/a.b", {}, "a.b"),
        ("synthetic", {}, "data.scannet.root is null and synthetic.scannet is missing"),
        ("synthetic/nuscenes/keyfrmes", 3, "synthetic.nuscenes.keyfrmes: unknown key; did you mean 'keyframes'?"),
        ("synthetic/nuscenes", {"train_scenes": 1}, "synthetic.nuscenes.val_scenes: missing"),
        ("data/nuscenes/version", "v2", "data.nuscenes: train_list and val_list must be given"),
        ("data/nuscenes/version", "v1.0-test", "data.nuscenes.version: input should be 'v2', 'v1.0-mini'"),
        ("data/scannet/format", "pointgrup", "data.scannet.format: input should be 'raw', 'pointgroup' or 'pointcept'"),
        ("data/scannet/format", "pointcept", "data.scannet: format pointcept needs a root"),
        ("data/nuscenes/format", "pointgroup", "data.nuscenes: format pointgroup holds ScanNet's scenes"),
        ("synthetic/nuscenes/keyframes", None, "synthetic.nuscenes.keyframes: input should be"),
        ("augmentations/streets/rotat", True, "augmentations.streets.rotat: unknown key; did you mean 'rotate'?"),
        ("augmentations/indoor/elastik", [], "augmentations.indoor.elastik: unknown key; did you mean 'elastic'?"),
        ("rows/nuscenes_b12n3/train/augmentation", "indoor", "'indoor' is not for nuScenes drives"),
        ("rows/nuscenes_b12n3/train/model", "sparseunet16", "must have in_channels 4 for nuScenes drives"),
        ("rows/nuscenes_b12n3/train/recipe", "cosine", "max_points of 'cosine' must be null"),
        ("rows/scannet_b15n4/train/classes/set", "nuscenes16", "is for other captions or classes than the row's"),
        ("recipes/poly/voxel_size", [0.2, 0.1], "recipes.poly.voxel_size: expected metres, one number above 0 or"),
        ("recipes/poly/voxel_size", True, "recipes.poly.voxel_size: expected metres"),
        ("region_sources/nuscenes-sw/style", "template", "region_sources.nuscenes-sw: style template"),
        ("published/scannet_b15n4/table", "semantics", "published.scannet_b15n4.table: input should be"),
        ("shared_rows/scannet200_zs_unet32/weights", "scannet_zs_unet23", "did you mean 'scannet_zs_unet32'?"),
        ("shared_rows/scannet200_zs_unet32/weights", "scannet_b15n4", "only annotation-free weights"),
        ("rows/scannet_zs_openscene_unet16/features", "none", "distill: needs a feature source"),
        ("rows/scannet_zs_unet16/train/classes/novel", ["sofa"], "without annotation there are no novel classes"),
        (
            "rows/scannet_inst_b13n4/train/instances",
            "softgruop",
            "instances: no instance head 'softgruop'; did you mean",
        ),
        ("instance_heads/none/radius", 0.04, "instance_heads.none"),
        ("scales/small/instance_heads/softgruop", {}, "no instance head 'softgruop'; did you mean 'softgroup'?"),
        ("rows/scannet_zs_unet16/train/instances", "softgroup", "scannet_zs_unet16.train.instances: an instance head"),
        ("rows/scannet200_b170n30/train/instances", "softgroup", "b170n30.train.instances: an instance head needs"),
        ("instance_heads/softgroup/radus", 0.04, "instance_heads.softgroup.radus: unknown key; did you mean 'radius'?"),
        ("instance_heads/softgroup/radius", 0.0, "instance_heads.softgroup.radius: input should be greater than 0"),
        ("instance_heads/softgroup/grid", 2.5, "instance_heads.softgroup.grid: input should be a valid integer"),
        ("scales/small/instance_heads/softgroup/min_points", 0, "softgroup.min_points: input should be greater than"),
        ("scales/small/recipes/one", {}, "scales.small.recipes.one.epochs: missing"),
        ("recipes/onecycle/schedule", "poly", "optimizer adam_onecycle and schedule adam_onecycle go together"),
    ],
)
def test_bad_settings_end_in_one_line(plain: dict[str, Any], path: str, value: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        Params.check(changed(plain, path, value), "params.yaml")
    text = str(caught.value)
    assert message in text
    assert text.startswith("params.yaml: ") and "\n" not in text


def test_missing_key_is_named(plain: dict[str, Any]) -> None:
    del plain["rows"]["scannet_b15n4"]["captions"]
    with pytest.raises(UserError, match=r"rows\.scannet_b15n4\.captions: missing"):
        Params.check(plain, "params.yaml")


def test_broken_yaml_and_absent_file(tmp_path: Path) -> None:
    broken = tmp_path / "params.yaml"
    broken.write_text("rows: [1, 2\n")
    with pytest.raises(UserError, match="not valid YAML") as caught:
        load_params(broken)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no such file"):
        load_params(tmp_path / "other.yaml")


def test_scale_changes_only_what_its_block_says(plain: dict[str, Any]) -> None:
    small = Params.check(plain, "").train("scannet_b15n4").model_dump()
    paper = Params.check(changed(plain, "scale", "paper"), "").train("scannet_b15n4").model_dump()
    block = plain["scales"]["small"]["recipes"]["onecycle"]
    assert {key for key in small if small[key] != paper[key]} == {"network", "recipe", "scale"}
    assert small["network"] == paper["network"] | {
        "widths": tuple(plain["scales"]["small"]["models"]["sparseunet16"]["widths"])
    }
    differing = {key for key in small["recipe"] if small["recipe"][key] != paper["recipe"][key]}
    assert differing <= set(block)
    assert {key: small["recipe"][key] for key in block} == block


def test_scale_changes_only_what_its_block_says_of_an_instance_row(plain: dict[str, Any]) -> None:
    block = plain["scales"]["small"]["instance_heads"]["softgroup"]
    small = Params.check(plain, "").train("scannet_inst_b13n4").model_dump()
    paper = Params.check(changed(plain, "scale", "paper"), "").train("scannet_inst_b13n4").model_dump()
    assert {key for key in small if small[key] != paper[key]} <= {"network", "recipe", "scale", "instances"}
    assert paper["instances"] == plain["instance_heads"]["softgroup"]
    assert small["instances"] == paper["instances"] | block


def test_only_instance_rows_have_a_head(plain: dict[str, Any]) -> None:
    params = Params.check(plain, "")
    rows = ("scannet_inst_b13n4", "scannet_inst_b10n7", "scannet_inst_b8n9")
    assert params.instance_rows == rows
    assert {row for row in params.rows if params.train(row).instances is not None} == set(rows)
    # A head edited or switched off reaches the rows that have it, and no other.
    edited = Params.check(changed(plain, "instance_heads/softgroup/grid", 30), "")
    assert {row for row in params.rows if edited.train(row) != params.train(row)} == set(rows)
    off = Params.check(changed(plain, "rows/scannet_inst_b13n4/train/instances", "none"), "")
    assert off.train(rows[0]).instances is None and off.instance_rows == rows[1:]


def test_paper_scale_is_the_published_recipe(plain: dict[str, Any]) -> None:
    train = Params.check(changed(plain, "scale", "paper"), "").train("scannet_b15n4")
    recipe = train.recipe
    assert (recipe.shards, recipe.scenes_per_shard, recipe.repeat, recipe.epochs) == (8, 4, 4, 128)
    assert (train.lr, recipe.weight_decay, recipe.pct_start, recipe.div_factor) == (0.004, 0.0001, 0.39, 1.0)
    assert recipe.moms == (0.95, 0.85) and recipe.voxel_size == 0.02


def test_auto_scale_follows_the_root(plain: dict[str, Any]) -> None:
    real = Params.check(changed(plain, "data/scannet/root", "/somewhere"), "")
    assert real.resolved_scale("scannet") == "paper" and real.source("scannet") == "scannet"
    assert real.text_table("detic-template_and_kosmos_iou20_clip-b16").encoder == "open_clip:ViT-B-16/openai"
    assert Params.check(plain, "").text_table("detic-template_and_kosmos_iou20_clip-b16").encoder == "minilm"
    assert real.raw("scannet").synthetic is None


def test_the_root_of_the_data_reaches_the_raw_job_alone(plain: dict[str, Any]) -> None:
    real = Params.check(changed(plain, "data/scannet/root", "/somewhere"), "")
    jobs: list[Settings] = [real.preprocess("scannet"), real.regions("kosmos"), real.train("scannet_b15n4")]
    assert all("/somewhere" not in job.canonical() for job in jobs)
    assert "/somewhere" in real.raw("scannet").canonical()


def test_processed_scenes_need_no_lists_and_concern_two_jobs(plain: dict[str, Any]) -> None:
    rooms = plain["data"]["scannet"] | {"root": "/somewhere", "train_list": None, "val_list": None}
    with pytest.raises(UserError, match=r"data\.scannet: train_list and val_list must be given"):
        Params.check(changed(plain, "data/scannet", rooms), "")
    one, other = (
        Params.check(changed(plain, "data/scannet", rooms | {"format": form}), "")
        for form in ("pointgroup", "pointcept")
    )
    assert one.source("scannet") == "scannet" and one.resolved_scale("scannet") == "paper"
    assert one.raw("scannet") != other.raw("scannet") and one.preprocess("scannet") != other.preprocess("scannet")
    assert [one.train(row) for row in one.rows] == [other.train(row) for row in one.rows]
    # Tables of parameters from before there were formats.
    del plain["data"]["scannet"]["format"], plain["data"]["nuscenes"]["format"]
    assert Params.check(plain, "").raw("scannet").format == "raw"


def test_published_scores_reach_no_job(plain: dict[str, Any]) -> None:
    edited = changed(plain, "published/scannet_b15n4/scores/hIoU", 99.9)
    for row in plain["rows"]:
        assert Params.check(edited, "").train(row) == Params.check(plain, "").train(row)


def test_nocaption_row_differs_in_the_caption_weight_alone(plain: dict[str, Any]) -> None:
    params = Params.check(plain, "")
    a, b = params.train("scannet_b15n4").model_dump(), params.train("scannet_b15n4_nocaption").model_dump()
    assert a.pop("row") != b.pop("row")
    assert (a["caption"].pop("weight"), b["caption"].pop("weight")) == (0.5, 0.0)
    assert a == b


@pytest.mark.parametrize("row", ["scannet_b15n4", "scannet_inst_b13n4"])
def test_canonical_json_round_trip_and_order(plain: dict[str, Any], row: str) -> None:
    settings = Params.check(plain, "").train(row)
    text = settings.canonical()
    assert TrainSettings.parse(text) == settings
    shuffled = json.dumps(dict(reversed(json.loads(text).items())))
    assert TrainSettings.parse(shuffled).canonical() == text


def test_settings_on_the_command_line_are_checked() -> None:
    with pytest.raises(UserError, match="--settings: not valid JSON"):
        TrainSettings.parse("{")
    with pytest.raises(UserError, match="--settings: "):
        TrainSettings.parse("{}")
