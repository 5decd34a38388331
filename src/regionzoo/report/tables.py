"""What the tables show of their lines: a sheet for people and a frame for programs."""

from __future__ import annotations

from typing import Any

import pandas as pd

from regionzoo.report.lines import TABLES, TITLES, Line, Score, mean_scores
from regionzoo.report.results import Metrics
from regionzoo.report.sheet import Cell, Grid, Kind, Sheet, one_line

METRICS = {
    "semantic-base": ("hIoU", "mIoU_base", "mIoU_novel"),
    "semantic-free": ("mIoU", "mAcc"),
    "instance": ("hAP50", "AP50_base", "AP50_novel"),
}
"""Metrics of each table in its order; others that a line has follow."""

HEADINGS = {
    "mIoU_base": "mIoU(B)",
    "mIoU_novel": "mIoU(N)",
    "AP50_base": "mAP50(B)",
    "AP50_novel": "mAP50(N)",
}

DETAILS = {
    "instance": {
        "all": ("AP", "AP50", "AP25"),
        "base": ("AP_base", "AP50_base", "AP25_base"),
        "novel": ("AP_novel", "AP50_novel", "AP25_novel"),
        "harmonic": ("hAP", "hAP50", "hAP25"),
    }
}
"""Further scores of a table, by classes that they are taken over, in the order of the columns of the first."""

EMPTY = Cell("")


def heading(metric: str) -> str:
    """A metric's name as the zoo writes it."""
    return HEADINGS.get(metric, metric)


def metrics_of(table: str, lines: list[Line]) -> tuple[str, ...]:
    """The metrics that a table has columns for."""
    found = dict.fromkeys([*METRICS[table], *(name for line in lines for name in sorted(line.published.scores))])
    return tuple(found)


def make_sheet(table: str, lines: list[Line]) -> Sheet:
    """The sheet of one table: published and rebuilt under each other, origins, notes."""
    metrics = metrics_of(table, lines)
    rows: list[tuple[Cell, ...]] = []
    groups = set()
    for line in lines:
        groups.add(len(rows))
        rows += _score_lines(line, metrics)
    columns = ("Dataset", "Setting", "Scores", *map(heading, metrics), "Tolerance", "Protocol", "Result")
    scores = Grid(columns, tuple(rows), frozenset({len(columns) - 2, len(columns) - 1}), frozenset(groups))
    return Sheet(TABLES[table], TITLES[table], scores, _origins(lines), _notes(lines), _details(table, lines))


def result_text(line: Line) -> str:
    """What became of a line, in a few words."""
    if line.state == "missing":
        return f"not built yet: snakemake --cores all results/{line.row}/metrics.json"
    if line.state == "unavailable":
        return "not part of this version"
    if line.state == "damaged":
        return f"damaged: results/{line.row}/metrics.json"
    absent = [metric for metric in line.published.scores if metric not in (line.scores or {})]
    unscored = f"not scored under {line.published.protocol}"
    if 0 < len(absent) < len(line.published.scores):
        unscored += f": {', '.join(map(heading, absent))}"
    if line.reason is not None:
        return f"not comparable: {line.reason}" + (f"; {unscored}" if absent else "")
    outside = line.outside()
    if outside is None:
        return unscored
    return f"outside: {', '.join(map(heading, outside))}" if outside else "inside"


def marked(line: Line, metric: str) -> str:
    """The number of a run that may not be compared, with its mark; "-" without one."""
    return _marked(line, line.apart(metric))


def _marked(line: Line, score: Score | None) -> str:
    if score is None:
        return "-"
    return f"{score.text()} ({line.mark})" if line.mark else score.text()


def _score_lines(line: Line, metrics: tuple[str, ...]) -> list[tuple[Cell, ...]]:
    entry = line.published
    published = [Cell(_printed(line, metric), "published") for metric in metrics]
    rules = (Cell(f"±{entry.tolerance}"), Cell(entry.protocol))
    head = (Cell(entry.dataset), Cell(entry.setting), Cell("published"), *published, *rules)
    result = Cell(result_text(line), _kind(line))
    if line.state != "built" or not line.scores:
        return [(*head, result)]
    blank = (EMPTY, EMPTY)
    if line.reason is not None:
        values = [Cell(marked(line, metric), "apart") for metric in metrics]
        return [(*head, EMPTY), (*blank, Cell(line.mark), *values, *blank, result)]
    rebuilt = [Cell(score.text() if (score := line.rebuilt(metric)) else "-", "rebuilt") for metric in metrics]
    differences = [
        Cell("-" if (value := line.difference(metric)) is None else f"{value:+.2f}", "difference") for metric in metrics
    ]
    return [
        (*head, EMPTY),
        (*blank, Cell("rebuilt"), *rebuilt, *blank, EMPTY),
        (*blank, Cell("difference"), *differences, *blank, result),
    ]


