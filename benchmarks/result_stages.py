"""What each benchmark's JSON says, as rows of one table: what was done, how, how long it took, in how much memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One way to do one thing. spread: lowest and highest, or as the stage says; memory: with its unit."""

    case: str
    way: str
    median: float
    spread: tuple[float, float] | None = None
    memory: str | None = None


@dataclass(frozen=True)
class Stage:
    """A benchmark: its title, JSON file, command, what its data are, and how to read it.

    unit: of medians. baseline: the way that others are compared with. rate: larger is better. spread: what the column
    holds. read: JSON -> lines. facts: JSON -> run -> facts of it, where they are not below ``facts``. more: remarks.
    """

    title: str
    file: str
    command: str
    data: str
    unit: str
    baseline: str
    read: Callable[[Json], list[Line]]
    rate: bool = False
    spread: str = "lowest to highest"
    facts: Callable[[Json], dict[str, Json]] = lambda data: {"": data["facts"]}
    more: Callable[[Json], list[str]] = field(default=lambda data: [])


def _pair(values: list[float] | None) -> tuple[float, float] | None:
    return (values[0], values[1]) if values else None


def _memory(row: Json) -> str | None:
    if "peak_mib" in row:
        return f"{row['peak_mib']} MiB"
    return f"{row['peak_gib']} GiB" if "peak_gib" in row else None


def _line(case: str, way: str, row: Json, spread: str = "spread_ms") -> Line:
    return Line(case, way, row["median_ms"], _pair(row.get(spread)), _memory(row))


def _gpu_engine(data: Json) -> list[Line]:
    return [
        _line(
            f"{row['network']}, {row['precision']}, {row['batch']}, {row['voxels']:,} voxels",
            row["engine"],
            row,
            "quartiles_ms",
        )
        for row in data["results"]
    ]


def _first_steps(data: Json) -> list[str]:
    return [
        f"First step of a new process, {row['network']}: {row['cold_s']:.1f} s with Triton's cache empty, "
        f"{row['warm_s']:.1f} s with it full."
        for row in data.get("first_steps", [])
    ]


def _region_loss(data: Json) -> list[Line]:
    found = []
    for row in data["results"]:
        masked = ", novel points' gradient alone" if row["novel_grad_only"] else ""
        case = f"pool {row['pool']}{masked}, {row['features']}"
        found += [_line(case, way, figures) for way, figures in row["ways"].items()]
    return found


def _errors(data: Json) -> list[str]:
    rows = [ways for row in data["results"] if "loss_error" in (ways := row["ways"]["fused"])]
    if not rows:
        return []
    worst = [max(row[name] for row in rows) for name in ("loss_error", "gradient_error")]
    return [
        f"`fused` against the formula in float64, relative: loss {worst[0]:.1e}, gradient {worst[1]:.1e} (float32)."
    ]


def _train_step(data: Json) -> list[Line]:
    return [
        _line(f"{row}, {run}", way, figures[way])
        for run, entry in data.items()
        for row, figures in entry["results"].items()
        for way in ("whole", "no loader", "before")
        if way in figures
    ]


def _of_runs(data: Json) -> dict[str, Json]:
    return {run: entry["facts"] for run, entry in data.items()}


def _parts(data: Json) -> list[str]:
    found = []
    for run, entry in data.items():
        for row, figures in entry["results"].items():
            if "parts_ms" in figures:
                parts = ", ".join(f"{name} {value} ms" for name, value in figures["parts_ms"].items())
                found.append(f"Parts of a step, each waited for ({row}, {run}): {parts}.")
    return found


def _engines(data: Json) -> list[Line]:
    return [_line(f"{row['voxels']:,} voxels", row["engine"], row) for row in data["results"]]


def _preprocessing(data: Json) -> list[Line]:
    order = ("preprocess", "association", "fusion")
    return [_line(stage, way, row) for stage in order for way, row in data["results"][stage].items()]


def _keyframes(data: Json) -> list[Line]:
    found = []
    for name, row in data["results"].items():
        stage = name.partition(", plain")[0]
        way = "plain" if ", plain" in name else "ours"
        found.append(Line(stage, way, row["median"], (row["low"], row["high"])))
    return found


