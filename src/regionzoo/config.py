"""``params.yaml`` as typed settings, and what each job of the DAG is told.

The Snakefile, the DVC stages, the tables and the tests are derived from this; nothing else lists the rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from regionzoo.errors import UserError
from regionzoo.references import check_names
from regionzoo.settings.base import Count, NonNegative, Positive, Seed, Settings, VoxelSize
from regionzoo.settings.captioners import RegionSource
from regionzoo.settings.data import (
    FeatureSettings,
    FeatureSource,
    Format,
    FuseSettings,
    PreprocessSettings,
    RawSettings,
    RegionSettings,
    RoomSizes,
    Source,
    StreetSizes,
    TextSettings,
    Version,
)
from regionzoo.settings.released import ReleasedFile, ReleasedSettings
from regionzoo.settings.train import (
    Augmentation,
    Classes,
    EvaluateSettings,
    InstanceHead,
    Network,
    PredictSettings,
    Published,
    Recipe,
    RowTraining,
    StreetAugmentation,
    TablesSettings,
    TrainSettings,
)

SettingsT = TypeVar("SettingsT", bound=Settings)


class DatasetParams(Settings):
    """Section ``data.<dataset>``. Without lists the official split of the version is taken (nuScenes), or all scenes of
    the split's folder (processed scenes)."""

    version: Version
    format: Format = "raw"
    root: str | None
    train_list: str | None
    val_list: str | None
    exclude: tuple[str, ...]

    @model_validator(mode="after")
    def _lists_fit(self) -> Self:
        if self.version == "v2" and self.format == "raw" and (self.train_list is None or self.val_list is None):
            raise ValueError("train_list and val_list must be given: ScanNet's splits come as files")
        return self

    @model_validator(mode="after")
    def _format_fits(self) -> Self:
        if self.format != "raw" and self.drives:
            raise ValueError(f"format {self.format} holds ScanNet's scenes, so version must be v2")
        if self.format != "raw" and self.root is None:
            raise ValueError(f"format {self.format} needs a root; synthetic rooms are made in the format raw")
        return self

    @property
    def drives(self) -> bool:
        """Whether its scenes are drives with lidar and cameras (nuScenes), not scanned rooms (ScanNet)."""
        return self.version != "v2"


class RowEvaluation(Settings):
    """Section ``rows.<row>.evaluate``: the row's own protocol, and others that its predictions are scored under too."""

    protocol: str
    also: tuple[str, ...] = ()


class Row(Settings):
    """Section ``rows.<row>``: what it is made of, how it trains, how it is scored."""

    dataset: str
    captions: str
    text: str
    features: str
    train: RowTraining
    evaluate: RowEvaluation


class SharedRow(Settings):
    """Section ``shared_rows.<row>``: another row's weights asked for other classes."""

    dataset: str
    weights: str
    captions: str
    text: str
    classes: Classes
    evaluate: RowEvaluation


class SmallText(Settings):
    """What the scale ``small`` replaces in every text table."""

    encoder: str


class SmallFeatures(Settings):
    """What the scale ``small`` replaces in every feature source but "none"."""

    provider: Literal["simulated"]
    chunks: Count
    chunk_points: Count
    noise: NonNegative


class SmallRecipe(Settings):
    """What the scale ``small`` replaces in a recipe."""

    epochs: Count
    shards: Count
    scenes_per_shard: Count
    repeat: Count
    voxel_size: VoxelSize
    step_epoch: Seed = 50


class SmallModel(Settings):
    """What the scale ``small`` replaces in a network."""

    widths: tuple[Count, ...]


def _none_if_empty(value: Any) -> Any:
    # The head of semantic rows is written {}. A union of two models would name both in every message.
    return None if value == {} else value


class SmallInstanceHead(Settings):
    """What the scale ``small`` replaces in an instance head."""

    warmup_epochs: Seed
    radius: Positive
    min_candidates: Count
    min_points: Count
    voxels_per_metre: Positive
    min_mask_points: Count


def _sizes_of(value: Any) -> str:
    return (
        "~streets" if isinstance(value, StreetSizes) or (isinstance(value, dict) and "keyframes" in value) else "~rooms"
    )


def _augmentation_of(value: Any) -> str:
    streets = isinstance(value, StreetAugmentation) or (isinstance(value, dict) and "voxel_shift" in value)
    return "~streets" if streets else "~rooms"


# Tagged, so that a misspelt key is told once, for the model that it was meant for.
Sizes = Annotated[
    Annotated[RoomSizes, Tag("~rooms")] | Annotated[StreetSizes, Tag("~streets")], Discriminator(_sizes_of)
]
AnyAugmentation = Annotated[
    Annotated[Augmentation, Tag("~rooms")] | Annotated[StreetAugmentation, Tag("~streets")],
    Discriminator(_augmentation_of),
]


class Small(Settings):
    """Section ``scales.small``: recipes, models and instance heads by name."""

    text: SmallText
    features: SmallFeatures
    recipes: dict[str, SmallRecipe]
    models: dict[str, SmallModel]
    instance_heads: dict[str, Annotated[SmallInstanceHead | None, BeforeValidator(_none_if_empty)]]


