"""Stage evaluate: saved predictions -> metrics.json, scores.json and per_class.csv. No network, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regionzoo.artifacts import manifest_hash, write_json, write_text
from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.evaluation import environment, record
from regionzoo.evaluation.instance_protocols import instance_protocols
from regionzoo.evaluation.instance_score import InstanceScore, per_class_table, score_instances
from regionzoo.evaluation.notes import note
from regionzoo.evaluation.score import Score, score
from regionzoo.integrity import manifest_of, require_content
from regionzoo.settings.train import EvaluateSettings


def run(settings: EvaluateSettings, scenes: Path, predictions: Path, out: Path, trained: Path | None = None) -> None:
    """Score the predictions under the row's own protocol and those beside it; write the files into ``out``.

    trained: folder of the row that was trained, whose history.csv says what that cost. It is no input of the job: the
    scores do not depend on it.
    """
    require_content(scenes)
    asked = (settings.protocol, *settings.also)
    scored = score(predictions, scenes, [name for name in asked if name not in instance_protocols()])
    facts, training = scored.facts, scored.facts.training
    if facts.row != settings.row:
        raise UserError(f"{predictions}: predictions of row '{facts.row}', not '{settings.row}'")
    by_protocol: dict[str, Score | InstanceScore] = dict(scored.by_protocol)
    extra: dict[str, Any] = {}
    of_instances = [name for name in asked if name in instance_protocols()]
    if of_instances and facts.task != "instance":
        raise UserError(f"{predictions}: {of_instances[0]} scores instances, and row '{facts.row}' predicts none")
    if facts.task == "instance":
        instances = score_instances(predictions, scenes, of_instances)
        by_protocol |= instances.by_protocol
        # The original leaves such scenes out of its scores.
        extra["scenes_without_proposals"] = instances.unproposed
    own = by_protocol[settings.protocol]
    name, roles = facts.classes.set, facts.classes.roles
    per_class = record.per_class_table(next(iter(scored.by_protocol.values())).scores, class_set(name), roles)
    if isinstance(own, InstanceScore):
        # The class's IoU stays beside its average precision.
        per_class = per_class_table(own.scores, name, roles).merge(per_class[["class", "iou"]], on="class")
    metrics = {
        "format": record.FORMAT_VERSION,
        "task": facts.task,
        "row": settings.row,
        "unit": "percent",
        "metrics": own.metrics,
        "per_class": {line["class"]: line.get("ap50", line["iou"]) for line in per_class.to_dict("records")},
        "protocol": own.protocol.model_dump(mode="json") | {"averaged": own.averaged},
        "protocols": {identifier: by_protocol[identifier].metrics for identifier in asked},
        "data": {
            "source": training.source,
            "note": note(training.source),
            "scale": training.scale,
            "scenes": scored.counts.scenes,
            **extra,
            "points": scored.counts.points,
            "scenes_manifest_sha256": manifest_hash(manifest_of(scenes)),
            "captions": training.captions,
            "distill": training.distill,
            "features": training.features,
            "text": training.text,
            "unlabelled_as": training.unlabelled_as,
        },
        "classes": facts.classes.model_dump(mode="json"),
        "trained_row": training.row,
        "weights_sha256": training.weights_sha256,
        "released": training.released,
        "predictions_manifest_sha256": scored.manifest_sha256,
        "seed": training.seed,
        "overrides": training.overrides,
        "git": environment.git_revision(),
        "packages": environment.package_versions(),
        "device": facts.device,
        "cost": training.cost
        | environment.training_hours(trained)
        | {
            "predict_hours": facts.predict_hours,
            "predict_peak_memory_gib": facts.predict_peak_memory_gib,
            "evaluate_peak_memory_gib": environment.peak_memory_gib(),
        },
    }
    write_text(out / "per_class.csv", per_class.to_csv(index=False))
    write_json(out / "scores.json", record.summary(own.metrics, training.source, training.scale, settings.protocol))
    write_json(out / "metrics.json", metrics, seal=True)
