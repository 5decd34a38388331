"""Whether a rebuilt number may stand beside a published one. Everything that takes a difference asks here."""

from __future__ import annotations

from regionzoo.report.results import Metrics

REAL_SOURCES = ("scannet", "nuscenes")
"""Data sources that hold real scans. Any other source is taken for not comparable."""


def comparable(metrics: Metrics) -> str | None:
    """None if the numbers may be compared with published ones, or else the reasons why not, in a few words.

    Synthetic data, the scale ``small``, simulated captions or features, and settings other than the row's own (but for
    the seed) make numbers of something else. A source or scale that is not known here counts as not comparable.
    """
    data, reasons = metrics.data, []
    if is_synthetic(metrics):
        reasons.append("synthetic data")
    elif data.source not in REAL_SOURCES:
        reasons.append(f"unknown data source '{data.source}'")
    if data.scale != "paper":
        reasons.append(f"scale {data.scale}")
    if data.captions.on and not data.captions.captioners:
        reasons.append("unknown captioner")
    if data.captions.on and any("simulated" in name for name in data.captions.captioners):
        reasons.append("simulated captioner")
    if data.distill and data.features.provider in (None, "none"):
        reasons.append("unknown features")
    if data.distill and "simulated" in (data.features.provider or ""):
        reasons.append("simulated features")
    changed = sorted(set(metrics.overrides) - {"seed"})
    if changed:
        reasons.append(f"changed settings {', '.join(changed)}")
    return ", ".join(reasons) or None


def is_synthetic(metrics: Metrics) -> bool:
    """Whether the scans were generated."""
    return metrics.data.source.startswith("synthetic")


def mark(metrics: Metrics) -> str:
    """What stands behind each number that may not be compared, so that a copied cell keeps it; "" for others."""
    if is_synthetic(metrics):
        return "synthetic"
    return "" if comparable(metrics) is None else "not comparable"
