"""What a DVC stage runs: one Snakemake rule for one target.

    python workflow/scripts/stage.py RULE TARGET

DVC calls a stage when its deps, params or outs differ from dvc.lock. If deps and params are as locked, it is the outs
that differ (a damaged or deleted file, or `dvc repro -f`). Snakemake looks at no output's content, so the rule is
forced then; otherwise Snakemake decides, and says "nothing to be done" about what it has built itself.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import yaml


def load(path):
    """A YAML or JSON file as plain data; empty if it is absent."""
    path = Path(path)
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def value_at(tree, dotted):
    """The value at a dotted key, None if it is not there."""
    for key in dotted.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def md5(path):
    """DVC's checksum of a file; None for anything else."""
    return hashlib.md5(Path(path).read_bytes()).hexdigest() if Path(path).is_file() else None


def as_locked(stages, name):
    """Whether the deps and params of a stage are what dvc.lock recorded for it."""
    entry = stages.get(name)
    if not entry:
        return False
    # A folder's checksum is taken from the stage that made it: hashing it again here would cost minutes.
    made = {out["path"]: out.get("md5") for stage in stages.values() for out in stage.get("outs", [])}
    deps = all(made.get(dep["path"], md5(dep["path"])) == dep.get("md5") for dep in entry.get("deps", []))
    return deps and all(
        value_at(load(file), key) == value
        for file, values in entry.get("params", {}).items()
        for key, value in values.items()
    )


def main(rule, target):
    """Run Snakemake and pass its exit status on."""
    force = as_locked(load("dvc.lock").get("stages", {}), os.environ.get("DVC_STAGE", ""))
    cores = ["--cores", os.environ.get("REGIONZOO_CORES", "all")]
    command = [sys.executable, "-m", "snakemake", *cores, "--allowed-rules", rule, *(["--force"] if force else [])]
    return subprocess.call([*command, "--", target])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