def _kind(line: Line) -> Kind:
    outside = line.outside() if line.state == "built" else None
    if outside is None:
        return "pending"
    return "outside" if outside else "inside"


def _printed(line: Line, metric: str) -> str:
    value = line.published.scores.get(metric)
    check = line.harmonic
    if value is None:
        return "-"
    return f"{value:.{check.decimals}f}" if check else str(value)


def _details(table: str, lines: list[Line]) -> Grid | None:
    """Further scores under every protocol that a row was scored under; each number of a marked line has its mark."""
    if table not in DETAILS:
        return None
    rows, groups = [], set()
    for line in lines:
        own = next((run for run in line.runs if run.row == line.row), None)
        for protocol in own.protocols if own else ():
            head = [Cell(line.row), Cell(protocol)]
            for over, metrics in DETAILS[table].items():
                scores = mean_scores(line.runs, protocol, metrics)
                if not scores:
                    continue
                if head[0].text or head[1].text:
                    groups.add(len(rows))
                kind: Kind = "rebuilt" if line.reason is None else "apart"
                rows.append((*head, Cell(over), *(Cell(_marked(line, scores.get(m)), kind) for m in metrics)))
                head = [EMPTY, EMPTY]
    columns = ("Row", "Protocol", "Classes", *next(iter(DETAILS[table].values())))
    return Grid(columns, tuple(rows), frozenset({1}), frozenset(groups)) if rows else None


def _origins(lines: list[Line]) -> Grid | None:
    built = [line for line in lines if line.state == "built"]
    if not built:
        return None
    columns = ("Row", "Protocol", "Data", "Captioner", "Text encoder", "Seeds", "Hours a run", "Device")
    rows = []
    for line in built:
        origin = origin_of(line)
        texts = [
            line.row,
            origin["protocol"],
            f"{origin['data_source']}, {origin['scale']}" + (f", {n} scenes" if (n := origin["scenes"]) else ""),
            origin["captioner"] + (f"; features: {f}" if (f := origin["features"]) else ""),
            origin["text_encoder"],
            origin["seeds"].replace(" ", ", "),
            _hours_text(line, origin),
            origin["device"],
        ]
        rows.append(tuple(map(Cell, texts)))
    return Grid(columns, tuple(rows), frozenset({1, 2, 3, 4, 6, 7}), frozenset(range(len(rows))))


def origin_of(line: Line) -> dict[str, Any]:
    """Where the rebuilt numbers of a built line come from, by column of the CSV."""
    own: Metrics = next(run for run in line.runs if run.row == line.row)
    data = own.data
    devices = {device for run in line.runs for device in (run.cost.device, run.device) if device}
    return {
        "protocol": line.published.protocol if line.scores else own.protocol.id,
        "data_source": data.source,
        "scale": data.scale,
        "scenes": data.scenes,
        "captioner": ", ".join(dict.fromkeys(data.captions.captioners)) if data.captions.on else "none",
        "features": (data.features.provider or "unknown") if data.distill else "",
        "text_encoder": data.text.encoder,
        "seeds": " ".join(map(str, line.seeds)),
        "trained_row": own.trained_row or own.row,
        "train_hours": line.hours("train_hours"),
        "predict_hours": line.hours("predict_hours"),
        # "cpu" of the training is the same as "cpu (x86_64)" of the prediction.
        "device": ", ".join(sorted(d for d in devices if not any(o != d and o.startswith(d) for o in devices))),
    }


def _hours_text(line: Line, origin: dict[str, Any]) -> str:
    training = "training" if origin["trained_row"] == line.row else f"training of {origin['trained_row']}"
    parts = ((origin["train_hours"], training), (origin["predict_hours"], "prediction"))
    return " + ".join(f"{value:.3g} {what}" for value, what in parts if value is not None) or "not recorded"


