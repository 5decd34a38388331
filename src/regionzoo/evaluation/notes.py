"""What must be said beside numbers and pictures of synthetic data."""

from __future__ import annotations

SYNTHETIC_NOTE = "Synthetic data: not comparable with any published score."


def note(source: str) -> str:
    """What must be said beside what comes from this data source; empty for real data."""
    return SYNTHETIC_NOTE if source.startswith("synthetic") else ""
