"""What a DVC stage runs: one Snakemake rule for one target.

    exec python workflow/scripts/stage.py RULE TARGET

DVC calls a stage when its deps, params or outs differ from dvc.lock. Snakemake then decides, and says "nothing to be
done" about what it has built itself. But it looks at no output's content, so the rule is forced
- if deps and params are as locked: it is the outs that differ (a damaged or deleted file, or `dvc repro -f`),
- if the target is not what was written, by its manifest or seal, whatever else has changed.
"""

import hashlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from regionzoo.errors import UserError
from regionzoo.integrity import require_content, require_sealed

MANIFEST = ".manifest.json"


# A lock of 60 stages takes a quarter of a second without libyaml.
class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads numbers as DVC writes them: 1e-05 is one, which YAML 1.1 takes for a word."""


Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


def load(path):
    """A YAML or JSON file as plain data; empty if it is absent."""
    path = Path(path)
    return yaml.load(path.read_text(), Loader=Loader) if path.exists() else {}


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
        value_at(tree, key) == value
        for file, values in entry.get("params", {}).items()
        for tree in [load(file)]
        for key, value in values.items()
    )


def damaged(target):
    """Whether a target that is there is not what was written."""
    path = Path(target)
    folder = path.with_name(path.name.removesuffix(MANIFEST))
    try:
        if path.name.endswith(MANIFEST) and path.exists() and folder.is_dir() and not folder.is_symlink():
            require_content(folder)
        elif path.suffix == ".safetensors" and path.exists():
            require_sealed(path)
    except (UserError, ValueError) as error:
        print(f"made again: {error}", file=sys.stderr)
        return True
    return False


def main(rule, target):
    """Run Snakemake and pass its exit status on."""
    force = as_locked(load("dvc.lock").get("stages", {}), os.environ.get("DVC_STAGE", "")) or damaged(target)
    cores = ["--cores", os.environ.get("REGIONZOO_CORES", "all")]
    command = [sys.executable, "-m", "snakemake", *cores, "--allowed-rules", rule, *(["--force"] if force else [])]
    return call([*command, "--", target])


def call(command):
    """Run Snakemake in a group of its own and end it, as Ctrl-C does, when DVC is gone or this process is told to end.

    Otherwise Snakemake would go on after a killed `dvc repro`, and its lock would be in the way of the next call. The
    parent is DVC itself, since dvc.yaml says `exec`: not every shell makes room for its last command.
    """
    parent = os.getppid()
    # A script's background jobs ignore Ctrl-C, and so would all that they start.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    snakemake = subprocess.Popen(command, process_group=0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.killpg(snakemake.pid, signal.SIGINT))
    while True:
        try:
            return snakemake.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                os.killpg(snakemake.pid, signal.SIGINT)
                return snakemake.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
