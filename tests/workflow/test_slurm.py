"""The graph through a real Slurm: its daemons on this machine, with pretended nodes, memory and GPUs.

Needs slurm-wlm and munge; with REGIONZOO_INSTALL_SLURM=1, as root, they are installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from project import REPOSITORY, ROW, Done, Project, tiny

from regionzoo.artifacts import read_json

SCRIPT = REPOSITORY / "scripts" / "slurm-on-one-machine.sh"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
NODES, GPUS = 2, 2
# What differs from a real cluster: no accounting to ask, and jobs of seconds.
ONE_MACHINE = (
    "--slurm-status-command", "squeue", "--slurm-no-account", "--slurm-init-seconds-before-status-checks", "6",
    "--latency-wait", "10",
)  # fmt: skip
# The data of tiny rooms in one job: each job is three starts of Python, and its end is seen seconds later.
GROUPS = (
    "--groups", "raw=data", "preprocess=data", "regions=data", "features=data", "fuse=data", "text=data",
    "predict=scores", "evaluate=scores", "--set-threads", "regions=2", "features=2",
)  # fmt: skip
BOTH = ("results/scannet_b15n4/model.safetensors", "results/scannet_b15n4_nocaption/model.safetensors")


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script that is tested."""
    return subprocess.run(["bash", str(SCRIPT), *arguments], capture_output=True, text=True, timeout=300)


def programs_missing() -> list[str]:
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("up", "--nodes", "many"), "--nodes needs a whole number, not many"),
        (("up", "--nodes"), "--nodes needs a value"),
        (("up", "--color", "red"), "unknown option --color"),
        (("up", "--folder", str(REPOSITORY)), "holds other files"),
        (("down", "--folder", "/nonexistent/slurm"), "no cluster in /nonexistent/slurm"),
        (("status", "--folder", "/nonexistent/slurm"), "no cluster in /nonexistent/slurm"),
    ],
)
def test_the_script_says_in_a_line_what_is_wrong(arguments: tuple[str, ...], message: str) -> None:
    done = script(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and message in done.stderr


@dataclass(frozen=True)
class Cluster:
    """Slurm on this machine."""

    folder: Path

    def ask(self, *command: str) -> str:
        """Standard output of a command of Slurm."""
        return subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]], capture_output=True, text=True, timeout=60
        ).stdout

    def jobs(self, state: str = "all") -> dict[str, str]:
        """What the jobs are for (the comment that the plugin gives them) by id."""
        lines = self.ask("squeue", "--noheader", f"--states={state}", "--format=%i|%k").splitlines()
        return {job: comment.strip() for job, comment in (line.split("|") for line in lines)}

    def trainings(self, state: str = "all") -> dict[str, str]:
        """Jobs that train, by id."""
        return {job: comment for job, comment in self.jobs(state).items() if comment.startswith("rule_train")}

    def facts(self, job: str) -> dict[str, str]:
        """Fields of ``scontrol show job``; of a running job the numbers of its GPUs too."""
        return dict(re.findall(r"([A-Za-z_/]+)=(\S+)", self.ask("scontrol", "show", "job", "--details", job)))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes with two GPUs each; skips where the daemons cannot be had."""
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install -e .[slurm]")
    install = os.environ.get("REGIONZOO_INSTALL_SLURM") == "1"
    if (missing := programs_missing()) and not install:
        pytest.skip(
            f"no {', '.join(missing)}: apt-get install slurm-wlm munge, or set REGIONZOO_INSTALL_SLURM=1 as root"
        )
    folder = tmp_path_factory.mktemp("slurm") / "cluster"
    options = ["--folder", str(folder), "--nodes", str(NODES), "--gpus", str(GPUS)]
    up = script("up", *options, *(["--install"] if install else []))
    assert up.returncode == 0, up.stderr[-3000:]
    with pytest.MonkeyPatch.context() as patch:
        # What the printed line does in a shell.
        assert up.stdout.splitlines()[-1] == f'export SLURM_CONF={folder}/slurm.conf PATH={folder}/bin:"$PATH"'
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        patch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
        assert script("up", *options).returncode == 2, "a second cluster in the same folder"
        yield Cluster(folder)
    pids = [int(path.read_text()) for path in folder.glob("*.pid")]
    assert len(pids) == NODES + 2
    down = script("down", "--folder", str(folder))
    assert down.returncode == 0 and not folder.exists(), down.stderr
    assert not [pid for pid in pids if alive(pid)]


def alive(pid: int) -> bool:
    """Whether the process still runs; one that has ended and that nobody has asked about has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


def two_shards(tree: dict[str, Any]) -> None:
    """Tiny, with as many shards as there are nodes."""
    tiny(tree)
    for recipe in tree["scales"]["small"]["recipes"].values():
        recipe["shards"] = NODES


