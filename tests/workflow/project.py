"""A user's copy of the repository with tiny sizes, in which snakemake and dvc really run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from regionzoo.scenes.raw_tree import NOTHING_BUILT, STATE, write_state

REPOSITORY = Path(__file__).resolve().parents[2]
# What a user's clone holds: files that git tracks or would track, without tests.
PARTS = (
    "workflow",
    "src",
    "environment.yml",
    "params.yaml",
    "dvc.yaml",
    ".gitignore",
    ".dvcignore",
    ".gitattributes",
    ".dvc/config",
    ".dvc/plots",
    ".dvc/plots.html",
)
ROW = "results/scannet_b15n4/metrics.json"

KEPT = (
    "scannet_b15n4", "scannet_b15n4_nocaption", "scannet200_b170n30", "scannet_zs_openscene_unet32",
    "scannet200_zs_openscene_unet32", "scannet_inst_b13n4", "nuscenes_b12n3",
)  # fmt: skip
"""One row of every kind: base-annotated, without captions, 200 classes, distilled, sharing another's weights, finding
instances, of drives."""
INSTANCE_ROW = "scannet_inst_b13n4"

TINY: dict[str, Any] = {
    "synthetic.scannet": {"train_scenes": 3, "val_scenes": 2, "frames": 2, "vertex_spacing": 0.12, "seed": 1},
    "synthetic.nuscenes": {"train_scenes": 2, "val_scenes": 1, "keyframes": 1, "seed": 1},
    "scales.small.features.chunks": 2,
    "scales.small.features.chunk_points": 200,
}
ONE_THREAD = ("raw", "preprocess", "regions", "fuse", "text", "features", "train", "predict")
"""Rules that may take more, and gain nothing by it at these sizes: two jobs run beside each other instead."""
TINY_RECIPE = {"epochs": 1, "shards": 1, "scenes_per_shard": 1, "repeat": 1, "voxel_size": 0.25, "step_epoch": 0}
TINY_HEAD = {
    "warmup_epochs": 0, "radius": 0.3, "min_candidates": 2, "min_points": 2, "voxels_per_metre": 4.0,
    "min_mask_points": 2,
}  # fmt: skip
"""So that a network of one epoch proposes something, and a dozen points are a thing."""


def shrink(tree: dict[str, Any]) -> None:
    """Keep one row of every kind and what it needs, and train for moments."""
    tree["rows"] = {name: row for name, row in tree["rows"].items() if name in KEPT}
    tree["shared_rows"] = {name: row for name, row in tree["shared_rows"].items() if name in KEPT}
    # Another table of the same captions, which is there already.
    tree["rows"][INSTANCE_ROW]["text"] = tree["rows"]["scannet_zs_openscene_unet32"]["text"]
    rows = [*tree["rows"].values(), *tree["shared_rows"].values()]
    tree["text"] = {name: table for name, table in tree["text"].items() if name in {row["text"] for row in rows}}
    sets = {row["captions"] for row in rows}
    tree["caption_sets"] = {name: entry for name, entry in tree["caption_sets"].items() if name in sets}
    sources = {entry[side] for entry in tree["caption_sets"].values() for side in ("primary", "supplementary")}
    tree["region_sources"] = {name: entry for name, entry in tree["region_sources"].items() if name in sources}
    small = tree["scales"]["small"]
    small["recipes"] = {name: dict(TINY_RECIPE) for name in small["recipes"]}
    small["models"] = {name: {"widths": [4, 6]} for name in small["models"]}
    small["instance_heads"]["softgroup"] = dict(TINY_HEAD)
    tree["instance_heads"]["softgroup"]["score_threshold"] = 0.05  # of 17 classes that it can hardly tell apart


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams."""
        return self.out + self.err

    @property
    def jobs(self) -> dict[str, int]:
        """Job counts of the last table that Snakemake printed (without the target rule)."""
        tables = re.findall(r"^job +count\n-+ +-+\n((?:\w+ +\d+\n)+)", self.text, re.MULTILINE)
        pairs = (line.split() for line in tables[-1].splitlines()) if tables else ()
        return {rule: int(count) for rule, count in pairs if rule not in ("all", "total")}

    @property
    def nothing(self) -> bool:
        """Whether Snakemake said that there is nothing to do."""
        return self.code == 0 and "Nothing to be done" in self.text

    @property
    def executed(self) -> list[str]:
        """Rules of the jobs that Snakemake started, in order; under DVC those of all its calls."""
        return re.findall(r"^(?:local)?rule (\w+):$", self.text, re.MULTILINE)

    @property
    def stages(self) -> list[str]:
        """Stages that DVC ran."""
        return re.findall(r"^Running stage '(\S+)'", self.text, re.MULTILINE)


