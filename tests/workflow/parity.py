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
        if stage.cmd:
            deps = [d.def_path for d in stage.deps if not hasattr(d, "params")]
            params = [[d.def_path, list(d.params)] for d in stage.deps if hasattr(d, "params")]
            rule = stage.cmd.split()[-2]  # two stages may ask for the same rule
            found.append([stage.addressing, rule, deps, [o.def_path for o in stage.outs], params])
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Stage:
    """A stage of DVC: its address, the rule that it asks for, its files and parameters (file -> keys)."""

    name: str
    rule: str
    deps: tuple[str, ...]
    outputs: tuple[str, ...]
    params: dict[str, list[str]]


@dataclass(frozen=True)
class Job:
    """A rule or stage with its files."""

    rule: str
    inputs: frozenset[str]
    outputs: frozenset[str]


def summary(project: Project) -> list[dict[str, str]]:
    """Snakemake's detailed summary: one line an output file."""
    done = project.run("snakemake", "-D", "--cores", "2")
    assert done.code == 0, done.text[-3000:]
    return list(csv.DictReader(io.StringIO(done.out), delimiter="\t"))


def between_jobs(jobs: set[Job]) -> set[Job]:
    """The same jobs with only those inputs that a job makes."""
    made = frozenset(path for job in jobs for path in job.outputs)
    return {Job(job.rule, job.inputs & made, job.outputs) for job in jobs}


def snakemake_jobs(project: Project) -> set[Job]:
    """Every job of the default target; they must be built, since inputs of missing outputs are not told."""
    jobs: dict[tuple[str, str], tuple[frozenset[str], set[str]]] = {}
    for line in summary(project):
        inputs = frozenset(path for path in line["input-file(s)"].split(",") if path)
        jobs.setdefault((line["rule"], line["shellcmd"]), (inputs, set()))[1].add(line["output_file"])
    return {Job(rule, inputs, frozenset(outputs)) for (rule, _), (inputs, outputs) in jobs.items()}


def dvc_stages(project: Project) -> list[Stage]:
    """Every stage but the digest of the code."""
    done = project.run("python", "-c", STAGES)
    assert done.code == 0, done.text
    stages = [
        Stage(name, rule, tuple(deps), tuple(outs), dict(params))
        for name, rule, deps, outs, params in json.loads(done.out)
    ]
    return [stage for stage in stages if stage.name != "codehash"]


def dvc_jobs(project: Project) -> set[Job]:
    """DVC's stages as jobs; files of the workflow itself are no inputs of a job."""
    return {
        Job(
            stage.rule,
            frozenset(path for path in stage.deps if not path.startswith("workflow/")),
            frozenset(stage.outputs),
        )
        for stage in dvc_stages(project)
    }


def stale_outputs(project: Project) -> set[str]:
    """Outputs that Snakemake would make again for a reason of their own, not because an input will change."""
    return {line["output_file"] for line in summary(project) if line["status"] not in ("ok", "")}


def stale_stages(project: Project) -> set[str]:
    """Stages that `dvc status` names."""
    return set(json.loads(project.dvc("status", "--json").out))


def roots(project: Project, owners: dict[str, str]) -> tuple[set[str], set[str]]:
    """What each engine would run first: Snakemake's stale outputs as the stages that own them, and DVC's stages."""
    return {owners[output] for output in stale_outputs(project)}, stale_stages(project)
