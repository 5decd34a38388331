"""Settings of a training and of its evaluation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from regionzoo.settings.base import (
    ClassSetName,
    Count,
    NonNegative,
    Positive,
    Real,
    Seed,
    Settings,
    Share,
    Truth,
    VoxelSize,
)
from regionzoo.settings.data import Source


class Recipe(Settings):
    """Optimiser, schedule and batch. The batch is ``shards`` x ``scenes_per_shard``, whatever the process count.

    voxel_size: metres, one number or one along each of x, y, z. max_points: more than these are cropped; None: never.
    """

    optimizer: Literal["adam_onecycle", "adamw"]
    schedule: Literal["adam_onecycle", "cos_after_step", "poly"]
    weight_decay: NonNegative
    epochs: Seed  # 0: the untrained network, to compare with
    pct_start: Share = 0.39
    div_factor: Positive = 1.0
    moms: tuple[Share, Share] = (0.95, 0.85)
    step_epoch: Seed = 50
    power: Positive = 0.9
    shards: Count
    scenes_per_shard: Count
    repeat: Count
    voxel_size: VoxelSize
    max_points: Count | None
    amp: Truth

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        if (self.optimizer == "adam_onecycle") != (self.schedule == "adam_onecycle"):
            raise ValueError("optimizer adam_onecycle and schedule adam_onecycle go together")
        if self.schedule == "cos_after_step" and self.epochs and self.step_epoch >= self.epochs:
            raise ValueError(f"step_epoch {self.step_epoch} must be below epochs {self.epochs}")
        return self


class Network(Settings):
    """Shape of the sparse U-Net and its adapter."""

    in_channels: Count
    widths: Annotated[tuple[Count, ...], Field(min_length=2)]
    block_reps: Count
    adapter_layers: Literal[1, 2]
    adapter_last_norm: Truth


class Elastic(Settings):
    """One round of elastic distortion, in metres (the original counts 2 cm voxels: 6 and 40 are 0.12 and 0.8 m)."""

    granularity: Positive
    magnitude: NonNegative


class Augmentation(Settings):
    """Training augmentation of indoor scenes, in the original's order: matrix, colour, elastic, crop, shuffle."""

    matrix_noise: NonNegative
    flip: Share
    rotate: Truth
    color_noise: NonNegative
    elastic: tuple[Elastic, ...]
    crop_window: Count
    crop_step: Count


class StreetAugmentation(Settings):
    """Training augmentation of lidar sweeps, in the original's order.

    flip: mirror x, y, both or neither, each as likely. rotate: about z. scale: x and y by a factor of at most this far
    from 1. translate: metres, standard deviation along each axis. voxel_shift: voxel coordinates of a batch moved by 0
    or 1 along each axis.
    """

    flip: Truth
    rotate: Truth
    scale: Share
    translate: NonNegative
    voxel_shift: Truth


class CaptionLoss(Settings):
    """Contrast of points with captions. ``weight`` 0 switches the loss off and leaves all else as it is.

    gather: points are contrasted with the captions of all shards of the step, not of their own alone.
    """

    ratio: Share
    weight: NonNegative
    pool: Literal["score", "feat"]
    novel_grad_only: Truth
    gather: Truth = False


class Classes(Settings):
    """A class set and the roles of its classes. Those named neither novel nor ignored are base, or, annotation-free,
    merely valid.

    set: the class set. annotated: whether the labels of base classes reach the training; without, no label does.
    novel: classes without annotation beside annotated ones. ignore: classes that are never predicted.
    unlabelled_as: the class that unlabelled points count as in training, None for "ignored": the original's look-up
    wraps their -100 to class 156 of ScanNet200, hair dryer, and the published numbers were made like that.
    """

    set: ClassSetName
    annotated: Truth = True
    novel: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    unlabelled_as: str | None = None

    @model_validator(mode="after")
    def _roles_fit(self) -> Self:
        if not self.annotated and (self.novel or self.unlabelled_as):
            raise ValueError("without annotation there are no novel classes and no unlabelled_as")
        return self


class InstanceHead(Settings):
    """Thresholds of an instance head: the fields of :class:`regionzoo.models.instance_types.InstanceSettings`.

    warmup_epochs: epochs with the offsets alone. max_proposals: for memory, none in the original.
    """

    warmup_epochs: Seed
    score_threshold: Share
    min_candidates: Count
    radius: Positive
    max_neighbours: Count
    min_points: Count
    max_proposals: Count | None
    voxels_per_metre: Positive
    grid: Count
    positive_iou: Share
    mask_threshold: Real
    min_class_score: Share
    min_mask_points: Count


class RowTraining(Settings):
    """What a row trains: roles of the classes, and the names of its recipe, network and augmentation.

    distill: weight of the loss that pulls point features to the row's feature source, 0 for none. instances: the
    instance head, "none" for semantic rows.
    """

    classes: Classes
    lr: Positive
    recipe: str
    model: str
    augmentation: str
    caption: CaptionLoss
    distill: NonNegative = 0.0
    instances: str = "none"


class TrainSettings(Settings):
    """Everything that a training's weights depend on besides its input files and code."""

    row: str
    dataset: str
    source: Source
    scale: Literal["paper", "small"]
    seed: Seed
    classes: Classes
    template: Literal["identity", "lseg", "simple"]
    lr: Positive
    recipe: Recipe
    network: Network
    augmentation: Augmentation | StreetAugmentation
    caption: CaptionLoss
    distill: NonNegative
    instances: InstanceHead | None = None
    overrides: dict[str, bool | int | float | str | None] = Field(default_factory=dict)


class PredictSettings(Settings):
    """Which classes a trained network is asked for; its shape comes from the training's own config.json.

    classes: of the row, which need not be those of the training: the annotation-free ScanNet200 rows ask ScanNet
    networks for 200 names.
    """

    row: str
    classes: Classes


class EvaluateSettings(Settings):
    """How saved predictions are scored: the row's own protocol, and others to report beside it."""

    row: str
    protocol: str
    also: tuple[str, ...]


class Published(Settings):
    """One line of a published table: scores in percent by the metric's name, and the tolerance of a rebuilt row.

    table: which of the three tables. setting: what the line is called there. protocol: what the scores were taken
    under, as far as it is known.
    """

    table: Literal["semantic-base", "semantic-free", "instance"]
    dataset: str
    setting: str
    protocol: str
    scores: dict[str, Real]
    tolerance: Positive


class TablesSettings(Settings):
    """What the tables show beside the results: published lines in their order, and which rows can be built here."""

    published: dict[str, Published]
    available: tuple[str, ...]
