"""What a network is made of, and which classes it may learn from. No torch in here: configuration imports it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from regionzoo.classes import IGNORE
from regionzoo.models.instance_types import InstanceSettings


@dataclass(frozen=True)
class CaptionSettings:
    """Region-language contrast (paper, section 3.3).

    weight: factor of the loss; 0 switches the computation off. pool: contrast every point and average ("score"), or
    average the features of a region and contrast once ("feat"). novel_grad_only: points with a base label send no
    gradient. logit_scale_trainable: False where the original's optimiser misses the scale (one-cycle recipes).
    """

    weight: float
    pool: Literal["score", "feat"] = "score"
    novel_grad_only: bool = False
    logit_scale_trainable: bool = False


@dataclass(frozen=True)
class ModelSettings:
    """Sizes and parts of a :class:`~regionzoo.models.network.RegionNet`.

    in_channels: features of a voxel. widths: channels of each U-Net level, finest first. block_reps: residual blocks
    of a level, on the way down and on the way up. adapter_layers: 1 or 2; adapter_last_norm: normalisation and ReLU
    after the last. embed_dim: dimension D of the text vectors. binary_head: base-or-novel head. eval_only_text: no
    segmentation loss (annotation-free rows). caption: None for rows without captions. distill_weight: factor of the
    loss that pulls point features to given ones (OpenScene rows), 0 for none. instances: thresholds of the
    instance head, None for rows without. detach_bottleneck: also stop the binary
    loss at the coarsest level, where the original lets it through.
    """

    in_channels: int
    widths: tuple[int, ...]
    block_reps: int
    adapter_layers: int
    adapter_last_norm: bool
    embed_dim: int
    binary_head: bool
    eval_only_text: bool
    caption: CaptionSettings | None
    distill_weight: float = 0.0
    instances: InstanceSettings | None = None
    detach_bottleneck: bool = False

    def __post_init__(self) -> None:
        if self.adapter_layers not in (1, 2):
            raise ValueError(f"adapter_layers is {self.adapter_layers}; expected 1 or 2")
        if not self.widths or self.block_reps < 1:
            raise ValueError(f"widths {self.widths} and block_reps {self.block_reps}; expected at least one of each")

    @property
    def adapter_hidden(self) -> int:
        """Width between the two layers of the adapter, the original's rule."""
        return self.widths[0] * int(math.log2(self.embed_dim / self.widths[0]))


@dataclass(frozen=True)
class Partition:
    """Class positions by role; together they are all classes of the set, each once.

    base_idx: annotated in training, in the order of the training columns; empty for annotation-free rows.
    novel_idx: never annotated. ignore_idx: never predicted.
    """

    base_idx: tuple[int, ...]
    novel_idx: tuple[int, ...]
    ignore_idx: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        indices = sorted(self.base_idx + self.novel_idx + self.ignore_idx)
        if indices != list(range(len(indices))):
            raise ValueError("base, novel and ignored classes must be every class of the set exactly once")

    @property
    def num_classes(self) -> int:
        """Number of classes of the set."""
        return len(self.base_idx) + len(self.novel_idx) + len(self.ignore_idx)

    @property
    def train_columns(self) -> tuple[int, ...]:
        """Class position of each training column: the base classes, or all that are not ignored without a split."""
        return self.base_idx or tuple(sorted(self.novel_idx))

    def train_labels(self) -> tuple[int, ...]:
        """For each class position the training label: its training column, or -100 if it has none."""
        columns = self.train_columns
        return tuple(columns.index(c) if c in columns else IGNORE for c in range(self.num_classes))

    def binary_labels(self) -> tuple[float, ...]:
        """For each class position the binary label: base 1, novel and ignored 0 (unlabelled points are -100)."""
        return tuple(float(c in self.base_idx) for c in range(self.num_classes))
