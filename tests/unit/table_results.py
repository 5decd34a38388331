"""Result folders for the tests of the tables, with plausible numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from regionzoo.classes import class_set
from regionzoo.settings.train import Published, TablesSettings

# Copied by hand from the zoo: table, data set, setting, scores.
ZOO = {
    "scannet_b15n4": ("semantic-base", "ScanNet", "B15/N4", (69.4, 68.2, 70.7)),
    "scannet_b12n7": ("semantic-base", "ScanNet", "B12/N7", (68.2, 69.9, 66.6)),
    "scannet_b10n9": ("semantic-base", "ScanNet", "B10/N9", (64.3, 76.3, 55.6)),
    "nuscenes_b12n3": ("semantic-base", "nuScenes", "B12/N3", (64.4, 75.8, 56.0)),
    "nuscenes_b10n5": ("semantic-base", "nuScenes", "B10/N5", (49.0, 75.8, 36.3)),
    "scannet200_b170n30": ("semantic-base", "ScanNet200", "B170/N30", (16.9, 21.6, 13.9)),
    "scannet200_b150n50": ("semantic-base", "ScanNet200", "B150/N50", (14.6, 22.4, 10.8)),
    "scannet_zs_unet16": ("semantic-free", "ScanNet", "RegionPLC + SparseUNet16", (56.9, 75.6)),
    "scannet_zs_unet32": ("semantic-free", "ScanNet", "RegionPLC + SparseUNet32", (59.6, 77.5)),
    "scannet_zs_openscene_unet16": ("semantic-free", "ScanNet", "RegionPLC + OpenScene + SparseUNet16", (60.1, 74.4)),
    "scannet_zs_openscene_unet32": ("semantic-free", "ScanNet", "RegionPLC + OpenScene + SparseUNet32", (63.6, 80.3)),
    "scannet200_zs_unet32": ("semantic-free", "ScanNet200", "RegionPLC + SparseUNet32", (9.1, 17.3)),
    "scannet200_zs_openscene_unet32": (
        "semantic-free",
        "ScanNet200",
        "RegionPLC + OpenScene + SparseUNet32",
        (9.6, 17.8),
    ),
    "scannet_inst_b13n4": ("instance", "ScanNet", "B13/N4", (58.2, 59.2, 57.2)),
    "scannet_inst_b10n7": ("instance", "ScanNet", "B10/N7", (40.6, 53.9, 32.5)),
    "scannet_inst_b8n9": ("instance", "ScanNet", "B8/N9", (46.8, 62.5, 37.4)),
}
NAMES = {
    "semantic-base": ("hIoU", "mIoU_base", "mIoU_novel"),
    "semantic-free": ("mIoU", "mAcc"),
    "instance": ("hAP50", "AP50_base", "AP50_novel"),
}
PROTOCOL = "regionplc-base/1"
INSTANCE = "regionplc-instance/1"
REAL = {
    "source": "scannet",
    "scale": "paper",
    "captions": {"on": True, "captioners": ["kosmos-2", "detic"]},
    "text": {"encoder": "open_clip:ViT-B-16/openai"},
}


def zoo_settings(available: tuple[str, ...] | None = None) -> TablesSettings:
    """The published lines as the tables get them: through JSON with sorted keys."""
    published = {
        row: Published(
            table=table,
            dataset=dataset,
            setting=setting,
            protocol=INSTANCE if table == "instance" else PROTOCOL,
            scores=dict(zip(NAMES[table], scores, strict=True)),
            tolerance=1.0,
        )
        for row, (table, dataset, setting, scores) in ZOO.items()
    }
    built = tuple(row for row in ZOO if not row.startswith("nuscenes") and "inst" not in row)
    settings = TablesSettings(published=published, available=built if available is None else available)
    return TablesSettings.parse(settings.canonical())


def metrics_value(run: str, scores: dict[str, float | None], **changes: Any) -> dict[str, Any]:
    """A metrics.json of a synthetic run; ``data`` is merged, other keys are replaced."""
    data = {
        "source": "synthetic-rooms",
        "note": "",
        "scale": "small",
        "scenes": 20,
        "points": 1000,
        "scenes_manifest_sha256": "a" * 64,
        "captions": {"on": True, "captioners": ["simulated (template)"]},
        "distill": 0.0,
        "features": {"provider": "none"},
        "text": {"encoder": "minilm"},
    }
    value = {
        "format": 1,
        "task": "semantic",
        "row": run,
        "unit": "percent",
        "metrics": scores,
        "protocol": {"id": PROTOCOL},
        "protocols": {PROTOCOL: scores, "all-20/1": {"mIoU": 1.0}},
        "classes": {"set": "scannet20"},
        "trained_row": run,
        "seed": 0,
        "overrides": {},
        "device": "cpu (x86_64)",
        "cost": {"train_hours": 0.1432, "predict_hours": 0.004, "device": "cpu"},
    }
    return value | changes | {"data": data | changes.get("data", {})}


def write_result(results: Path, run: str, scores: dict[str, float | None], **changes: Any) -> Path:
    """Write ``results/<run>`` with metrics.json, per_class.csv and history.csv; returns the folder."""
    folder = results / run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics_value(run, scores, **changes)))
    write_plots_data(folder, "scannet20")
    return folder


def write_plots_data(folder: Path, classes: str, annotated: bool = True, history: bool = True) -> None:
    """per_class.csv of a class set (every fourth class novel, the last one ignored) and a history of three epochs."""
    names = class_set(classes).names
    roles = ["novel" if k % 4 == 0 or not annotated else "base" for k in range(len(names) - 1)] + ["ignored"]
    table = {"class": names, "role": roles, "iou": [float(k % 90) for k in range(len(names))], "accuracy": 50.0}
    pd.DataFrame(table | {"points": 10}).to_csv(folder / "per_class.csv", index=False)
    if history:
        losses = {"loss": [3.0, 2.0, 1.0], "seg": [1.0, 0.5, 0.4], "binary": 0.0, "caption": [2.0, 1.5, 0.6]}
        pd.DataFrame({"epoch": [1, 2, 3], **losses, "distill": 0.0}).to_csv(folder / "history.csv", index=False)


def write_instance_result(results: Path, run: str, scores: dict[str, float | None], **changes: Any) -> Path:
    """Write ``results/<run>`` of an instance row, scored under the reference's protocol and a stricter one."""
    stricter = {name: None if value is None else round(value - 1.5, 2) for name, value in scores.items()}
    protocols = {INSTANCE: scores, "scannet-instance/1": stricter}
    task: dict[str, Any] = {"task": "instance", "protocol": {"id": INSTANCE}, "protocols": protocols}
    folder = write_result(results, run, scores, **task | changes)
    names = class_set("scannet20").names
    roles = ["ignored" if k in (0, 1, 19) else "novel" if k % 4 == 0 else "base" for k in range(len(names))]
    table = {"class": names, "role": roles, "ap": 20.0, "ap50": [float(3 * k) for k in range(len(names))], "ap25": 60.0}
    pd.DataFrame(table | {"instances": 4}).to_csv(folder / "per_class.csv", index=False)
    losses = {"loss": [3.0, 2.0, 1.0], "seg": [1.0, 0.5, 0.4], "offset": [1.0, 0.7, 0.5]}
    late = {"mask": [0.0, 0.6, 0.5], "iou": [0.0, 0.2, 0.1], "distill": 0.0}
    pd.DataFrame({"epoch": [1, 2, 3], **losses, **late}).to_csv(folder / "history.csv", index=False)
    return folder
