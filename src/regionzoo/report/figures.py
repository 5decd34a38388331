"""Figures of one result: the training curves and the IoU of each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from regionzoo.artifacts import atomic_path, read_json
from regionzoo.errors import UserError

ROLE_COLORS = {"base": "tab:blue", "novel": "tab:orange", "ignored": "lightgrey"}
TERMS = ("seg", "binary", "caption")


def draw_result(folder: Path) -> list[Path]:
    """Write ``history.png`` and ``per_class.png`` into a result folder and return their paths.

    Every title names the data source, so that a synthetic number is never taken for a published one.
    """
    metrics = read_json(folder / "metrics.json")
    made = []
    for name, draw in (("history", _history), ("per_class", _per_class)):
        source = folder / f"{name}.csv"
        if not source.exists():
            raise UserError(f"{source}: no such file; build the row first")
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        draw(axes, pd.read_csv(source))
        axes.set_title(_title(metrics))
        with atomic_path(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=120)
        plt.close(figure)
        made.append(folder / f"{name}.png")
    return made


def _title(metrics: dict[str, Any]) -> str:
    data = metrics["data"]
    return f"{metrics['row']} on {data['source']} ({data['scale']}), protocol {metrics['protocol']['id']}"


def _history(axes: plt.Axes, table: pd.DataFrame) -> None:
    for term in TERMS:
        if table[term].any():
            axes.plot(table["epoch"], table[term], label=term)
    axes.set(xlabel="epoch", ylabel="mean loss", ylim=(0, None))
    axes.legend()


def _per_class(axes: plt.Axes, table: pd.DataFrame) -> None:
    table = table.sort_values(["role", "iou"], ascending=[True, False])
    for role, part in table[table["role"] != "ignored"].groupby("role", sort=False):
        axes.bar(part["class"], part["iou"], color=ROLE_COLORS[str(role)], label=role)
    axes.set(ylabel="IoU, %", ylim=(0, 100))
    axes.tick_params("x", rotation=60)
    axes.legend()
