"""The command ``regionzoo score``: saved predictions under other protocols, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from regionzoo.artifacts import write_json
from regionzoo.evaluation.environment import git_revision
from regionzoo.evaluation.instance_protocols import InstanceProtocol, instance_protocols
from regionzoo.evaluation.instance_score import InstanceScore, score_instances
from regionzoo.evaluation.notes import note
from regionzoo.evaluation.predictions import load_facts
from regionzoo.evaluation.protocols import Protocol, protocols
from regionzoo.evaluation.record import FORMAT_VERSION
from regionzoo.evaluation.score import Score, score

# What a published table shows of each kind.
HEADLINES = {"base-novel": ("hIoU", "mIoU_base", "mIoU_novel"), "mean": ("mIoU", "mAcc")}
INSTANCE_HEADLINES = ("hAP50", "AP50_base", "AP50_novel")


def print_protocols() -> None:
    """Print every protocol with the decisions that move numbers."""
    table = Table("protocol", "rule", show_lines=True)
    table.columns[0].no_wrap = True
    for rules in protocols().values():
        table.add_row(rules.id, f"{rules.title}\n[dim]{_decisions(rules)}[/dim]")
    for rules in instance_protocols().values():
        table.add_row(rules.id, f"{rules.title}\n[dim]{_instance_decisions(rules)}[/dim]")
    Console().print(table)


def score_command(predictions: Path, identifiers: Sequence[str], scenes: Path, out: Path | None = None) -> None:
    """Score a predictions folder and print a table; with ``out`` also write JSON with all metrics.

    identifiers: protocols, of classes or of instances; none: every one that fits. Raises
    :class:`regionzoo.errors.UserError` as :func:`regionzoo.evaluation.score.score` does; then nothing is written.
    """
    facts, _, identity = load_facts(predictions)
    of_instances = [identifier for identifier in identifiers if identifier in instance_protocols()]
    of_points = [identifier for identifier in identifiers if identifier not in of_instances]
    found: dict[str, Score | InstanceScore] = {}
    if of_instances or (facts.task == "instance" and not identifiers):
        instances = score_instances(predictions, scenes, of_instances)
        scenes_scored, points = instances.scenes, instances.points
        found |= instances.by_protocol
    if of_points or not identifiers:
        scored = score(predictions, scenes, of_points)
        scenes_scored, points = scored.counts.scenes, scored.counts.points
        found |= scored.by_protocol
    training = facts.training
    title = f"{facts.row} on {training.source} ({training.scale}), {scenes_scored} scenes"
    table = Table("protocol", "mean over", "metric", "percent", title=title)
    table.columns[0].min_width = max(map(len, found))
    for identifier in identifiers or found:
        one = found[identifier]
        names = INSTANCE_HEADLINES if isinstance(one, InstanceScore) else HEADLINES[one.protocol.kind]
        table.add_row(
            identifier,
            " + ".join(f"{n} {name}" if name != "all" else f"{n} classes" for name, n in one.averaged.items()),
            " / ".join(names),
            " / ".join(f"{one.metrics[name]:.2f}" for name in names),
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
                "task": facts.task,
                "row": facts.row,
                "unit": "percent",
                "protocols": {identifier: one.metrics for identifier, one in found.items()},
                "averaged": {identifier: one.averaged for identifier, one in found.items()},
                "data": {
                    "source": training.source,
                    "note": note(training.source),
                    "scale": training.scale,
                    "scenes": scenes_scored,
                    "points": points,
                },
                "predictions_manifest_sha256": identity,
                "weights_sha256": training.weights_sha256,
                "git": git_revision(),
            },
        )


def _instance_decisions(rules: InstanceProtocol) -> str:
    return "; ".join(
        (
            ", ".join(rules.class_sets),
            f"no instances of {' and '.join(rules.excluded)}",
            f"from {rules.min_points} points on",
            f"scenes without proposals are {rules.no_proposals}",
        )
    )


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
