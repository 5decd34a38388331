"""A row with the original's own weights: one target from a file of the original to its scores."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch
from project import Project

TARGET = "results/released/scannet_b15n4/metrics.json"
# The original's file, made by our network of the published size; its class vectors are random.
MAKE = """
import sys, numpy as np, torch
from regionzoo.config import load_params
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.table import TextTable
from regionzoo.training.build import build_network
settings = load_params("params.yaml").released_weights("scannet_b15n4").train
prompts = tuple(class_prompts("scannet20", "identity"))
vectors = np.random.default_rng(0).standard_normal((20, 512)).astype("float32")
state = build_network(settings, TextTable(prompts, vectors), "native").state_dict()
content = {"epoch": 128, "it": 19200, "model_state": state, "version": "pcseg+0", "best_metric": 69.4}
torch.save(content, sys.argv[1], _use_new_zipfile_serialization=False)
"""


class Bomb:
    """Pickles as a call that makes a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.sentinel), "w")


def test_a_checkpoint_of_the_original_is_scored_and_a_hostile_one_refused(copy: Project, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint_ep128.pth"
    made = copy.run(sys.executable, "-c", MAKE, str(file))
    assert made.code == 0, made.text
    copy.set("released", {"scannet_b15n4": {"checkpoint": str(file)}})
    done = copy.snakemake(TARGET)
    assert done.code == 0, done.text[-3000:]
    assert done.executed == ["released", "predict_released", "evaluate_released"]
    metrics = json.loads((copy.folder / TARGET).read_text())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert metrics["released"]["sha256"] == digest and metrics["released"]["epoch"] == 128
    assert metrics["data"]["scale"] == "paper" and metrics["data"]["note"].startswith("Synthetic data")
    assert digest in (copy.folder / "data" / "released.lock.csv").read_text()
    assert "released" not in copy.snakemake("-n").jobs  # it is no part of `all`
    assert copy.snakemake("-n", TARGET).nothing

    # A file that is no longer what was taken at first, and one that would run code: nothing of it runs.
    sentinel = tmp_path / "it-ran"
    torch.save({"model_state": Bomb(sentinel)}, file, _use_new_zipfile_serialization=False)
    lock = copy.folder / "data" / "released.lock.csv"
    for reason, named in (("its sha256 is", file.name), ("nothing of it was used", "scannet_b15n4.pth")):
        refused = copy.snakemake(TARGET)
        errors = [line for line in refused.text.splitlines() if line.startswith("error: ")]
        assert refused.code == 1 and reason in errors[0] and named in errors[0], refused.text[-3000:]
        assert lock.exists() == (named == file.name)  # what cannot be read is not remembered
        lock.unlink(missing_ok=True)
    assert not sentinel.exists()
