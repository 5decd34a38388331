"""Stage evaluate: saved predictions -> metrics.json, scores.json and per_class.csv. No network, no torch."""

from __future__ import annotations

from pathlib import Path

from regionzoo.artifacts import manifest_hash, write_json, write_text
from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.evaluation import environment, record
from regionzoo.evaluation.score import score
from regionzoo.integrity import manifest_of, require_content
from regionzoo.settings.train import EvaluateSettings


def run(settings: EvaluateSettings, scenes: Path, predictions: Path, out: Path, trained: Path | None = None) -> None:
    """Score the predictions under the row's own protocol and those beside it; write the files into ``out``.

    trained: folder of the row that was trained, whose history.csv says what that cost. It is no input of the job: the
    scores do not depend on it.
    """
    require_content(scenes)
    scored = score(predictions, scenes, (settings.protocol, *settings.also))
    facts, training = scored.facts, scored.facts.training
    if facts.row != settings.row:
        raise UserError(f"{predictions}: predictions of row '{facts.row}', not '{settings.row}'")
    own = scored.by_protocol[settings.protocol]
    per_class = record.per_class_table(own.scores, class_set(facts.classes.set), facts.classes.roles)
    metrics = {
        "format": record.FORMAT_VERSION,
        "task": facts.task,
        "row": settings.row,
        "unit": "percent",
        "metrics": own.metrics,
        "per_class": {line["class"]: line["iou"] for line in per_class.to_dict("records")},
        "protocol": own.protocol.model_dump(mode="json") | {"averaged": own.averaged},
        "protocols": {identifier: found.metrics for identifier, found in scored.by_protocol.items()},
        "data": {
            "source": training.source,
            "note": record.note(training.source),
            "scale": training.scale,
            "scenes": scored.counts.scenes,
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
