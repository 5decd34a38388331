"""``params.yaml`` as typed settings, and what each job of the DAG is told.

The Snakefile, the DVC stages, the tables and the tests are derived from this; nothing else lists the rows.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import model_validator

from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.settings.base import Count, Positive, Seed, Settings
from regionzoo.settings.data import (
    FuseSettings,
    PreprocessSettings,
    RawSettings,
    RegionSettings,
    RegionSource,
    RoomSizes,
    TextSettings,
)
from regionzoo.settings.train import (
    Augmentation,
    EvaluateSettings,
    Network,
    Published,
    Recipe,
    RowTraining,
    TrainSettings,
)


class DatasetParams(Settings):
    """Section ``data.<dataset>``."""

    root: str | None
    train_list: str
    val_list: str
    exclude: tuple[str, ...]


class Row(Settings):
    """Section ``rows.<row>``: what it is made of, how it trains, how it is scored."""

    dataset: str
    captions: str
    text: str
    train: RowTraining
    evaluate: RowEvaluation


class RowEvaluation(Settings):
    """Section ``rows.<row>.evaluate``."""

    protocol: str


class SmallText(Settings):
    """What the scale ``small`` replaces in every text table."""

    encoder: str


class SmallRecipe(Settings):
    """What the scale ``small`` replaces in every recipe."""

    epochs: Count
    shards: Count
    scenes_per_shard: Count
    repeat: Count
    voxel_size: Positive


class Small(Settings):
    """Section ``scales.small``."""

    text: SmallText
    recipe: SmallRecipe


class Scales(Settings):
    """Section ``scales``."""

    small: Small


class Params(Settings):
    """The whole of ``params.yaml``."""

    seed: Seed
    scale: Literal["auto", "small", "paper"]
    data: dict[str, DatasetParams]
    synthetic: dict[str, RoomSizes]
    region_sources: dict[str, RegionSource]
    caption_sets: dict[str, FuseSettings]
    text: dict[str, TextSettings]
    recipes: dict[str, Recipe]
    models: dict[str, Network]
    augmentations: dict[str, Augmentation]
    rows: dict[str, Row]
    published: dict[str, Published]
    scales: Scales

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for section in ("data", "region_sources", "caption_sets", "text", "recipes", "models", "augmentations", "rows"):
            for name in getattr(self, section):
                # Names become file names and parts of DVC's dotted keys.
                if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                    raise ValueError(f"{section}: the name '{name}' may hold letters, digits, '_' and '-' only")
        both = set(self.region_sources) & set(self.caption_sets)
        if both:
            raise ValueError(f"region_sources and caption_sets share the name '{min(both)}'; names must differ")
        captions = [*self.region_sources, *self.caption_sets]
        for key, source in self.region_sources.items():
            _known(source.dataset, self.data, f"region_sources.{key}.dataset", "data set")
        for key, caption_set in self.caption_sets.items():
            _known(caption_set.dataset, self.data, f"caption_sets.{key}.dataset", "data set")
            for name in (caption_set.primary, caption_set.supplementary):
                _known(name, captions, f"caption_sets.{key}", "region source or caption set")
        for key, table in self.text.items():
            _known(table.dataset, self.data, f"text.{key}.dataset", "data set")
            _known(table.captions, captions, f"text.{key}.captions", "region source or caption set")
        for key, row in self.rows.items():
            where = f"rows.{key}"
            _known(row.dataset, self.data, f"{where}.dataset", "data set")
            _known(row.captions, captions, f"{where}.captions", "region source or caption set")
            _known(row.text, self.text, f"{where}.text", "text table")
            _known(row.train.recipe, self.recipes, f"{where}.train.recipe", "recipe")
            _known(row.train.model, self.models, f"{where}.train.model", "model")
            _known(row.train.augmentation, self.augmentations, f"{where}.train.augmentation", "augmentation")
            if self.text[row.text].captions != row.captions or self.text[row.text].classes != row.train.classes:
                raise ValueError(f"{where}: text table '{row.text}' is for other captions or classes than the row's")
            names = class_set(row.train.classes).names
            for name in (*row.train.novel, *row.train.ignore):
                _known(name, names, f"{where}.train", "class")
        for key in self.published:
            _known(key, self.rows, f"published.{key}", "row")
        for key, dataset in self.data.items():
            if dataset.root is None and key not in self.synthetic:
                raise ValueError(f"data.{key}.root is null and synthetic.{key} is missing")
        return self

    # -- what each job is told ---------------------------------------------------------------------------------

    def is_synthetic(self, dataset: str) -> bool:
        """Whether the raw tree of a data set is generated."""
        return self.data[dataset].root is None

    def resolved_scale(self, dataset: str) -> Literal["paper", "small"]:
        """The scale of a data set's jobs."""
        if self.scale == "auto":
            return "small" if self.is_synthetic(dataset) else "paper"
        return self.scale

    def source(self, dataset: str) -> Literal["scannet", "synthetic-rooms"]:
        """The name of the data source that is written beside every number."""
        return "synthetic-rooms" if self.is_synthetic(dataset) else "scannet"

    def raw(self, dataset: str) -> RawSettings:
        """Settings of the raw rule."""
        data = self.data[dataset]
        return RawSettings(
            dataset=dataset,
            root=data.root,
            train_list=data.train_list,
            val_list=data.val_list,
            synthetic=self.synthetic[dataset] if data.root is None else None,
        )

    def preprocess(self, dataset: str) -> PreprocessSettings:
        """Settings of the preprocess rule."""
        data = self.data[dataset]
        return PreprocessSettings(
            dataset=dataset,
            source=self.source(dataset),
            train_list=data.train_list,
            val_list=data.val_list,
            exclude=data.exclude,
        )

    def regions(self, name: str) -> RegionSettings:
        """Settings of the regions rule of one source."""
        return RegionSettings(name=name, seed=self.seed, source=self.region_sources[name])

    def text_table(self, name: str) -> TextSettings:
        """Settings of a text table at the data set's scale."""
        table = self.text[name]
        if self.resolved_scale(table.dataset) == "small":
            table = table.model_copy(update={"encoder": self.scales.small.text.encoder})
        return table

    def train(self, row: str) -> TrainSettings:
        """Settings of a row's training at its data set's scale."""
        entry = self.rows[row]
        recipe = self.recipes[entry.train.recipe]
        scale = self.resolved_scale(entry.dataset)
        if scale == "small":
            recipe = Recipe.check(
                recipe.model_dump() | self.scales.small.recipe.model_dump(),
                f"recipe '{entry.train.recipe}' at scale small",
            )
        return TrainSettings(
            row=row,
            dataset=entry.dataset,
            source=self.source(entry.dataset),
            scale=scale,
            seed=self.seed,
            classes=entry.train.classes,
            novel=entry.train.novel,
            ignore=entry.train.ignore,
            template=self.text[entry.text].template,
            recipe=recipe,
            network=self.models[entry.train.model],
            augmentation=self.augmentations[entry.train.augmentation],
            caption=entry.train.caption,
        )

    def evaluate(self, row: str) -> EvaluateSettings:
        """Settings of a row's evaluation."""
        return EvaluateSettings(row=row, protocol=self.rows[row].evaluate.protocol)


Row.model_rebuild()


def _known(name: str, valid: Any, where: str, kind: str) -> None:
    import difflib

    if name not in valid:
        near = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(valid)}"
        raise ValueError(f"{where}: no {kind} '{name}'; {hint}")


def load_params(path: str | Path) -> Params:
    """Read and check ``params.yaml``; :class:`UserError` of one line if it cannot be used."""
    path = Path(path)
    try:
        value = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the repository's root") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    return Params.check(value, str(path))
