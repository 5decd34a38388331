"""Evaluation protocols as versioned data: which classes are averaged, and how the mean is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from regionzoo.errors import UserError


@dataclass(frozen=True)
class Protocol:
    """How one table of numbers is made from a confusion matrix.

    kind "base-novel": mIoU of base and of novel classes, harmonic mean, and their class-count-weighted mean.
    kind "valid": plain mean over the classes that are not ignored (annotation-free rows).
    absent "zero": a class without ground truth and predictions scores 0 (the original); "nan": left out of means.
    train_only "exclude": classes without validation points are left out of the means but may be predicted.
    """

    id: str
    kind: Literal["base-novel", "valid"]
    absent: Literal["zero", "nan"]
    train_only: Literal["exclude", "include"]
    points: str
    calibrated: bool


PROTOCOLS = (
    Protocol(
        id="regionplc-base/1",
        kind="base-novel",
        absent="zero",
        train_only="exclude",
        points="every input point, with its voxel's prediction; ignored ground truth skipped",
        calibrated=True,
    ),
)


def protocol(identifier: str) -> Protocol:
    """The protocol of an id; :class:`UserError` with the valid ids otherwise."""
    for entry in PROTOCOLS:
        if entry.id == identifier:
            return entry
    raise UserError(f"no evaluation protocol '{identifier}'; valid: {', '.join(entry.id for entry in PROTOCOLS)}")
