"""The rows of params.yaml as a table on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from regionzoo.config import Params, load_params


def published_text(params: Params, row: str) -> str:
    """The published scores of a row in the model zoo's notation, or a dash."""
    scores = params.published.get(row)
    if scores is None:
        return "-"
    if scores.hiou is not None:
        return f"{scores.hiou} / {scores.miou_base} / {scores.miou_novel}"
    return f"{scores.miou} ({scores.macc})"


def print_rows(path: Path) -> None:
    """Print every row with its data source, novel classes, published scores and target."""
    params = load_params(path)
    table = Table("row", "data source", "novel classes", "published", "target")
    for name, row in params.rows.items():
        table.add_row(
            name,
            f"{params.source(row.dataset)} ({params.resolved_scale(row.dataset)})",
            ", ".join(row.train.novel),
            published_text(params, name),
            f"results/{name}/metrics.json",
        )
    Console().print(table)
