"""The rows of params.yaml as a table on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from regionzoo.classes import class_set
from regionzoo.config import Params, load_params
from regionzoo.settings.train import Classes, Published

NAMED = 5
"""Up to so many novel classes are named."""


def published_text(entry: Published | None) -> str:
    """The published scores in the model zoo's notation, or a dash."""
    if entry is None:
        return "-"
    values = [str(value) for value in entry.scores.values()]
    if set(entry.scores) == {"mIoU", "mAcc"}:
        return f"{entry.scores['mIoU']} ({entry.scores['mAcc']})"
    return " / ".join(values)


def classes_text(classes: Classes) -> str:
    """What is annotated: the novel classes by name or, if there are many, by number."""
    total = len(class_set(classes.set).names) - len(classes.ignore)
    if not classes.annotated:
        return f"annotation-free, {total} of {classes.set}"
    if len(classes.novel) > NAMED:
        return f"{len(classes.novel)} novel, {total - len(classes.novel)} base of {classes.set}"
    return f"novel: {', '.join(classes.novel) or 'none'}"


def print_rows(path: Path) -> None:
    """Print every row with its data source, classes, published scores and target; rows of the zoo come first."""
    params = load_params(path)
    table = Table("row", "data source", "classes", "published", "target")
    table.columns[0].no_wrap = True
    for name in dict.fromkeys([*params.published, *params.rows, *params.shared_rows]):
        entry = params.published.get(name)
        texts = [*_built_here(params, name, entry)]
        table.add_row(name, texts[0], texts[1], published_text(entry), texts[2])
    # A pipe has no width; wrapping there would break the names that people grep for.
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)


def _built_here(params: Params, name: str, entry: Published | None) -> tuple[str | Text, str, str | Text]:
    """Data source, classes and target of a row; of a row that is not part of this version, what is known."""
    target = Text(f"results/{name}/metrics.json", overflow="fold")
    if name in params.rows:
        row = params.rows[name]
        dataset, classes, addition = row.dataset, row.train.classes, ""
    elif name in params.shared_rows:
        shared = params.shared_rows[name]
        dataset, classes, addition = shared.dataset, shared.classes, f", weights of {shared.weights}"
    else:
        assert entry is not None
        return entry.dataset, entry.setting, "not part of this version"
    return f"{params.source(dataset)} ({params.resolved_scale(dataset)})", classes_text(classes) + addition, target
