"""Time what both engines take to find out that there is nothing to do: 16 rows, 300 scenes, 2 cores.

    python benchmarks/workflow.py

Makes a project with all shipped rows (copies of a row fill up to 16), 300 synthetic scenes and one-epoch trainings,
builds it with `snakemake`, records it with `dvc repro` and commits it; then times `snakemake -n tables`, `snakemake -n`
(every row) and `dvc status`, the median of three calls each. Takes minutes and a few hundred MB. Writes
``benchmarks/workflow.json``; ends with an error if one of them takes 10 s or more.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from copy import deepcopy
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from regionzoo.artifacts import write_json

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "workflow"))

from project import TINY_RECIPE, Project, set_value  # noqa: E402

ROWS, COPIED = 16, "scannet_b15n4_nocaption"
SIZES = {"train_scenes": 240, "val_scenes": 60, "frames": 1, "vertex_spacing": 0.3, "seed": 1}
LIMIT_S = 10.0
NOTHING, CLEAN = "Nothing to be done", "Data and pipelines are up to date."
CALLS = {
    "snakemake -n tables": (NOTHING, ("snakemake", "--cores", "2", "-n", "tables")),
    "snakemake -n": (NOTHING, ("snakemake", "--cores", "2", "-n")),
    "dvc status": (CLEAN, ("dvc", "status")),
}


def small(tree: dict[str, Any]) -> None:
    """All rows, many rooms, moments of training."""
    tree["synthetic"]["scannet"] = SIZES
    scale = tree["scales"]["small"]
    scale["recipes"] = {name: TINY_RECIPE | {"scenes_per_shard": 24, "voxel_size": 0.5} for name in scale["recipes"]}
    scale["models"] = {name: {"widths": [4, 6]} for name in scale["models"]}
    set_value(tree, "scales.small.features.chunk_points", 100)
    for number in range(ROWS - len(tree["rows"]) - len(tree["shared_rows"])):
        tree["rows"][f"copy{number}"] = deepcopy(tree["rows"][COPIED])


def timed(project: Project, *command: str) -> tuple[float, str]:
    """Seconds that a command takes, and what it prints; it must succeed."""
    start = time.perf_counter()
    done = project.run(*command, timeout=7200)
    seconds = time.perf_counter() - start
    if done.code:
        sys.exit(f"{' '.join(command)}: exit status {done.code}\n{done.text[-3000:]}")
    return round(seconds, 2), done.text


def repeated(project: Project, said: str, command: tuple[str, ...]) -> dict[str, object]:
    """Three calls of a command that must say ``said``."""
    calls = [timed(project, *command) for _ in range(3)]
    if any(said not in text for _, text in calls):
        sys.exit(f"{' '.join(command)}: expected '{said}'\n{calls[-1][1][-3000:]}")
    seconds = [seconds for seconds, _ in calls]
    return {"median_s": statistics.median(seconds), "calls_s": seconds}


def build(folder: Path) -> Project:
    """Build and record the project; one that is there is taken as it is."""
    if folder.exists():
        return Project(folder)
    project = Project.new(folder, small)
    print(f"built in {timed(project, 'snakemake', '--cores', '2', '--quiet', 'all')[0]} s", flush=True)
    print(f"recorded in {timed(project, 'dvc', 'repro')[0]} s", flush=True)
    project.commit("built")
    return project


def measure(project: Project) -> dict[str, Any]:
    """Time the calls that find nothing to do."""
    files = [path for part in ("data", "results") for path in (project.folder / part).rglob("*") if path.is_file()]
    return {
        "rows": len(list((project.folder / "results").glob("*/metrics.json"))),
        "scenes": SIZES["train_scenes"] + SIZES["val_scenes"],
        "stages": len(yaml.safe_load((project.folder / "dvc.lock").read_text())["stages"]),
        "files": len(files),
        "megabytes": round(sum(path.stat().st_size for path in files) / 1e6),
        "calls": {name: repeated(project, said, command) for name, (said, command) in CALLS.items()},
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keep the project in this folder, or measure again the one in it")
    parser.add_argument("--out", type=Path, default=HERE / "workflow.json")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(build((arguments.folder or Path(temporary)) / "regionzoo"))
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{name: version(name) for name in ("snakemake", "dvc")},
        # With it DVC reads its YAML in C.
        "ruamel.yaml.clib": find_spec("_ruamel_yaml") is not None,
    }
    write_json(arguments.out, {"machine": machine, **found})
    medians = {name: call["median_s"] for name, call in found["calls"].items()}
    print(medians)
    if slow := [name for name, seconds in medians.items() if seconds >= LIMIT_S]:
        sys.exit(f"{', '.join(slow)}: {LIMIT_S:.0f} s or more")


if __name__ == "__main__":
    main()
