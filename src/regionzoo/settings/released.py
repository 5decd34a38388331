"""Settings of a row whose weights are the original's own."""

from __future__ import annotations

from typing import Literal

from regionzoo.settings.base import Settings
from regionzoo.settings.train import Classes, TrainSettings


class ReleasedFile(Settings):
    """Section ``released.<row>``: where the checkpoint is, if it is not taken from its published address.

    checkpoint: a file on this disk, or an address. layout: axes of its convolutions, None to tell them by their shapes.
    remap: the predecessor of the original that it comes from, None for none.
    """

    checkpoint: str | None = None
    layout: Literal["okkki", "kkkoi", "kkkio"] | None = None
    remap: Literal["3dlang", "no-adapter", "kd-adapter", "lai"] | None = None


class ReleasedSettings(Settings):
    """A published checkpoint -> the weights of a row.

    train: how the original trained them. classes: what the row asks for, which need not be the classes of the training.
    encoder: encodes the classes if the checkpoint has vectors of others.
    """

    row: str
    file: ReleasedFile
    train: TrainSettings
    classes: Classes
    encoder: str