def run(project: Project, *arguments: str) -> Done:
    """Snakemake with the Slurm profile."""
    return project.run("snakemake", "--workflow-profile", "workflow/profiles/slurm", *ONE_MACHINE, *arguments)


def wait(running: Future[Done], condition: Callable[[], Any], seconds: float = 240) -> Any:
    """The first true value of a condition, while Snakemake runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        assert not running.done(), running.result().text[-4000:]
        time.sleep(0.2)
    raise AssertionError("Slurm did not come so far")


@dataclass(frozen=True)
class Run:
    """A finished run in which one training was cancelled, and what Slurm said about the trainings while they ran."""

    project: Project
    done: Done
    first: dict[str, dict[str, str]]
    cancelled: str


@pytest.fixture(scope="module")
def slurm_run(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One row from nothing, and the training of another; its own training is cancelled once."""
    project = Project.new(tmp_path_factory.mktemp("user") / "regionzoo", two_shards)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, project, *GROUPS, "--", ROW, *BOTH)
        wait(running, lambda: len(cluster.trainings("RUNNING")) == 2)
        first = {job: cluster.facts(job) for job in cluster.trainings("RUNNING")}
        cancelled = next(job for job, comment in cluster.trainings().items() if comment.endswith("_scannet_b15n4"))
        cluster.ask("scancel", cancelled)
        return Run(project, running.result(), first, cancelled)


def test_a_row_is_built_by_slurm_jobs(cluster: Cluster, slurm_run: Run) -> None:
    assert slurm_run.done.code == 0, slurm_run.done.text[-4000:]
    assert (slurm_run.project.folder / ROW).is_file()
    (name,) = re.findall(r"SLURM run ID: (\S+)", slurm_run.done.text)
    jobs = cluster.ask("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%i").split()
    assert sorted(jobs) == sorted(re.findall(r"submitted with SLURM jobid (\d+)", slurm_run.done.text))
    comments = sorted(comment for job, comment in cluster.jobs().items() if job in jobs)
    groups = ["rule_data_features_fuse_preprocess_raw_regions_...", "rule_scores_evaluate_predict"]
    cancelled, other = "rule_train_wildcards_scannet_b15n4", "rule_train_wildcards_scannet_b15n4_nocaption"
    assert comments == [*groups, cancelled, cancelled, other]
    states = [cluster.facts(job)["JobState"] for job in jobs if job != slurm_run.cancelled]
    assert states == ["COMPLETED"] * 4


def test_nothing_is_left_to_do_without_slurm(slurm_run: Run) -> None:
    assert slurm_run.project.snakemake("-n", ROW, *BOTH).nothing


def test_trainings_side_by_side_have_gpus_of_their_own(slurm_run: Run) -> None:
    assert len(slurm_run.first) == 2
    devices = {(facts["Nodes"], facts["GRES"]) for facts in slurm_run.first.values()}
    assert len(devices) == 2 and all(re.fullmatch(r"gpu:1\(IDX:\d\)", gres) for _, gres in devices)


def test_a_cancelled_training_is_retried_with_more_memory(cluster: Cluster, slurm_run: Run) -> None:
    row = cluster.trainings()[slurm_run.cancelled]
    before, again = sorted((job for job, comment in cluster.trainings().items() if comment == row), key=int)
    assert before == slurm_run.cancelled
    facts = [cluster.facts(job) for job in (before, again)]
    assert [fact["JobState"] for fact in facts] == ["CANCELLED", "COMPLETED"]
    # The rule's own figures: 16 GB an attempt, two days.
    assert [fact["MinMemoryNode"] for fact in facts] == ["16000M", "32000M"]
    assert [fact["TimeLimit"] for fact in facts] == ["2-00:00:00"] * 2


def test_one_training_over_two_nodes(cluster: Cluster, slurm_run: Run) -> None:
    resources = (
        "train:nodes=2", "train:gpu=2", "train:mpi=srun", "train:tasks=2", "train:tasks_per_gpu=0",
        "train:slurm_extra=--gpus-per-node=1",
    )  # fmt: skip
    before = set(cluster.trainings())
    done = run(slurm_run.project, "--set-resources", *resources, "--forcerun", "train", "--", BOTH[0])
    assert done.code == 0, done.text[-4000:]
    (job,) = set(cluster.trainings()) - before
    facts = cluster.facts(job)
    assert facts["JobState"] == "COMPLETED" and facts["NumNodes"] == "2" and facts["TresPerJob"] == "gres:gpu:2"
    assert facts["TresPerNode"] == "gres:gpu:1"
    result = slurm_run.project.folder / "results" / "scannet_b15n4"
    assert read_json(result / "config.json")["cost"]["processes"] == NODES
