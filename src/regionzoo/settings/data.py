"""Settings of the jobs that make data: raw tree, scene store, regions, caption sets, text tables."""

from __future__ import annotations

from typing import Literal

from regionzoo.settings.base import Count, NonNegative, Positive, Seed, Settings, Share, Truth


class RoomSizes(Settings):
    """Sizes of the synthetic rooms."""

    train_scenes: Count
    val_scenes: Count
    frames: Seed
    vertex_spacing: Positive
    seed: Seed


class RawSettings(Settings):
    """Where the raw tree of a data set comes from: ``root`` of real data, or else ``synthetic`` sizes."""

    dataset: str
    root: str | None
    train_list: str
    val_list: str
    synthetic: RoomSizes | None


class PreprocessSettings(Settings):
    """Raw tree -> scene store. ``source`` is written into every scene and result."""

    dataset: str
    source: Literal["scannet", "synthetic-rooms"]
    train_list: str
    val_list: str
    exclude: tuple[str, ...]


class RegionSource(Settings):
    """A captioner and the way in which its boxes become points."""

    dataset: str
    captioner: Literal["simulated"]
    style: Literal["template", "grounded"]
    frame_stride: Count
    miss_rate: Share
    naming_noise: Share
    box_noise: NonNegative
    swap_xy_scale: Truth


class RegionSettings(Settings):
    """Frames of the training scenes -> captioned regions of one source."""

    name: str
    seed: Seed
    source: RegionSource


class FuseSettings(Settings):
    """Regions of a supplementary source added to a primary's (reference: SFusion)."""

    dataset: str
    primary: str
    supplementary: str
    iou_high: Share
    iou_low: Share


class TextSettings(Settings):
    """Prompts of a class set and the texts of a caption set -> unit vectors."""

    dataset: str
    classes: Literal["scannet20", "scannet200"]
    captions: str
    encoder: str
    template: Literal["identity", "lseg", "simple"]
