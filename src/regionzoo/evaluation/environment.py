"""What code and packages made a result, and how much memory it took. No torch in here."""

from __future__ import annotations

import csv
import importlib.metadata
import platform
import resource
import subprocess
import sys
from pathlib import Path

from regionzoo import __version__
from regionzoo.errors import UserError

PACKAGES = ("torch", "numpy", "scipy", "safetensors", "open_clip_torch", "transformers", "snakemake", "dvc")


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


def training_hours(trained: Path | None) -> dict[str, float]:
    """``train_hours`` from the last line of a training's history.csv; nothing if there is none."""
    path = trained / "history.csv" if trained else None
    if path is None or not path.is_file():
        return {}
    lines = list(csv.DictReader(path.read_text().splitlines()))
    try:
        return {"train_hours": round(float(lines[-1]["seconds"]) / 3600, 4)} if lines else {}
    except (KeyError, ValueError, TypeError):
        raise UserError(f"{path}: no column of seconds; train the row again") from None
