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
    style: Literal["template", "name", "grounded", "window"]
    frame_interval: Count
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


class FeatureSource(Settings):
    """Where the per-point features come from that a network is distilled from.

    provider: "none" (rows without distillation), "openscene" (fused features of that project, a folder of
    ``<scene>_<k>.pt``), or a source of per-pixel features that are fused over the views here: "open_clip" (dense
    features of ``model``), "files" (``<path>/<scene>/<frame>.npy``), "simulated" (label images and the text encoder).
    frame_interval: frames whose number is a multiple of it. chunks, chunk_points: own fusion writes so many random
    subsets of so many points a scene, the layout of OpenScene. noise: of "simulated", length of the noise vector that
    is added to each object's unit vector in each view.
    """

    dataset: str
    provider: Literal["none", "openscene", "open_clip", "files", "simulated"]
    path: str | None = None
    model: str | None = None
    frame_interval: Count = 20
    chunks: Count = 5
    chunk_points: Count = 20000
    noise: NonNegative = 0.0


class FeatureSettings(Settings):
    """Frames or imported files -> feature store. encoder: the text encoder in whose space "simulated" features are."""

    name: str
    seed: Seed
    source: FeatureSource
    encoder: str


class TextSettings(Settings):
    """Prompts of class sets and the texts of a caption set -> unit vectors."""

    dataset: str
    classes: tuple[Literal["scannet20", "scannet200"], ...]
    captions: str
    encoder: str
    template: Literal["identity", "lseg", "simple"]
