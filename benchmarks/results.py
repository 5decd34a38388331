"""``benchmarks/RESULTS.md`` from the JSON files of the benchmarks: every stage beside its baseline, and a row's cost.

    python benchmarks/results.py

Nothing is measured here. A stage that has no JSON file is named with the command that makes it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import row_cost
from result_stages import STAGES, Line, Stage

from regionzoo.artifacts import write_text

HERE = Path(__file__).resolve().parent
MACHINE = ("device", "gpus", "cores", "processors", "threads", "openblas_threads", "processes", "workers", "loaders")
VERSIONS = ("python", "torch", "triton", "spconv", "minkowskiengine", "numpy", "snakemake", "dvc")

PREFACE = """\
# Measured

Made by `python benchmarks/results.py` from the JSON files beside it; do not edit. Ways of one case were measured in one
run; tables are of different machines and days. A factor says how many times faster a way is than its case's baseline.
"""


def page(folder: Path, params: Path) -> str:
    """The whole page, from the JSON files in ``folder`` and the rows of ``params.yaml``."""
    known = {stage.file: _read(folder / stage.file) for stage in STAGES}
    parts = [
        *PREFACE.splitlines(),
        "",
        "## Cost of a row",
        "",
        *row_cost.lines(params, known["train_step.json"]),
    ]
    if known["train_step.json"] is None:
        parts += ["", "A pass has not been measured: run `python benchmarks/train_step.py` on a GPU."]
    for stage in STAGES:
        parts += ["", f"## {stage.title}", "", *_section(stage, known[stage.file])]
    return "\n".join(parts) + "\n"


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None


def _section(stage: Stage, data: dict[str, Any] | None) -> list[str]:
    if data is None:
        return [f"Not measured: `{stage.file}` is missing; `{stage.command}` makes it."]
    lines = stage.read(data)
    found = [f"`{stage.command}` -> `{stage.file}`. {stage.data}", ""]
    for run, facts in stage.facts(data).items():
        told = [_told(facts, MACHINE), _told(facts, VERSIONS)]
        told.append("; ".join(f"{name}: {value}" for name, value in facts.items() if _other(name, value)))
        found.append(f"- {run + ': ' if run else ''}{'. '.join(part for part in told if part)}.")
    found += [
        "",
        f"| case | way | median, {stage.unit} | {stage.spread} | memory | factor |",
        "|---|---|---|---|---|---|",
    ]
    base = {line.case: line.median for line in lines if line.way == stage.baseline}
    found += [_row(line, base.get(line.case), stage.rate) for line in lines]
    remarks = stage.more(data)
    return [*found, "", *remarks] if remarks else found


def _row(line: Line, base: float | None, rate: bool) -> str:
    factor = "-"
    if base:
        factor = f"{line.median / base if rate else base / line.median:.2f}"
    spread = f"{line.spread[0]:,g} to {line.spread[1]:,g}" if line.spread else "-"
    return f"| {line.case} | {line.way} | {line.median:,g} | {spread} | {line.memory or '-'} | {factor} |"


def _told(facts: dict[str, Any], names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {facts[name]}" for name in names if facts.get(name) is not None)


def _other(name: str, value: Any) -> bool:
    return name not in (*MACHINE, *VERSIONS) and not isinstance(value, dict | list) and value is not None


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    args = parser.parse_args()
    write_text(args.out, page(HERE, HERE.parent / "params.yaml"))


if __name__ == "__main__":
    main()
