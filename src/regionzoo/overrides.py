"""One run of a row with other settings, kept apart from the row's own results and written down."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from regionzoo.config import load_params
from regionzoo.errors import UserError
from regionzoo.settings.train import EvaluateSettings, PredictSettings, TrainSettings

# What an override may not touch: these belong to the inputs or name the run.
FIXED = ("row", "dataset", "source", "scale", "overrides", "template", "classes")


@dataclass(frozen=True)
class Inputs:
    """Artifacts that the workflow has built for a row."""

    scenes: Path
    captions: Path
    features: Path
    text: Path


@dataclass(frozen=True)
class Run:
    """Settings of the three jobs of one run, and their inputs."""

    train: TrainSettings
    predict: PredictSettings
    evaluate: EvaluateSettings
    inputs: Inputs


def overridden(params_path: Path, row: str, tag: str, assignments: list[str]) -> Run:
    """The run ``<row>+<tag>``; :class:`UserError` for a bad key, value, tag or input."""
    params = load_params(params_path)
    if row not in params.rows:
        near = difflib.get_close_matches(row, params.rows, n=1)
        raise UserError(
            f"no row '{row}'; " + (f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(params.rows)}")
        )
    if not re.fullmatch(r"[A-Za-z0-9._-]+", tag):
        raise UserError(f"--tag '{tag}': use letters, digits, '.', '_' and '-'")
    settings = params.train(row).model_dump(mode="json")
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, found, text = assignment.partition("=")
        if not found:
            raise UserError(f"--set {assignment}: expected KEY=VALUE, such as lr=0.01")
        changes[key] = _assign(settings, key, _value(text))
    settings["row"] = f"{row}+{tag}"
    settings["overrides"] = {key: value if _plain(value) else str(value) for key, value in changes.items()}
    entry = params.rows[row]
    folder = Path("data") / entry.dataset
    inputs = Inputs(
        folder / "scenes",
        folder / "captions" / entry.captions,
        folder / "features" / entry.features,
        folder / "text" / f"{entry.text}.safetensors",
    )
    for path in (inputs.scenes, inputs.captions, inputs.features, inputs.text):
        if not path.exists():
            raise UserError(f"{path}: not built yet; first run: snakemake --cores all results/{row}/metrics.json")
    name = {"row": settings["row"]}
    return Run(
        train=TrainSettings.check(settings, "--set"),
        predict=params.predict(row).model_copy(update=name),
        evaluate=params.evaluate(row).model_copy(update=name),
        inputs=inputs,
    )


def _value(text: str) -> Any:
    try:
        return float(text) if re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", text) else yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _assign(settings: dict[str, Any], key: str, value: Any) -> Any:
    parts = key.split(".")
    node: Any = settings
    for depth, part in enumerate(parts):
        valid = [name for name in node if depth or name not in FIXED] if isinstance(node, dict) else []
        if part not in valid:
            near = difflib.get_close_matches(part, valid, n=1, cutoff=0.5)
            hint = f"did you mean '{'.'.join([*parts[:depth], near[0]])}'?" if near else f"valid: {', '.join(valid)}"
            raise UserError(f"--set {key}: no such setting; {hint}")
        if depth == len(parts) - 1:
            node[part] = value
        node = node[part]
    return value
