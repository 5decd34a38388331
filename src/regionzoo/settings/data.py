"""Settings of the jobs that make data: raw tree, scene store, regions, caption sets, text tables."""

from __future__ import annotations

from typing import Literal

from regionzoo.settings.base import ClassSetName, Count, NonNegative, Positive, Seed, Settings, Share
from regionzoo.settings.captioners import RegionSource


class RoomSizes(Settings):
    """Sizes of the synthetic rooms."""

    train_scenes: Count
    val_scenes: Count
    frames: Seed
    vertex_spacing: Positive
    seed: Seed


class StreetSizes(Settings):
    """Sizes of the synthetic streets: drives of each split, and keyframes (2 a second) of each drive."""

    train_scenes: Count
    val_scenes: Count
    keyframes: Count
    seed: Seed


Version = Literal["v2", "v1.0-mini", "v1.0-trainval"]
"""Release of a data set, which also says its format: ScanNet v2, or nuScenes v1.0."""
Format = Literal["raw", "pointgroup", "pointcept"]
"""What a root holds: the official download, or ScanNet's scenes as others have processed them."""
Source = Literal["scannet", "synthetic-rooms", "nuscenes", "synthetic-streets"]
"""Where data are from; written into every scene and beside every number."""


class RawSettings(Settings):
    """Where the raw tree of a data set comes from: ``root`` of real data, or else ``synthetic`` sizes.

    train_list, val_list: files that list the scenes of a split; None, for nuScenes: its official split, for processed
    scenes: those of the split's folder.
    """

    dataset: str
    version: Version
    format: Format = "raw"
    root: str | None
    train_list: str | None
    val_list: str | None
    synthetic: RoomSizes | StreetSizes | None


class PreprocessSettings(Settings):
    """Raw tree -> scene store. ``source`` is written into every scene and result."""

    dataset: str
    version: Version
    format: Format = "raw"
    source: Source
    train_list: str | None
    val_list: str | None
    exclude: tuple[str, ...]


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
    classes: tuple[ClassSetName, ...]
    captions: str
    encoder: str
    template: Literal["identity", "lseg", "simple"]
