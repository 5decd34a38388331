"""The lines of the published tables, each with what was rebuilt of it."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from regionzoo.errors import UserError
from regionzoo.report.comparable import comparable, mark
from regionzoo.report.consistency import HarmonicCheck, check_harmonic
from regionzoo.report.results import Metrics, Runs, mean_hours, read_metrics, read_runs
from regionzoo.settings.train import Published, TablesSettings

TABLES = {
    "semantic-base": "semantic_base_annotated",
    "semantic-free": "semantic_annotation_free",
    "instance": "instance",
}
"""Tables of the settings and the names of their files, in the zoo's order."""

TITLES = {
    "semantic-base": "Semantic segmentation, base-annotated",
    "semantic-free": "Semantic segmentation, annotation-free",
    "instance": "Instance segmentation, base-annotated",
}

RELEASED = "released"
"""Folder of the results of the original's own weights."""

DATASETS = ("ScanNet", "nuScenes", "ScanNet200")


@dataclass(frozen=True)
class Score:
    """Mean over the runs in percent, two decimals, and their sample standard deviation (None for a single run)."""

    mean: float
    spread: float | None

    def text(self) -> str:
        """``68.93`` or ``68.93 ± 0.21``."""
        return f"{self.mean:.2f}" if self.spread is None else f"{self.mean:.2f} ± {self.spread:.2f}"


@dataclass(frozen=True)
class Line:
    """A published line and what became of it here.

    state: "built", "missing" (can be built, was not), "unavailable" (no row of this version), "damaged" (see
    ``trouble``). scores: rebuilt, by metric, under the published protocol; empty if the row was not scored under it.
    reason: why they may not be compared, None if they may. mark: what each such number carries. notes: sentences.
    """

    row: str
    published: Published
    state: Literal["built", "missing", "unavailable", "damaged"]
    runs: tuple[Metrics, ...] = ()
    scores: dict[str, Score] | None = None
    reason: str | None = None
    mark: str = ""
    trouble: str = ""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Data set and setting, as the published table calls them."""
        return f"{self.published.dataset} {self.published.setting}"

    @property
    def harmonic(self) -> HarmonicCheck | None:
        """Whether the published scores agree with each other."""
        return check_harmonic(self.published.scores)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the runs."""
        return tuple(run.seed for run in self.runs)

    def rebuilt(self, metric: str) -> Score | None:
        """The rebuilt score if it may be compared."""
        return self.scores.get(metric) if self.scores and self.reason is None else None

    def apart(self, metric: str) -> Score | None:
        """The score of a run that may not be compared."""
        return self.scores.get(metric) if self.scores and self.reason is not None else None

    def difference(self, metric: str) -> float | None:
        """Rebuilt minus published, of comparable numbers alone."""
        rebuilt = self.rebuilt(metric)
        if rebuilt is None or metric not in self.published.scores:
            return None
        return round(rebuilt.mean - self.published.scores[metric], 2)

    def outside(self) -> tuple[str, ...] | None:
        """Metrics that differ by more than the tolerance; None unless every published metric can be compared."""
        differences = {metric: self.difference(metric) for metric in self.published.scores}
        if not differences or None in differences.values():
            return None
        return tuple(name for name, value in differences.items() if abs(value or 0.0) > self.published.tolerance + 1e-9)

    def hours(self, kind: Literal["train_hours", "predict_hours"]) -> float | None:
        """Mean hours a run of the training or of the prediction, as recorded."""
        return mean_hours([getattr(run.cost, kind) for run in self.runs])


def build_lines(settings: TablesSettings, results: Path, complain: Callable[[str], None]) -> dict[str, list[Line]]:
    """Lines by table. ``complain`` gets one sentence for each damaged file; none of them stops the others."""
    lines: dict[str, list[Line]] = {table: [] for table in TABLES}
    for row, published in sorted(settings.published.items(), key=_place):
        if not re.fullmatch(r"[A-Za-z0-9_-]+", row):
            raise UserError(f"published.{row}: the name may hold letters, digits, '_' and '-' only")
        lines[published.table].append(_line(row, published, row in settings.available, results, complain))
    return lines


def _place(item: tuple[str, Published]) -> tuple[int, int, int, str, str]:
    """Place of a line in its table. Settings travel as JSON with sorted keys, so their own order says nothing.

    The zoo's order follows from the lines: by data set, few novel classes first, plain settings before combined ones.
    """
    row, published = item
    dataset = DATASETS.index(published.dataset) if published.dataset in DATASETS else len(DATASETS)
    novel = re.search(r"/N(\d+)$", published.setting)
    return dataset, int(novel.group(1)) if novel else 0, len(published.setting), published.setting, row


def _line(row: str, published: Published, available: bool, results: Path, complain: Callable[[str], None]) -> Line:
    if not available:
        return Line(row, published, "unavailable")
    try:
        found = read_runs(results, row)
    except UserError as error:
        complain(str(error))
        return Line(row, published, "damaged", trouble=str(error))
    notes = _with_their_weights(row, published, results, complain)
    if found is None:
        return Line(row, published, "missing", notes=notes)
    for message in found.damaged:
        complain(message)
    return _built(row, published, found, notes)


def _with_their_weights(
    row: str, published: Published, results: Path, complain: Callable[[str], None]
) -> tuple[str, ...]:
    """What the original's own weights score here, if they were asked."""
    path = results / RELEASED / row / "metrics.json"
    if not path.exists():
        return ()
    try:
        metrics = read_metrics(path, row)
    except UserError as error:
        complain(str(error))
        return (f"The original's own weights: {error}.",)
    scores = mean_scores((metrics,), published.protocol, tuple(published.scores))
    told = ", ".join(f"{name} {score.text()}" for name, score in scores.items()) or "nothing under this protocol"
    reason = comparable(metrics)
    return (f"The original's own weights score {told} here{f' (not comparable: {reason})' if reason else ''}.",)


def _built(row: str, published: Published, found: Runs, notes: tuple[str, ...]) -> Line:
    own = next(run for run in found.runs if run.row == row)
    return Line(
        row,
        published,
        "built",
        runs=found.runs,
        scores=mean_scores(found.runs, published.protocol, tuple(published.scores)),
        reason=comparable(own),
        mark=mark(own),
        notes=(*notes, *found.notes, *(f"A repeat is left out: {message}." for message in found.damaged)),
    )


def mean_scores(runs: tuple[Metrics, ...], protocol: str, metrics: tuple[str, ...]) -> dict[str, Score]:
    """Those of the scores that every run has under a protocol."""
    scores = {}
    for metric in metrics:
        values = [(run.scores(protocol) or {}).get(metric) for run in runs]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            spread = round(statistics.stdev(known), 2) if len(known) > 1 else None
            scores[metric] = Score(round(statistics.fmean(known), 2), spread)
    return scores
