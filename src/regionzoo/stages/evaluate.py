"""Stage evaluate: weights -> metrics.json and per_class.csv."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from regionzoo.artifacts import manifest_hash, read_json, sha256_file, write_json, write_text
from regionzoo.classes import class_set
from regionzoo.evaluation import record
from regionzoo.evaluation.predict import count_scenes
from regionzoo.evaluation.protocols import protocol
from regionzoo.evaluation.semantic import semantic_scores
from regionzoo.settings.train import EvaluateSettings, TrainSettings
from regionzoo.stages._folders import manifest_of, split_scenes
from regionzoo.stages._runtime import Runtime
from regionzoo.text.table import load_table
from regionzoo.training.build import build_network, partition_of
from regionzoo.training.checkpoint import load_model
from regionzoo.training.distributed import world


@dataclass(frozen=True)
class EvaluatePaths:
    """``result`` holds model.safetensors and config.json and receives the metrics."""

    scenes: Path
    captions: Path
    text: Path
    result: Path


def run(settings: EvaluateSettings, paths: EvaluatePaths, runtime: Runtime) -> None:
    """Score the weights on the validation scenes under the row's protocol."""
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    rules = protocol(settings.protocol)
    config = read_json(paths.result / "config.json")
    trained = TrainSettings.check(config["settings"], str(paths.result / "config.json"))
    table = load_table(paths.text)
    partition = partition_of(trained)
    classes = class_set(trained.classes)
    weights = paths.result / "model.safetensors"
    with world(runtime.device) as here:
        network = build_network(trained, table, runtime.engine)
        load_model(weights, network)
        network.to(here.device)
        counts = count_scenes(
            network,
            paths.scenes,
            split_scenes(paths.scenes, "val"),
            trained.classes,
            partition,
            trained.recipe.voxel_size,
            rules.calibrated,
            here,
            f"evaluate {settings.row}",
        )
        if not here.leader:
            return
        base = partition.base_idx or partition.train_columns
        scores = semantic_scores(counts.matrix, base, partition.novel_idx, classes.train_only, rules)
        per_class = record.per_class_table(scores, classes, partition)
        captions = read_json(manifest_of(paths.captions))["facts"]
        synthetic = trained.source.startswith("synthetic")
        metrics = {
            "format": record.FORMAT_VERSION,
            "row": settings.row,
            "unit": "percent",
            "metrics": record.metric_values(scores, counts.binary),
            "per_class": {line["class"]: line["iou"] for line in per_class.to_dict("records")},
            "protocol": asdict(rules),
            "data": {
                "source": trained.source,
                "note": record.SYNTHETIC_NOTE if synthetic else "",
                "scale": trained.scale,
                "scenes": counts.scenes,
                "points": counts.points,
                "scenes_manifest_sha256": manifest_hash(manifest_of(paths.scenes)),
                "captions": {"on": trained.caption.weight > 0, "captioners": captions["captioners"]},
                "text": table.facts,
            },
            "weights_sha256": sha256_file(weights),
            "seed": trained.seed,
            "overrides": trained.overrides,
            "git": record.git_revision(),
            "packages": record.package_versions(),
            "device": record.device_name(here.device),
            "cost": config["cost"] | {"evaluate_peak_memory_gib": record.peak_memory_gib()},
        }
        write_text(paths.result / "per_class.csv", per_class.to_csv(index=False))
        write_json(paths.result / "metrics.json", metrics)
