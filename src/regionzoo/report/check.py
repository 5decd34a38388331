"""Results against the ranges that the documentation promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from regionzoo.errors import UserError
from regionzoo.integrity import read_made


def check_files(metrics_paths: list[Path], expected_path: Path) -> bool:
    """Print measured beside expected; True if every promised number is inside its range.

    The file maps ``<row>: {source, scale, metrics: {<name>: [low, high]}}``. A result from another source or scale is
    not compared, and that counts as a failure: nothing was shown. Runs with overridden settings are passed over.
    """
    try:
        expected: dict[str, Any] = yaml.safe_load(expected_path.read_text())
    except FileNotFoundError:
        raise UserError(f"{expected_path}: no such file; run from the repository's root") from None
    table = Table("row", "data source", "metric", "measured", "expected", "")
    good = True
    for path in metrics_paths:
        result = read_made(path)
        if result.get("overrides"):
            table.add_row(result["row"], "", "", "", "", "another setting, not compared")
            continue
        promise = expected.get(result["row"])
        if promise is None:
            raise UserError(f"{expected_path}: nothing is promised for row {result['row']}")
        source = f"{result['data']['source']} ({result['data']['scale']})"
        if (result["data"]["source"], result["data"]["scale"]) != (promise["source"], promise["scale"]):
            table.add_row(result["row"], source, "", "", f"{promise['source']} ({promise['scale']})", "not comparable")
            good = False
            continue
        for name, (low, high) in promise["metrics"].items():
            value = result["metrics"].get(name)
            inside = value is not None and low <= value <= high
            good &= inside
            measured = "not defined" if value is None else f"{value:.2f}"
            table.add_row(result["row"], source, name, measured, f"{low} .. {high}", "ok" if inside else "OUTSIDE")
    Console().print(table)
    return good