def _notes(lines: list[Line]) -> tuple[str, ...]:
    notes = [
        "Published: the scores that the authors print in their model zoo, in percent. Inside: every rebuilt score is "
        "at most the tolerance away from the published one, under the same protocol."
    ]
    if any(len(line.runs) > 1 for line in lines):
        notes.append("a ± b: mean and sample standard deviation over the seeds that are listed.")
    marks = dict.fromkeys(line.mark for line in lines if line.mark)
    if "synthetic" in marks:
        notes.append(
            "Numbers with (synthetic) are of generated scenes. They show the method at work and say nothing about the "
            "published scores, so no difference is taken."
        )
    if "not comparable" in marks:
        notes.append(
            "Numbers with (not comparable) were made in another way than the published ones, as their line says, so no "
            "difference is taken."
        )
    notes += [f"{line.title}: {note}" for line in lines if (check := line.harmonic) and (note := check.note())]
    notes += [f"{line.title}: {line.trouble}." for line in lines if line.trouble]
    notes += [f"{line.title}: {note}" for line in lines for note in line.notes]
    return tuple(notes)


def make_frame(table: str, lines: list[Line]) -> pd.DataFrame:
    """One row a line, texts and numbers apart. Numbers that may not be compared have columns of their own.

    ``synthetic_<metric>`` holds numbers of generated scenes, ``not_comparable_<metric>`` those of real scenes made in
    another way; beside either, ``rebuilt_<metric>``, ``difference_<metric>`` and ``inside`` are empty.
    """
    metrics = metrics_of(table, lines)
    records = [_record(line, metrics) for line in lines]
    return pd.DataFrame(records, columns=list(_record(None, metrics)), dtype=object)


def _record(line: Line | None, metrics: tuple[str, ...]) -> dict[str, Any]:
    """A line of the CSV; without a line, its columns."""
    record: dict[str, Any] = dict.fromkeys(("row", "dataset", "setting", "state", "tolerance", "inside", "reason"), "")
    for metric in metrics:
        for prefix in ("published", "rebuilt", "rebuilt_sd", "difference"):
            record[f"{prefix}_{metric}"] = ""
    for prefix in ("synthetic", "synthetic_sd", "not_comparable", "not_comparable_sd"):
        record |= {f"{prefix}_{metric}": "" for metric in metrics}
    record |= dict.fromkeys(("published_protocol", "protocol", "data_source", "scale", "scenes", "captioner"), "")
    record |= dict.fromkeys(("features", "text_encoder", "seeds", "trained_row"), "")
    record |= dict.fromkeys(("train_hours", "predict_hours", "device"), "")
    record |= dict.fromkeys(("harmonic_recomputed", "harmonic_low", "harmonic_high", "harmonic_check"), "")
    return record if line is None else record | _values(line, metrics)


def _values(line: Line, metrics: tuple[str, ...]) -> dict[str, Any]:
    entry, outside = line.published, line.outside()
    values: dict[str, Any] = {
        "row": line.row,
        "dataset": entry.dataset,
        "setting": entry.setting,
        "state": result_text(line) if line.state != "built" else "built",
        "tolerance": entry.tolerance,
        "inside": "" if outside is None else "no" if outside else "yes",
        "reason": line.trouble or (result_text(line) if line.state == "built" and outside is None else ""),
        "published_protocol": entry.protocol,
    }
    apart = "synthetic" if line.mark == "synthetic" else "not_comparable"
    for metric in metrics:
        values[f"published_{metric}"] = entry.scores.get(metric, "")
        if (difference := line.difference(metric)) is not None:
            values[f"difference_{metric}"] = difference
        for prefix, score in (("rebuilt", line.rebuilt(metric)), (apart, line.apart(metric))):
            if score is not None:
                values[f"{prefix}_{metric}"] = score.mean
                values[f"{prefix}_sd_{metric}"] = "" if score.spread is None else score.spread
    if line.state == "built":
        values |= {key: "" if value is None else value for key, value in origin_of(line).items()}
    if check := line.harmonic:
        values |= {
            "harmonic_recomputed": round(check.recomputed, 4),
            "harmonic_low": round(check.low, 4),
            "harmonic_high": round(check.high, 4),
            "harmonic_check": {"exact": "agrees", "rounding": "agrees within rounding"}.get(
                check.verdict, check.verdict
            ),
        }
    return {key: one_line(value) if isinstance(value, str) else value for key, value in values.items()}
