"""Figures of one result: the training curves and the score of each class."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from regionzoo.artifacts import atomic_path, write_bytes
from regionzoo.errors import UserError
from regionzoo.integrity import manifest_of, require_content
from regionzoo.report.comparable import comparable
from regionzoo.report.results import Metrics, read_metrics

matplotlib.rcParams["text.parse_math"] = False  # a "$" in a name is a dollar

ROLE_COLORS = {"base": "tab:blue", "novel": "tab:orange", "valid": "tab:green"}
TERMS = {
    "loss": "black",
    "seg": "tab:blue",
    "binary": "tab:green",
    "caption": "tab:orange",
    "distill": "tab:purple",
    "offset": "tab:cyan",
    "mask": "tab:red",
    "iou": "tab:brown",
}
"""Columns of history.csv with losses, and their colours."""


@dataclass(frozen=True)
class Bar:
    """The columns of ``per_class.csv`` that are drawn. score: percent. axis: its name. amount: how much there is of a
    class in the ground truth. what: its name.
    """

    score: str
    axis: str
    amount: str
    what: str


BARS = {
    "semantic": Bar("iou", "IoU, %", "points", "points"),
    "instance": Bar("ap50", "AP50, %", "instances", "instances"),
}
"""What is drawn of each class, by task."""

PICTURES = "instances"
"""Folder of a result with pictures of scenes, ``<scene>.png``."""
PNG = b"\x89PNG\r\n\x1a\n"

UPRIGHT = 25
"""Up to so many classes stand as upright bars; more lie in columns of at most ``COLUMN``."""
COLUMN = 50


def draw_result(folder: Path) -> list[Path]:
    """Write ``history.png`` and ``per_class.png`` into a result folder and return their paths.

    Every title names the data source, so that a synthetic number is never taken for a published one. What cannot be
    drawn for a good reason, such as the curves of a row that uses another row's weights, is said on stderr.
    """
    made, notes = draw_into(folder, folder, "")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return made


def draw_into(folder: Path, out: Path, prefix: str) -> tuple[list[Path], list[str]]:
    """Write ``<prefix>history.png`` and ``<prefix>per_class.png`` of a result into ``out``; returns paths and notes.

    :class:`UserError` if metrics.json or per_class.csv is absent or damaged.
    """
    metrics = read_metrics(folder / "metrics.json")
    title = title_of(metrics)
    made, notes = [], []
    history, note = _read_history(folder)
    if history is not None:
        made.append(save(history_figure(history, title), out / f"{prefix}history.png"))
    if note:
        notes.append(f"{folder.name}: {note}")
    bar = BARS[metrics.task]
    classes = _read_table(folder / "per_class.csv", ("class", "role", bar.score, bar.amount))
    made.append(save(per_class_figure(classes, title, bar), out / f"{prefix}per_class.png"))
    return made, notes


def copy_pictures(folder: Path, out: Path, prefix: str) -> list[Path]:
    """Copy a result's pictures of scenes to ``out`` as ``<prefix>instances_<scene>.png``, by name; none if it has none.

    :class:`UserError` if they are not what their manifest says, or one cannot be read or is no PNG file.
    """
    made = []
    if manifest_of(folder / PICTURES).exists():
        # In git, as the tables are.
        require_content(folder / PICTURES, back="git checkout --")
    for path in sorted((folder / PICTURES).glob("*.png")):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error}); draw the pictures again") from None
        if not content.startswith(PNG):
            raise UserError(f"{path}: not a PNG file; draw the pictures again")
        made.append(out / f"{prefix}{PICTURES}_{path.name}")
        write_bytes(made[-1], content)
    return made


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG: equal figures are equal bytes (no version, no time in it)."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, metadata={"Software": None})
    plt.close(figure)
    return path


def title_of(metrics: Metrics) -> str:
    """What a result is, and whether it may be compared: the title of its figures."""
    data, reason = metrics.data, comparable(metrics)
    first = f"{metrics.row} on {data.source} ({data.scale}), protocol {metrics.protocol.id}"
    return first if reason is None else f"{first}\nnot comparable with published scores: {reason}"


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; build the row first") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}); build the row again") from None
    absent = [name for name in columns if name not in table]
    if absent:
        raise UserError(f"{path}: no column {', '.join(absent)}; build the row again")
    for name in set(columns) - {"class", "role"}:
        if len(table) and not pd.api.types.is_numeric_dtype(table[name]):
            raise UserError(f"{path}: column {name} holds something else than numbers; build the row again")
    return table.astype({name: str for name in ("class", "role") if name in table})


def _read_history(folder: Path) -> tuple[pd.DataFrame | None, str]:
    """The history, or None and why there is none."""
    path = folder / "history.csv"
    if not path.exists():
        return None, "no training curves, as it has no history.csv: its weights are another row's"
    table = _read_table(path, ("epoch",))
    return (table, "") if len(table) else (None, "no training curves, as it was trained for no epoch")


def history_figure(table: pd.DataFrame, title: str) -> Figure:
    """Mean losses by epoch: the terms that are not 0 throughout, from where they begin, and their total."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    terms = [name for name in TERMS if name in table and pd.api.types.is_numeric_dtype(table[name])]
    # The total of a single term would only cover it.
    drawn = [name for name in terms if table[name].any() and not (name == "loss" and len(terms) == 2)]
    for name in drawn:
        style = "--" if name == "loss" else "-"
        marker = "o" if len(table) == 1 else None
        # Heads that join in later are no better in the beginning.
        begun = table[name].where(table[name].ne(0).cummax())
        axes.plot(table["epoch"], begun, style, marker=marker, color=TERMS[name], label=name)
    axes.set(xlabel="epoch", ylabel="mean loss", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    if drawn:
        axes.legend()
    figure.suptitle(title, fontsize=11)
    return figure


def per_class_figure(table: pd.DataFrame, title: str, bar: Bar = BARS["semantic"]) -> Figure:
    """Bars of the classes that the ground truth has, by role and then from the best to the worst."""
    scored = table[table["role"] != "ignored"]
    shown = scored[scored[bar.amount] > 0].sort_values(
        ["role", bar.score, "class"], ascending=[True, False, True], kind="stable"
    )
    left_out = len(scored) - len(shown)
    if "base" not in set(scored["role"]):
        # Annotation-free rows have no base classes beside which a class could be novel.
        shown = shown.assign(role="valid")
    if len(shown) <= UPRIGHT:
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        _bars(axes, shown, bar, upright=True)
        panels = [axes]
    else:
        count = math.ceil(len(shown) / COLUMN)
        rows = math.ceil(len(shown) / count)
        figure, panels = plt.subplots(
            1, count, figsize=(max(8, 4.2 * count), 0.17 * rows + 1.2), layout="constrained", squeeze=False
        )
        panels = list(panels[0])
        for k, axes in enumerate(panels):
            _bars(axes, shown.iloc[k * rows : (k + 1) * rows], bar, upright=False, slots=rows)
    if left_out:
        figure.supxlabel(f"left out: {left_out} classes without ground-truth {bar.what}", fontsize=8)
    roles = list(dict.fromkeys(shown["role"]))
    if len(roles) > 1:
        handles = [plt.Rectangle((0, 0), 1, 1, color=_color(role)) for role in roles]
        panels[-1].legend(handles, roles, loc="upper right" if len(shown) <= UPRIGHT else "lower right")
    figure.suptitle(title, fontsize=11)
    return figure


def _bars(axes: plt.Axes, part: pd.DataFrame, bar: Bar, upright: bool, slots: int = 0) -> None:
    places, values = np.arange(len(part)), part[bar.score].fillna(0.0)
    colors = [_color(role) for role in part["role"]]
    if upright:
        axes.bar(places, values, color=colors)
        axes.set_xticks(places, part["class"], rotation=60, ha="right", rotation_mode="anchor", fontsize=9)
        axes.set(ylabel=bar.axis, ylim=(0, 100))
        axes.grid(axis="y", alpha=0.3)
    else:
        axes.barh(places, values, color=colors)
        axes.set_yticks(places, part["class"], fontsize=7)
        axes.set(xlabel=bar.axis, xlim=(0, 100), ylim=(slots - 0.4, -0.6))
        axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _color(role: str) -> str:
    return ROLE_COLORS.get(role, "tab:grey")
