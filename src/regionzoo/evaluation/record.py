"""``metrics.json`` and ``per_class.csv``: the numbers with everything that says what they are numbers of."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import torch

from regionzoo import __version__
from regionzoo.classes import ClassSet
from regionzoo.evaluation.semantic import SemanticScores
from regionzoo.models.settings import Partition

FORMAT_VERSION = 1
PACKAGES = ("torch", "numpy", "scipy", "safetensors", "open_clip_torch", "transformers", "snakemake", "dvc")
SYNTHETIC_NOTE = "Synthetic data: not comparable with any published score."


def percent(value: float) -> float:
    """A fraction as percent with two decimals, as tables print it."""
    return round(100 * value, 2)


def git_revision() -> str | None:
    """The commit of the working tree, with ``+`` if tracked files differ; None outside a repository."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed else "")


def package_versions() -> dict[str, str]:
    """Versions of the packages that numbers may depend on, and of Python."""
    versions = {"python": platform.python_version(), "regionzoo": __version__}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def peak_memory_gib() -> float:
    """Largest resident memory of this process so far, GiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 30 if sys.platform == "darwin" else 1 << 20), 2)


def device_name(device: torch.device) -> str:
    """Human name of a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


def metric_values(scores: SemanticScores, binary: np.ndarray) -> dict[str, float]:
    """The scores in percent; with a binary head also how often it is right, overall and as mean of both sides."""
    values = {name: percent(value) for name, value in scores.summary.items()}
    if binary.sum():
        hit, truth = np.diag(binary), binary.sum(axis=1)
        values["binary_allAcc"] = percent(hit.sum() / truth.sum())
        values["binary_mAcc"] = percent(float(np.mean(hit / np.maximum(truth, 1))))
    return values


def per_class_table(scores: SemanticScores, classes: ClassSet, partition: Partition) -> pd.DataFrame:
    """One line a class: role, IoU and accuracy in percent, number of ground-truth points."""

    def role(c: int) -> str:
        if c in partition.ignore_idx:
            return "ignored"
        return "novel" if c in partition.novel_idx else "base"

    rows: list[dict[str, Any]] = [
        {
            "class": name,
            "role": role(c),
            "iou": percent(float(scores.iou[c])),
            "accuracy": percent(float(scores.accuracy[c])),
            "points": int(scores.points[c]),
        }
        for c, name in enumerate(classes.names)
    ]
    return pd.DataFrame(rows)