def _keyframes_more(data: Json) -> list[str]:
    return [
        "The plain preprocessing makes no hashes and stores nothing. Memory of the process that starts the others: "
        f"{data['facts']['peak_memory_gib']} GiB."
    ]


def _grouping(data: Json) -> list[Line]:
    return [
        Line(
            f"{run}, {result['cloud']['points']:,} points, spread {result['spread']}: {row['step']}",
            row.get("path", "ours"),
            row.get("median_s", row.get("once_s")),
        )
        for run, entry in data.items()
        for result in entry["results"]
        for row in result["times"]
    ]


def _grouping_more(data: Json) -> list[str]:
    return ["`baseline`, and `cells` on a CPU, ran once; `baseline` in the CPU's run alone."]


def _instance_evaluation(data: Json) -> list[Line]:
    found = data["results"]
    case = f"overlaps of {found['overlaps']['scenes']} scenes"
    return [
        Line("all scenes, two protocols", "ours", found["scenes_seconds"], None, f"{found['peak_memory_gib']} GiB"),
        Line(case, "ours", found["overlaps"]["ours_seconds"]),
        Line(case, "dense", found["overlaps"]["dense_seconds"]),
    ]


def _large_scan(data: Json) -> list[Line]:
    run = data["run"]
    return [
        Line(
            f"{run['points']:,} points",
            "ours",
            run["seconds"],
            None,
            _memory(run | {"peak_gib": run["peak_memory_gib"]}),
        )
    ]


def _large_scan_more(data: Json) -> list[str]:
    if "borders" not in data:
        return ["One run."]
    shares = ", ".join(f"{row['margin_voxels']}: {row['same_percent']:.1f}%" for row in data["borders"]["margins"])
    return [f"One run. Points with the label of a pass without tiles, by margin in voxels: {shares}."]


def _workflow(data: Json) -> list[Line]:
    return [
        Line(f"`{call}`", "ours", row["median_s"], (min(row["calls_s"]), max(row["calls_s"])))
        for call, row in data["calls"].items()
    ]


ROOMS = "Synthetic rooms."
STAGES = (
    Stage("Training step", "train_step.json", "python benchmarks/train_step.py", ROOMS, "ms", "before", _train_step,
          spread="5th to 95th percentile", facts=_of_runs,
          more=_parts),
    Stage("Network on a GPU: forward and backward", "gpu_engine.json", "python benchmarks/gpu_engine.py", ROOMS, "ms",
          "spconv", _gpu_engine, spread="quartiles", more=_first_steps),
    Stage("Region loss", "region_loss.json", "python benchmarks/region_loss.py", "Random features and regions.", "ms",
          "plain", _region_loss, more=_errors),
    Stage("Network on a CPU: forward and backward", "engines.json",
          "OPENBLAS_NUM_THREADS=1 python benchmarks/engines.py", ROOMS, "ms", "minkowski", _engines),
    Stage("Preprocessing and captions of a scan", "preprocessing.json",
          "OMP_NUM_THREADS=1 python benchmarks/preprocessing.py", ROOMS, "ms a scan", "plain", _preprocessing),
    Stage("nuScenes keyframes", "keyframes.json", "OMP_NUM_THREADS=1 python benchmarks/keyframes.py",
          "Synthetic streets.", "keyframes a second", "plain", _keyframes, rate=True, more=_keyframes_more),
    Stage("Grouping of instances", "grouping.json", "python benchmarks/grouping.py (and with --device cuda)",
          "Synthetic clouds.", "s", "baseline", _grouping, facts=_of_runs, more=_grouping_more),
    Stage("Scoring of instances", "instance_evaluation.json",
          "OMP_NUM_THREADS=1 python benchmarks/instance_evaluation.py", "Simulated scenes and predictions.", "s",
          "dense", _instance_evaluation, more=lambda data: ["One run."]),
    Stage("Labels of a building", "large_scan.json", "python benchmarks/large_scan.py", "Synthetic building.", "s", "",
          _large_scan, facts=_of_runs, more=_large_scan_more),
    Stage("Finding out that nothing is to do", "workflow.json", "python benchmarks/workflow.py", ROOMS, "s", "",
          _workflow, facts=lambda data: {"": data["machine"] | {k: data[k] for k in ("rows", "scenes", "stages")}}),
)  # fmt: skip
"""In the order of the page."""
