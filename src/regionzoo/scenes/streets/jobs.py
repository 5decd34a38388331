"""The drives of a data set: their names, keys and streams of random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from regionzoo.scenes.streets.settings import GENERATOR_VERSION, SPLITS, StreetSettings

# Streams of random numbers: each draw belongs to (seed, split, number, stream), sweeps to their keyframe besides.
STREET, RIG, CLOCK, SWEEP = range(4)


@dataclass(frozen=True)
class Job:
    """One drive to write: ``number`` counts within its split (0 = train, 1 = val)."""

    split: int
    number: int
    settings: StreetSettings

    @property
    def scene(self) -> str:
        """Name of the drive, such as scene-0001."""
        return self.settings.names(SPLITS[self.split])[self.number]

    def rng(self, stream: int, keyframe: int = 0) -> np.random.Generator:
        """The generator of one stream."""
        return np.random.default_rng([self.settings.seed, self.split, self.number, stream, keyframe])

    def key(self) -> dict[str, Any]:
        """What decides the bytes of the drive."""
        return {
            "generator": GENERATOR_VERSION,
            "seed": self.settings.seed,
            "split": self.split,
            "number": self.number,
            "keyframes": self.settings.keyframes,
        }


def jobs(settings: StreetSettings) -> Iterator[Job]:
    """The drives of both splits, training first."""
    for split, name in enumerate(SPLITS):
        for number in range(settings.count(name)):
            yield Job(split, number, settings)
