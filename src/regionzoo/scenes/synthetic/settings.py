"""Settings of the synthetic rooms and the version of the generator."""

from __future__ import annotations

from dataclasses import dataclass

from regionzoo.errors import UserError

GENERATOR_VERSION = "2"
"""Part of every scene's key: raise it when the same settings would give other bytes."""

VAL_SPACE = 5000
"""Number of the first validation space; training spaces count from 0, so the two sets share no room."""

MAX_SCENES = 5000


@dataclass(frozen=True)
class RoomSettings:
    """What to generate.

    train_scenes, val_scenes: number of scans of each split, at most 5000 each. frames: posed images of each
    training scan, 0 for none. vertex_spacing: distance of neighbouring mesh vertices in metres. seed: any
    non-negative integer.
    """

    train_scenes: int
    val_scenes: int
    frames: int
    vertex_spacing: float
    seed: int

    def __post_init__(self) -> None:
        for name in ("train_scenes", "val_scenes"):
            if not 0 <= getattr(self, name) <= MAX_SCENES:
                raise UserError(f"synthetic {name}={getattr(self, name)}: expected 0..{MAX_SCENES}")
        if not 0 <= self.frames <= 1000:
            raise UserError(f"synthetic frames={self.frames}: expected 0..1000")
        if not 0.01 <= self.vertex_spacing <= 0.5:
            raise UserError(f"synthetic vertex_spacing={self.vertex_spacing}: expected 0.01..0.5 metres")
        if self.seed < 0:
            raise UserError(f"synthetic seed={self.seed}: expected 0 or more")