def set_value(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Set one value of a nested table."""
    *parents, last = dotted.split(".")
    for key in parents:
        tree = tree[key]
    tree[last] = value


def tiny(tree: dict[str, Any]) -> None:
    """The few rows, few small rooms and streets."""
    shrink(tree)
    for dotted, value in TINY.items():
        set_value(tree, dotted, value)


class Project:
    """A folder with the repository's workflow, under git and DVC."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def new(cls, folder: Path, change: Callable[[dict[str, Any]], None] = tiny) -> Project:
        """A fresh copy whose params.yaml was changed, to tiny sizes if nothing else is said."""
        folder.mkdir(parents=True)
        for part in PARTS:
            source, target = REPOSITORY / part, folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "codehash.json")
                shutil.copytree(source, target, ignore=ignored)
            else:
                shutil.copy(source, target)
        shutil.copy(REPOSITORY / ".dvc" / ".gitignore", folder / ".dvc" / ".gitignore")
        # As shipped; the repository's own may have been built.
        for path in sorted((REPOSITORY / "data").glob(f"*/{STATE}")):
            write_state(folder / "data" / path.parent.name / STATE, NOTHING_BUILT)
        project = cls(folder)
        project.edit(change)
        profile = folder / "workflow" / "profiles" / "default" / "config.yaml"
        settings = yaml.safe_load(profile.read_text()) | {"set-threads": dict.fromkeys(ONE_THREAD, 1)}
        profile.write_text(yaml.safe_dump(settings, sort_keys=False))
        # The two lists of rows outside params.yaml: what `tables` reads, and which rows have pictures.
        graph = folder / "dvc.yaml"
        tree = yaml.safe_load((folder / "params.yaml").read_text())
        rows = {*tree["rows"], *tree["shared_rows"]}
        pattern = re.compile(r" +(?:- results/(?=\w+/)|(?=\w+: {dataset: ))(\w+)")
        named = ((line, pattern.match(line)) for line in graph.read_text().splitlines())
        graph.write_text("".join(f"{line}\n" for line, found in named if not found or found[1] in rows))
        assert project.run("git", "init", "-q").code == 0
        project.commit("as cloned")
        return project

    def copy(self, folder: Path) -> Project:
        """The same state elsewhere, times of files included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def clone(self, folder: Path) -> Project:
        """What `git clone` brings: no artifact of DVC, every file with a new time."""
        done = self.run("git", "clone", "-q", str(self.folder), str(folder))
        assert done.code == 0, done.text
        return Project(folder)

    def commit(self, message: str) -> None:
        """Commit all that git does not ignore."""
        identity = ["-c", "user.name=t", "-c", "user.email=t@t.invalid"]
        self.run("git", "add", "-A")
        done = self.run("git", *identity, "commit", "-qm", message)
        assert done.code == 0, done.text

    @property
    def changes(self) -> str:
        """What git sees as changed or new, one line a file."""
        done = self.run("git", "status", "--porcelain")
        assert done.code == 0, done.text
        return done.out

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change params.yaml."""
        path = self.folder / "params.yaml"
        tree = yaml.safe_load(path.read_text())
        change(tree)
        path.write_text(yaml.safe_dump(tree, sort_keys=False))

    def set(self, dotted: str, value: Any) -> None:
        """Change one value of params.yaml."""
        self.edit(lambda tree: set_value(tree, dotted, value))

    def run(self, *command: str, timeout: int = 600) -> Done:
        """Run a command in the project with this interpreter's tools first on the path."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "src"),
            "OMP_NUM_THREADS": "1",
            "REGIONZOO_CORES": "2",
        }
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=timeout
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def snakemake(self, *arguments: str) -> Done:
        """Run Snakemake on two cores."""
        return self.run("snakemake", "--cores", "2", *arguments)

    def dvc(self, *arguments: str) -> Done:
        """Run DVC, which must succeed."""
        done = self.run("dvc", *arguments)
        assert done.code == 0, done.text[-4000:]
        return done

    def require_content_engines(self, *targets: str) -> None:
        """Assert that Snakemake has nothing to do (for targets, or all) and that DVC sees nothing changed."""
        dry = self.snakemake("-n", *targets)
        assert dry.nothing, dry.text[-3000:]
        status = self.dvc("status").text
        assert "Data and pipelines are up to date." in status, status
