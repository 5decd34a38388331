"""The command ``regionzoo score``: saved predictions under other protocols, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from regionzoo.artifacts import write_json
from regionzoo.evaluation.environment import git_revision
from regionzoo.evaluation.protocols import Protocol, protocols
from regionzoo.evaluation.record import FORMAT_VERSION, note
from regionzoo.evaluation.score import Scored, score

# What a published table shows of each kind.
HEADLINES = {"base-novel": ("hIoU", "mIoU_base", "mIoU_novel"), "mean": ("mIoU", "mAcc")}


def print_protocols() -> None:
    """Print every protocol with the decisions that move numbers."""
    table = Table("protocol", "rule", show_lines=True)
    table.columns[0].no_wrap = True
    for rules in protocols().values():
        table.add_row(rules.id, f"{rules.title}\n[dim]{_decisions(rules)}[/dim]")
    Console().print(table)


def score_command(predictions: Path, identifiers: Sequence[str], scenes: Path, out: Path | None = None) -> None:
    """Score a predictions folder and print a table; with ``out`` also write JSON with all metrics.

    identifiers: protocols; none: every one that fits. Raises :class:`regionzoo.errors.UserError` as
    :func:`regionzoo.evaluation.score.score` does; then nothing is written.
    """
    scored = score(predictions, scenes, identifiers)
    training = scored.facts.training
    table = Table("protocol", "mean over", "metric", "percent", title=_title(scored))
    for identifier, found in scored.by_protocol.items():
        names = HEADLINES[found.protocol.kind]
        table.add_row(
            identifier,
            " + ".join(f"{n} {name}" if name != "all" else f"{n} classes" for name, n in found.averaged.items()),
            " / ".join(names),
            " / ".join(f"{found.metrics[name]:.2f}" for name in names),
        )
    console = Console()
    console.print(table)
    if note(training.source):
        console.print(note(training.source))
    if out is not None:
        write_json(
            out,
            {
                "format": FORMAT_VERSION,
                "task": scored.facts.task,
                "row": scored.facts.row,
                "unit": "percent",
                "protocols": {identifier: found.metrics for identifier, found in scored.by_protocol.items()},
                "averaged": {identifier: found.averaged for identifier, found in scored.by_protocol.items()},
                "data": {
                    "source": training.source,
                    "note": note(training.source),
                    "scale": training.scale,
                    "scenes": scored.counts.scenes,
                    "points": scored.counts.points,
                },
                "predictions_manifest_sha256": scored.manifest_sha256,
                "weights_sha256": training.weights_sha256,
                "git": git_revision(),
            },
        )


def _title(scored: Scored) -> str:
    training = scored.facts.training
    return f"{scored.facts.row} on {training.source} ({training.scale}), {scored.counts.scenes} scenes"


def _decisions(rules: Protocol) -> str:
    named = rules.excluded if isinstance(rules.excluded, str) else ", ".join(rules.excluded)
    outside = [] if named == "none" else [{"ignored": "what the row ignores"}.get(named, named)]
    if rules.train_only == "exclude":
        outside.append("classes without validation points")
    return "; ".join(
        (
            ", ".join(rules.class_sets),
            f"outside the means: {' and '.join(outside) or 'nothing'}",
            f"predictions: {rules.prediction}",
            f"absent classes {'score 0' if rules.absent == 'zero' else 'are left out'}",
            f"unlabelled points {'are left out' if rules.unlabelled == 'ignore' else f'count as {rules.unlabelled}'}",
        )
    )
