"""Settings of the synthetic streets and the version of the generator."""

from __future__ import annotations

from dataclasses import dataclass

from regionzoo.errors import UserError
from regionzoo.scenes.nuscenes_layout import NuScenesVersion, official_split

GENERATOR_VERSION = "2"
"""Part of every drive's key: raise it when the same settings would give other bytes."""

VERSION: NuScenesVersion = "v1.0-trainval"
"""The version of the data set whose layout and scene names are used."""

SPLITS = ("train", "val")
MAX_KEYFRAMES = 40


@dataclass(frozen=True)
class StreetSettings:
    """What to generate.

    train_scenes, val_scenes: number of drives of each split, at most as many as the official split has. keyframes:
    annotated sweeps of each drive, two a second. seed: any non-negative integer.
    """

    train_scenes: int
    val_scenes: int
    keyframes: int
    seed: int

    def __post_init__(self) -> None:
        for split in SPLITS:
            count, most = self.count(split), len(official_split(VERSION)[split])
            if not 0 <= count <= most:
                raise UserError(f"synthetic {split}_scenes={count}: expected 0..{most}")
        if not 1 <= self.keyframes <= MAX_KEYFRAMES:
            raise UserError(f"synthetic keyframes={self.keyframes}: expected 1..{MAX_KEYFRAMES}")
        if self.seed < 0:
            raise UserError(f"synthetic seed={self.seed}: expected 0 or more")

    def count(self, split: str) -> int:
        """Number of drives of a split."""
        return self.train_scenes if split == "train" else self.val_scenes

    def names(self, split: str) -> tuple[str, ...]:
        """Names of the drives of a split: the first of the official split."""
        return official_split(VERSION)[split][: self.count(split)]
