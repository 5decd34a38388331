"""Whether the sections of ``params.yaml`` fit together: every name that one uses is defined in another."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from regionzoo.classes import class_set

if TYPE_CHECKING:
    from regionzoo.config import Params, Row, SharedRow
    from regionzoo.settings.train import Classes

NAMED = (
    "data",
    "region_sources",
    "caption_sets",
    "text",
    "feature_sources",
    "recipes",
    "models",
    "augmentations",
    "instance_heads",
    "rows",
    "shared_rows",
)


def check_names(params: Params) -> None:
    """Raise ``ValueError`` that says where the first wrong name stands and what it may have meant."""
    for section in NAMED:
        for name in getattr(params, section):
            # Names become file names and parts of DVC's dotted keys.
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise ValueError(f"{section}: the name '{name}' may hold letters, digits, '_' and '-' only")
    for one, other in (("region_sources", "caption_sets"), ("rows", "shared_rows")):
        both = set(getattr(params, one)) & set(getattr(params, other))
        if both:
            raise ValueError(f"{one} and {other} share the name '{min(both)}'; names must differ")
    _check_data(params)
    for key, row in params.rows.items():
        where = f"rows.{key}"
        _check_inputs(params, row, where)
        _known(row.features, params.feature_sources, f"{where}.features", "feature source")
        _known(row.train.recipe, params.recipes, f"{where}.train.recipe", "recipe")
        _known(row.train.model, params.models, f"{where}.train.model", "model")
        _known(row.train.augmentation, params.augmentations, f"{where}.train.augmentation", "augmentation")
        _known(row.train.instances, params.instance_heads, f"{where}.train.instances", "instance head")
        _check_classes(row.train.classes, f"{where}.train.classes")
        _check_kind(params, row, where)
        if row.train.distill and params.feature_sources[row.features].provider == "none":
            raise ValueError(f"{where}.train.distill: needs a feature source, and '{row.features}' provides nothing")
        if params.instance_heads[row.train.instances] is not None and not (
            row.train.classes.annotated and row.train.classes.set == "scannet20"
        ):
            raise ValueError(f"{where}.train.instances: an instance head needs annotated classes of scannet20")
    for key, shared in params.shared_rows.items():
        where = f"shared_rows.{key}"
        _known(shared.weights, params.rows, f"{where}.weights", "row")
        _check_inputs(params, shared, where)
        _check_classes(shared.classes, f"{where}.classes")
        if shared.classes.annotated or params.rows[shared.weights].train.classes.annotated:
            raise ValueError(f"{where}: only annotation-free weights can be asked for other classes")
    for key in params.released:
        _known(key, [*params.rows, *params.shared_rows], "released", "row")
    for section, valid in (
        ("recipes", params.recipes),
        ("models", params.models),
        ("instance_heads", params.instance_heads),
    ):
        for name in getattr(params.scales.small, section):
            _known(name, valid, f"scales.small.{section}", section.removesuffix("s").replace("_", " "))


def _check_data(params: Params) -> None:
    captions = [*params.region_sources, *params.caption_sets]
    for section in ("region_sources", "caption_sets", "text", "feature_sources"):
        for key, entry in getattr(params, section).items():
            _known(entry.dataset, params.data, f"{section}.{key}.dataset", "data set")
    for key, caption_set in params.caption_sets.items():
        for name in (caption_set.primary, caption_set.supplementary):
            _known(name, captions, f"caption_sets.{key}", "region source or caption set")
    for key, table in params.text.items():
        _known(table.captions, captions, f"text.{key}.captions", "region source or caption set")
    for key, dataset in params.data.items():
        if dataset.root is None and key not in params.synthetic:
            raise ValueError(f"data.{key}.root is null and synthetic.{key} is missing")
        if key in params.synthetic and hasattr(params.synthetic[key], "keyframes") != dataset.drives:
            kind = "streets (with keyframes)" if dataset.drives else "rooms (with vertex_spacing)"
            raise ValueError(f"synthetic.{key}: expected sizes of {kind} for version {dataset.version}")
    for key, source in params.region_sources.items():
        if params.data[source.dataset].drives and source.for_rooms_alone:
            raise ValueError(f"region_sources.{key}: {source.for_rooms_alone} is for ScanNet alone")


def _check_kind(params: Params, row: Row, where: str) -> None:
    """Rooms and drives differ in their points: colours or intensity, classes, ways to augment."""
    drives = params.data[row.dataset].drives
    kind = "nuScenes drives" if drives else "ScanNet rooms"
    if (row.train.classes.set == "nuscenes16") != drives:
        raise ValueError(f"{where}.train.classes.set: {row.train.classes.set} is not for {kind}")
    if hasattr(params.augmentations[row.train.augmentation], "voxel_shift") != drives:
        raise ValueError(f"{where}.train.augmentation: '{row.train.augmentation}' is not for {kind}")
    channels = 4 if drives else 6
    if params.models[row.train.model].in_channels != channels:
        raise ValueError(f"{where}.train.model: '{row.train.model}' must have in_channels {channels} for {kind}")
    if (params.recipes[row.train.recipe].max_points is None) != drives:
        told = "null: sweeps are not cropped" if drives else "a number"
        raise ValueError(f"{where}.train.recipe: max_points of '{row.train.recipe}' must be {told}")
    if drives and params.feature_sources[row.features].provider != "none":
        raise ValueError(f"{where}.features: there are no features for {kind}; name a source with provider none")


def _check_inputs(params: Params, row: Row | SharedRow, where: str) -> None:
    _known(row.dataset, params.data, f"{where}.dataset", "data set")
    _known(row.captions, [*params.region_sources, *params.caption_sets], f"{where}.captions", "caption set")
    _known(row.text, params.text, f"{where}.text", "text table")
    classes = row.classes if hasattr(row, "classes") else row.train.classes
    table = params.text[row.text]
    if table.captions != row.captions or classes.set not in table.classes:
        raise ValueError(f"{where}: text table '{row.text}' is for other captions or classes than the row's")


def _check_classes(classes: Classes, where: str) -> None:
    known = class_set(classes.set)
    names = {*known.names, *known.prompts}
    for name in (*classes.novel, *classes.ignore, *([classes.unlabelled_as] if classes.unlabelled_as else [])):
        _known(name, names, where, "class")


def _known(name: str, valid: Collection[str], where: str, kind: str) -> None:
    if name not in valid:
        near = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(valid)}"
        raise ValueError(f"{where}: no {kind} '{name}'; {hint}")
