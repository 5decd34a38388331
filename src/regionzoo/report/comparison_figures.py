"""Published against rebuilt scores as bars, one figure a table; numbers that may not be compared in a panel apart."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from regionzoo.report.lines import TITLES, Line
from regionzoo.report.tables import heading, metrics_of

matplotlib.rcParams["text.parse_math"] = False  # a "$" in a name is a dollar

PUBLISHED, REBUILT, APART = "#9aa5b1", "#1f6fb4", "#c47f17"
HEIGHT = 0.38
"""Thickness of a bar where 1 is the distance of two lines."""


def draw_comparison(table: str, lines: list[Line]) -> Figure:
    """Upper panels: published and comparable rebuilt scores. Lower panels, if any: hatched bars of all other runs."""
    metrics = metrics_of(table, lines)
    apart = [line for line in lines if line.state == "built" and line.reason is not None and line.scores]
    heights = [max(len(lines), 1) + 1.5] + ([len(apart) + 1.5] if apart else [])
    figure = plt.figure(figsize=(11, 1.2 + 0.46 * sum(heights)), layout="constrained")
    figure.suptitle(TITLES[table], fontsize=12)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    parts[0].suptitle("Published, and rebuilt where it may be compared", fontsize=10)
    _comparable(parts[0].subplots(1, len(metrics), sharey=True, squeeze=False)[0], lines, metrics)
    if apart:
        kinds = {"synthetic": "synthetic scenes"}
        marks = " or ".join(sorted({kinds.get(line.mark, "made in another way") for line in apart}, reverse=True))
        parts[1].suptitle(f"NOT COMPARABLE with the scores above: {marks}", fontsize=10, color=APART, weight="bold")
        _apart(parts[1].subplots(1, len(metrics), sharey=True, squeeze=False)[0], apart, metrics)
    return figure


def _comparable(panels: np.ndarray, lines: list[Line], metrics: tuple[str, ...]) -> None:
    places = np.arange(len(lines))
    for axes, metric in zip(panels, metrics, strict=True):
        published = [line.published.scores.get(metric, 0.0) for line in lines]
        axes.barh(places - HEIGHT / 2, published, HEIGHT, color=PUBLISHED, label="published")
        found = [(k, score) for k, line in enumerate(lines) if (score := line.rebuilt(metric))]
        axes.barh(
            [k + HEIGHT / 2 for k, _ in found],
            [score.mean for _, score in found],
            HEIGHT,
            xerr=[score.spread or 0.0 for _, score in found] if found else None,
            color=REBUILT,
            label="rebuilt",
        )
        for k, value in enumerate(published):
            if metric in lines[k].published.scores:
                _number(axes, value, k - HEIGHT / 2, str(value))
        for k, score in found:
            _number(axes, score.mean + (score.spread or 0.0), k + HEIGHT / 2, f"{score.mean:.1f}")
        _finish(axes, [line.title for line in lines], heading(metric))
    if len(panels) and any(line.rebuilt(metric) for line in lines for metric in metrics):
        panels[-1].legend(loc="lower right", fontsize=8)


def _apart(panels: np.ndarray, lines: list[Line], metrics: tuple[str, ...]) -> None:
    for axes, metric in zip(panels, metrics, strict=True):
        for k, line in enumerate(lines):
            score = line.apart(metric)
            if score is None:
                continue
            axes.barh(
                k, score.mean, 0.6, xerr=score.spread, facecolor="white", edgecolor=APART, hatch="////", linewidth=1
            )
            _number(axes, score.mean + (score.spread or 0.0), k, f"{score.mean:.1f} ({line.mark})")
        _finish(axes, [line.title for line in lines], heading(metric), room=150)


def _number(axes: plt.Axes, x: float, y: float, text: str) -> None:
    axes.annotate(text, (x, y), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7.5)


def _finish(axes: plt.Axes, names: list[str], title: str, room: int = 115) -> None:
    axes.set_yticks(np.arange(len(names)), names, fontsize=8)
    # Room on the right for the numbers behind the bars.
    axes.set(xlim=(0, room), ylim=(len(names) - 0.4, -0.6), xticks=range(0, 101, 20))
    axes.set_title(f"{title}, %", fontsize=9)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.tick_params("x", labelsize=8)
