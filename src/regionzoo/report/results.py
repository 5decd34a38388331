"""Reading ``metrics.json``: what the tables need of it, checked, with one plain error if it cannot be used."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from regionzoo.artifacts import read_json
from regionzoo.errors import UserError
from regionzoo.integrity import read_made
from regionzoo.report.sheet import one_line

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Name = Annotated[str, AfterValidator(one_line)]


class _Part(BaseModel):
    """A part of a file that another job writes: keys that the tables do not use may come and go."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Captions(_Part):
    on: bool
    captioners: tuple[Name, ...]


class _Features(_Part):
    provider: Name | None = None


class _Text(_Part):
    encoder: Name = "unknown"


class Data(_Part):
    """Section ``data``: what the numbers are numbers of."""

    model_config = ConfigDict(frozen=True, extra="allow")

    source: Name
    scale: Name
    scenes: int | None = None
    captions: _Captions
    distill: Number = 0.0
    features: _Features = Field(default_factory=_Features)
    text: _Text = Field(default_factory=_Text)


class _Protocol(_Part):
    id: Name


class _Cost(_Part):
    train_hours: Number | None = None
    predict_hours: Number | None = None
    device: Name | None = None


class Metrics(_Part):
    """One ``metrics.json``. Scores are in percent, by the metric's name; a score that is not defined is None."""

    row: str
    task: Literal["semantic", "instance"] = "semantic"
    metrics: dict[str, Number | None]
    protocol: _Protocol
    protocols: dict[str, dict[str, Number | None]] = Field(default_factory=dict)
    data: Data
    classes: dict[str, Any] = Field(default_factory=dict)
    trained_row: Name | None = None
    seed: int
    overrides: dict[Name, Any] = Field(default_factory=dict)
    device: Name = "unknown"
    cost: _Cost = Field(default_factory=_Cost)

    def scores(self, protocol: str) -> dict[str, float] | None:
        """The defined scores under a protocol; None if the predictions were not scored under it."""
        found = self.protocols.get(protocol, self.metrics if protocol == self.protocol.id else None)
        return None if found is None else {name: value for name, value in found.items() if value is not None}


def read_metrics(path: Path, row: str | None = None) -> Metrics:
    """Read one file; :class:`UserError` of one line if it is absent, damaged or not of ``row`` (None: of any)."""
    try:
        metrics = Metrics.model_validate(read_made(path))
    except ValidationError as error:
        item = error.errors()[0]
        where = "".join(f"{part}: " for part in item["loc"])
        raise UserError(one_line(f"{path}: {where}{item['msg'].lower()}; build it again")) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(one_line(f"{path}: cannot be read ({error}); build it again")) from None
    if row is not None and metrics.row != row:
        raise UserError(one_line(f"{path}: holds the row '{metrics.row}', not '{row}'; build it again"))
    return metrics


@dataclass(frozen=True)
class Runs:
    """A row's own run and its repeats with other seeds, sorted by seed, and what was left out and why."""

    runs: tuple[Metrics, ...]
    notes: tuple[str, ...] = field(default=())
    damaged: tuple[str, ...] = field(default=())


def read_runs(results: Path, row: str) -> Runs | None:
    """The runs of a row; None if it is not built. A damaged file of the row itself raises :class:`UserError`.

    A repeat is ``<row>+<tag>`` that overrides the seed alone and agrees with the row in all that ``data`` says (source,
    scale, hashes, captioners, text), in the protocol, and in the settings of ``config.json`` where both have one.
    """
    path = results / row / "metrics.json"
    if not path.exists():
        return None
    own = read_metrics(path, row)
    runs, notes, damaged = [own], [], []
    for folder in _repeats(results, row) if not own.overrides else ():
        try:
            run = read_metrics(folder / "metrics.json", folder.name)
            if set(run.overrides) != {"seed"}:
                continue
            reason = _no_repeat(own, run, results / row, folder, {run.seed for run in runs})
        except (UserError, OSError, ValueError, RecursionError) as error:
            damaged.append(one_line(str(error)))
            continue
        if reason is None:
            runs.append(run)
        else:
            notes.append(f"{folder.name} does not count as a repeat: {reason}.")
    return Runs(tuple(sorted(runs, key=lambda run: run.seed)), tuple(notes), tuple(damaged))


def _repeats(results: Path, row: str) -> list[Path]:
    return sorted(path for path in results.glob("*+*") if path.name.partition("+")[0] == row and _has_metrics(path))


def _has_metrics(folder: Path) -> bool:
    return (folder / "metrics.json").exists()


def _no_repeat(own: Metrics, run: Metrics, own_folder: Path, folder: Path, seeds: set[int]) -> str | None:
    """Why a run with another seed is no repeat of the row; None if it is one."""
    if run.data != own.data:
        return "its data, captions or text are not those of the row"
    if (run.protocol, set(run.protocols), run.classes) != (own.protocol, set(own.protocols), own.classes):
        return "it was scored under other protocols or for other classes"
    settings = (_settings(own_folder), _settings(folder))
    if None not in settings and settings[0] != settings[1]:
        return "its training settings are not those of the row"
    if run.seed in seeds:
        return f"seed {run.seed} is there already"
    return None


def _settings(folder: Path) -> dict[str, Any] | None:
    """The training settings in a ``config.json`` without what names a run; None if there are none."""
    path = folder / "config.json"
    if not path.exists():
        return None
    value = read_json(path)
    settings = value.get("settings") if isinstance(value, dict) else None
    if not isinstance(settings, dict):
        return None
    return {key: item for key, item in settings.items() if key not in ("row", "seed", "overrides")}


def mean_hours(values: list[float | None]) -> float | None:
    """Mean over runs; None if a run does not say."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None
