"""Other captioners than the simulated one, as a user sets them up: released captions, and a pretrained model."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from project import REPOSITORY, ROW, Project
from safetensors.numpy import load_file

from regionzoo.artifacts import read_json
from regionzoo.captions.store import load_captions
from regionzoo.cli import app
from regionzoo.released.manifest import artifact
from regionzoo.settings.data import RegionSettings

# Helpers of the unit tests are found when those run too; these tests must also run alone.
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from released_captions import Regions, write_index, write_texts
from tiny_captioners import saved

FUSED = "detic-template_and_kosmos_iou20"


def released(folder: Path) -> dict[str, Regions]:
    """A caption set as its authors would release it: scene -> region -> caption and points."""
    sets = {path.stem: load_captions(path) for path in sorted(folder.glob("*.safetensors"))}
    return {
        scene: {name: (made.texts[k], made.region(k).tolist()) for k, name in enumerate(made.names)}
        for scene, made in sets.items()
    }


def test_the_released_captions_of_the_documentation(copy: Project) -> None:
    """The example of docs/released.md, with files that hold what the row was trained with before."""
    (example,) = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "docs" / "released.md").read_text(), re.DOTALL)
    added = yaml.safe_load(example)
    ((name, source),) = added["region_sources"].items()
    folder = copy.folder / "data" / "scannet" / "captions"
    captions = released(folder / FUSED)
    write_texts(copy.folder / "captions.json", captions)
    write_index(copy.folder / "index.pkl", captions, "list", kind="int64")
    for kind, file in (("captions", "captions.json"), ("index", "index.pkl")):
        assert artifact(source[kind]).rows == ("scannet_b15n4",)
        taken = copy.run("regionzoo", "fetch", source[kind], "--from", file)
        assert taken.code == 0, taken.text

    def insert(tree: dict[str, Any]) -> None:
        for section in ("region_sources", "text"):
            tree[section] |= added[section]
        for row, lines in added["rows"].items():
            tree["rows"][row] |= lines

    model = (copy.folder / ROW).with_name("model.safetensors")
    before, weights = read_json(copy.folder / ROW), load_file(model)
    copy.edit(insert)
    done = copy.snakemake(ROW)
    assert done.code == 0, done.text[-4000:]
    assert sorted(done.executed) == ["evaluate", "predict", "regions", "text", "train"]
    # The same captions, and so the same network and scores; only who captioned has changed.
    fused, made = (read_json(folder / f"{one}.manifest.json") for one in (FUSED, name))
    assert made["files"] == fused["files"] and made["facts"]["scenes_missing"] == []
    after = read_json(copy.folder / ROW)
    assert after["metrics"] == before["metrics"]
    assert all(np.array_equal(values, weights[key]) for key, values in load_file(model).items())
    assert after["data"]["captions"]["captioners"] == ["detic-template", "kosmos"]
    assert copy.snakemake("-n", ROW).nothing

    # A pair that does not belong together is refused in one line, whatever it is called.
    scene, regions = next(iter(captions.items()))
    first = next(iter(regions))
    write_texts(copy.folder / "captions.json", captions | {scene: {k: v for k, v in regions.items() if k != first}})
    copy.set(f"region_sources.{name}.captions", "captions.json")
    done = copy.snakemake(f"data/scannet/captions/{name}.manifest.json")
    assert done.code != 0 and "Traceback" not in done.text
    (line,) = {line for line in done.text.splitlines() if line.startswith("error: ")}
    assert f"{scene}: " in line and f"region '{first}' has no caption" in line


@pytest.fixture
def windows(built, tmp_path: Path) -> list[str]:
    """`regionzoo regions` with BLIP on the sliding windows of every frame of the built project, but for its output."""
    source = {"dataset": "scannet", "captioner": "blip", "view": "window", "model": saved("blip"), "frame_interval": 20}
    settings = RegionSettings.check({"name": "sw", "seed": 0, "source": source}, "test").canonical()
    data = built.project.folder / "data" / "scannet"
    return ["regions", "--settings", settings, "--raw", str(data / "raw"), "--scenes", str(data / "scenes")]


def outputs(folder: Path) -> list[str]:
    paths = {"out": folder / "sw", "manifest": folder / "sw.manifest.json", "work": folder / "work"}
    return [text for name, path in paths.items() for text in (f"--{name}", str(path))]


def test_a_pretrained_captioner_killed_and_continued(windows: list[str], tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "regionzoo", *windows, *outputs(killed), "--batch-size", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        until = time.monotonic() + 120
        while not list(killed.glob("work/*/scene*.json")):
            assert process.poll() is None and time.monotonic() < until, process.stderr and process.stderr.read()
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (killed / "sw").exists()
    app([*windows, *outputs(killed)], standalone_mode=False)
    app([*windows, *outputs(whole), "--batch-size", "3", "--device", "cpu"], standalone_mode=False)
    first, second = (json.loads((folder / "sw.cost.json").read_text()) for folder in (killed, whole))
    # Two frames a scene, nine windows a frame.
    assert 2 <= first["frames_kept"] < first["frames"] == second["frames"] == 6 and second["frames_kept"] == 0
    assert first["images"] == second["images"] == 54 and first["seconds"] > 0
    assert (killed / "sw.manifest.json").read_bytes() == (whole / "sw.manifest.json").read_bytes()
    facts = read_json(whole / "sw.manifest.json")["facts"]
    assert facts["captioners"] == ["blip (window)"] and facts["captions"] > 20
