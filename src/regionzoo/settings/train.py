"""Settings of a training and of its evaluation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from regionzoo.settings.base import Count, NonNegative, Positive, Real, Seed, Settings, Share, Truth


class Recipe(Settings):
    """Optimiser, schedule and batch. The batch is ``shards`` x ``scenes_per_shard``, whatever the process count."""

    optimizer: Literal["adam_onecycle", "adamw"]
    schedule: Literal["adam_onecycle", "cos_after_step", "poly"]
    lr: Positive
    weight_decay: NonNegative
    epochs: Count
    pct_start: Share = 0.39
    div_factor: Positive = 1.0
    moms: tuple[Share, Share] = (0.95, 0.85)
    step_epoch: Seed = 50
    power: Positive = 0.9
    shards: Count
    scenes_per_shard: Count
    repeat: Count
    voxel_size: Positive
    max_points: Count
    amp: Truth

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        if (self.optimizer == "adam_onecycle") != (self.schedule == "adam_onecycle"):
            raise ValueError("optimizer adam_onecycle and schedule adam_onecycle go together")
        if self.schedule == "cos_after_step" and self.step_epoch >= self.epochs:
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


class CaptionLoss(Settings):
    """Contrast of points with captions. ``weight`` 0 switches the loss off and leaves all else as it is."""

    ratio: Share
    weight: NonNegative
    pool: Literal["score", "feat"]
    novel_grad_only: Truth


class RowTraining(Settings):
    """What a row trains: partition of the classes and the names of its recipe, network and augmentation."""

    classes: Literal["scannet20", "scannet200"]
    novel: tuple[str, ...]
    ignore: tuple[str, ...]
    model: str
    recipe: str
    augmentation: str
    caption: CaptionLoss


class TrainSettings(Settings):
    """Everything that a training's weights depend on besides its input files and code."""

    row: str
    dataset: str
    source: Literal["scannet", "synthetic-rooms"]
    scale: Literal["paper", "small"]
    seed: Seed
    classes: Literal["scannet20", "scannet200"]
    novel: tuple[str, ...]
    ignore: tuple[str, ...]
    template: Literal["identity", "lseg", "simple"]
    recipe: Recipe
    network: Network
    augmentation: Augmentation
    caption: CaptionLoss
    overrides: dict[str, bool | int | float | str | None] = Field(default_factory=dict)


class EvaluateSettings(Settings):
    """How a trained row is scored; the network's shape and the classes come from the training's own config.json."""

    row: str
    protocol: str


class Published(Settings):
    """Published scores in percent, with the tolerance within which a rebuilt row counts as equal."""

    hiou: Real | None = None
    miou_base: Real | None = None
    miou_novel: Real | None = None
    miou: Real | None = None
    macc: Real | None = None
    tolerance: Positive = 1.0