class Scales(Settings):
    """Section ``scales``."""

    small: Small


class Params(Settings):
    """The whole of ``params.yaml``."""

    seed: Seed
    scale: Literal["auto", "small", "paper"]
    data: dict[str, DatasetParams]
    synthetic: dict[str, Sizes]
    region_sources: dict[str, RegionSource]
    caption_sets: dict[str, FuseSettings]
    text: dict[str, TextSettings]
    feature_sources: dict[str, FeatureSource]
    recipes: dict[str, Recipe]
    models: dict[str, Network]
    augmentations: dict[str, AnyAugmentation]
    instance_heads: dict[str, Annotated[InstanceHead | None, BeforeValidator(_none_if_empty)]]
    rows: dict[str, Row]
    shared_rows: dict[str, SharedRow]
    released: dict[str, ReleasedFile] = Field(default_factory=dict)
    published: dict[str, Published]
    scales: Scales

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        check_names(self)
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

    def source(self, dataset: str) -> Source:
        """The name of the data source that is written beside every number."""
        if self.data[dataset].drives:
            return "synthetic-streets" if self.is_synthetic(dataset) else "nuscenes"
        return "synthetic-rooms" if self.is_synthetic(dataset) else "scannet"

    def raw(self, dataset: str) -> RawSettings:
        """Settings of the raw rule."""
        data = self.data[dataset]
        return RawSettings(
            dataset=dataset,
            version=data.version,
            format=data.format,
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
            version=data.version,
            format=data.format,
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

    def features(self, name: str) -> FeatureSettings:
        """Settings of a feature source at the data set's scale."""
        source = self.feature_sources[name]
        small = self.resolved_scale(source.dataset) == "small"
        if small and source.provider != "none":
            source = source.model_copy(update=self.scales.small.features.model_dump())
        encoder = self.scales.small.text.encoder if small else ""
        return FeatureSettings(name=name, seed=self.seed, source=source, encoder=encoder)

    def train(self, row: str) -> TrainSettings:
        """Settings of a row's training at its data set's scale."""
        entry = self.rows[row]
        train = entry.train
        recipe, network = self.recipes[train.recipe], self.models[train.model]
        head = self.instance_heads[train.instances]
        scale = self.resolved_scale(entry.dataset)
        if scale == "small":
            if head is not None:
                head = _replaced(head, self.scales.small.instance_heads.get(train.instances), f"'{train.instances}'")
            recipe = _replaced(recipe, self.scales.small.recipes.get(train.recipe), f"recipe '{train.recipe}'")
            network = _replaced(network, self.scales.small.models.get(train.model), f"model '{train.model}'")
        return TrainSettings(
            row=row,
            dataset=entry.dataset,
            source=self.source(entry.dataset),
            scale=scale,
            seed=self.seed,
            classes=train.classes,
            template=self.text[entry.text].template,
            lr=train.lr,
            recipe=recipe,
            network=network,
            augmentation=self.augmentations[train.augmentation],
            caption=train.caption,
            distill=train.distill,
            instances=head,
        )

    def weights_of(self, row: str) -> str:
        """The row whose training makes a row's weights: itself, or for a shared row another."""
        return self.shared_rows[row].weights if row in self.shared_rows else row

    def predict(self, row: str) -> PredictSettings:
        """Settings of a row's prediction."""
        classes = self.shared_rows[row].classes if row in self.shared_rows else self.rows[row].train.classes
        return PredictSettings(row=row, classes=classes)

    def evaluate(self, row: str) -> EvaluateSettings:
        """Settings of a row's evaluation."""
        entry = (self.shared_rows if row in self.shared_rows else self.rows)[row].evaluate
        return EvaluateSettings(row=row, protocol=entry.protocol, also=entry.also)

    def released_weights(self, row: str) -> ReleasedSettings:
        """Settings of the conversion of a row's published checkpoint, which is of the scale ``paper``."""
        paper = self.model_copy(update={"scale": "paper"})
        return ReleasedSettings(
            row=row,
            file=self.released.get(row, ReleasedFile()),
            train=paper.train(self.weights_of(row)),
            classes=self.predict(row).classes,
            encoder=self.text[self.all_rows[row].text].encoder,
        )

    @property
    def all_rows(self) -> dict[str, Row | SharedRow]:
        """Rows with a training of their own, then those that share another's."""
        return {**self.rows, **self.shared_rows}

    @property
    def instance_rows(self) -> tuple[str, ...]:
        """The rows that find instances, in the tables' order."""
        return tuple(row for row in self.zoo_rows if row in self.rows and self.rows[row].train.instances != "none")

    @property
    def zoo_rows(self) -> tuple[str, ...]:
        """The rows of the published tables that can be built, in the tables' order."""
        return tuple(row for row in self.published if row in self.all_rows)

    def tables(self) -> TablesSettings:
        """Settings of the tables."""
        return TablesSettings(published=self.published, available=self.zoo_rows)


def _replaced(paper: SettingsT, small: Settings | None, where: str) -> SettingsT:
    """The paper's settings with those that the scale small gives, checked again."""
    if small is None:
        return paper
    return type(paper).check(paper.model_dump() | small.model_dump(exclude_unset=True), f"{where} at scale small")


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
