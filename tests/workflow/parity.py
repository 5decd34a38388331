"""Snakemake's jobs and DVC's stages as comparable sets."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass

from project import Project

STAGES = """
import json
from dvc.repo import Repo
found = []
with Repo(".") as repo:
    for stage in repo.index.stages:
        if stage.cmd and stage.name != "codehash":
            deps = [d.def_path for d in stage.deps if not hasattr(d, "params")]
            rule = stage.cmd.split()[2]  # two stages may ask for the same rule
            found.append([rule, deps, [o.def_path for o in stage.outs]])
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Job:
    """A rule or stage with its files."""

    rule: str
    inputs: frozenset[str]
    outputs: frozenset[str]


def summary(project: Project) -> list[dict[str, str]]:
    """Snakemake's detailed summary: one line an output file."""
    table = project.run("snakemake", "-D", "--cores", "2").out
    return list(csv.DictReader(io.StringIO(table), delimiter="\t"))


def snakemake_jobs(project: Project) -> set[Job]:
    """Every job of the default target; they must be built, since inputs of missing outputs are not told."""
    jobs: dict[tuple[str, str], tuple[frozenset[str], set[str]]] = {}
    for line in summary(project):
        inputs = frozenset(path for path in line["input-file(s)"].split(",") if path)
        jobs.setdefault((line["rule"], line["shellcmd"]), (inputs, set()))[1].add(line["output_file"])
    return {Job(rule, inputs, frozenset(outputs)) for (rule, _), (inputs, outputs) in jobs.items()}


def dvc_jobs(project: Project) -> set[Job]:
    """Every stage but the digest of the code; files of the workflow itself are no edges between jobs."""
    done = project.run("python", "-c", STAGES)
    assert done.code == 0, done.text
    return {
        Job(
            name,
            frozenset(path for path in deps if not path.startswith("workflow/")),
            frozenset(outs),
        )
        for name, deps, outs in json.loads(done.out)
    }


def stale_rules_snakemake(project: Project) -> set[str]:
    """Outputs that Snakemake would make again for a reason of their own, not because an input will change."""
    return {line["output_file"] for line in summary(project) if line["status"] not in ("ok", "")}


def stale_stages_dvc(project: Project) -> dict[str, object]:
    """Stages that `dvc status` names."""
    done = project.run("dvc", "status", "--json")
    return json.loads(done.out)
