"""The profiles agree with each other, with the rules, and with Snakemake."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

CLUSTERS = ("slurm", "kubernetes")
TOOLS = Path(sys.executable).parent


def profile(repository: Path, name: str) -> dict[str, Any]:
    return yaml.safe_load((repository / "workflow" / "profiles" / name / "config.yaml").read_text())


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_named_profile_repeats_the_default(repository: Path, name: str) -> None:
    # Snakemake reads one workflow profile: without the repetition, a job on a cluster would compare other things.
    default = profile(repository, "default")
    assert default.items() <= profile(repository, name).items()


@pytest.mark.parametrize("name", CLUSTERS)
def test_profiles_speak_of_rules_that_exist(repository: Path, name: str) -> None:
    # Snakemake takes a misspelt name without a word.
    texts = [path.read_text() for path in (repository / "workflow" / "rules").glob("*.smk")]
    rules = set(re.findall(r"^rule (\w+):", "\n".join(texts), re.MULTILINE))
    known = profile(repository, name)
    assert set(known["set-resources"]) | set(known["groups"]) <= rules


def test_kubernetes_knows_what_a_gpu_is(repository: Path) -> None:
    # Its plugin refuses jobs with a resource gpu and no manufacturer, and Kubernetes GPUs without a limit.
    resources = profile(repository, "kubernetes")["default-resources"]
    assert resources["gpu_manufacturer"] == "nvidia" and resources["scale"] == 0


def test_snakemake_plans_with_the_slurm_profile(repository: Path) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install -e .[slurm]")
    options = ("-n", "--nolock", "--forceall", "--workflow-profile", "workflow/profiles/slurm")
    done = subprocess.run(
        [str(TOOLS / "snakemake"), *options, "--", "results/scannet_b15n4/metrics.json"],
        cwd=repository, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    text = done.stdout + done.stderr
    (train,) = re.findall(r"^rule train:\n(?:    .*\n)+", text, re.MULTILINE)
    resources = dict(re.findall(r"(\w+)=(\d+)", re.search(r"resources: (.*)", train)[1]))
    assert resources["gpu"] == "1" and resources["mem_mb"] == "16000" and resources["runtime"] == "2880"
    (group,) = re.findall(r"Group job scores .*\n(?:\n|    .*\n)+", text)
    assert re.findall(r"rule (\w+):", group) == ["evaluate", "predict"]
