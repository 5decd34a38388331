"""Damaged artifacts: the stage that would read one refuses in one line that names it and the way out."""

from __future__ import annotations

import json
import random
import shlex
from pathlib import Path

import pytest
from faults import Case, Victim, outcomes, spoil
from project import INSTANCE_ROW, REPOSITORY, ROW

NAME = "scannet_b15n4"
DATA = "data/scannet"
RESULT = f"results/{NAME}"
INSTANCES = f"results/{INSTANCE_ROW}"
TEXT = f"{DATA}/text/detic-template_and_kosmos_iou20_clip-b16.safetensors"
SCENE, CAPTIONS, SOURCE, FEATURES, PREDICTED = (
    f"{DATA}/scenes/*", f"{DATA}/captions/detic-template_and_kosmos_iou20/*", f"{DATA}/captions/kosmos/*",
    f"{DATA}/features/openscene-lseg/*", f"{RESULT}/predictions/*",
)  # fmt: skip

READERS: list[tuple[str, tuple[str, ...]]] = [
    (SCENE, ("evaluate", "regions", "features", "fuse", "train", "predict-scenes", "pictures")),
    (f"{DATA}/scenes/splits.json", ("evaluate", "pictures")),
    (f"{DATA}/scenes.manifest.json", ("evaluate", "train")),
    (SOURCE, ("fuse",)),
    (f"{DATA}/captions/kosmos.manifest.json", ("fuse",)),
    (CAPTIONS, ("text", "train")),
    (f"{DATA}/captions/detic-template_and_kosmos_iou20.manifest.json", ("text", "predict-scenes")),
    (FEATURES, ("distil",)),
    (f"{DATA}/features/openscene-lseg.manifest.json", ("distil",)),
    (TEXT, ("train", "predict-scenes")),
    (f"{RESULT}/model.safetensors", ("predict-scenes",)),
    (f"{RESULT}/config.json", ("predict-scenes",)),
    (PREDICTED, ("evaluate",)),
    (f"{RESULT}/predictions.manifest.json", ("evaluate",)),
    (f"{RESULT}/metrics.json", ("check", "tables")),
    (f"{INSTANCES}/predictions/*.instances.safetensors", ("pictures", "evaluate instances")),
    (f"{INSTANCES}/predictions.manifest.json", ("pictures",)),
    (f"{INSTANCES}/instances/*", ("tables",)),
    (f"{INSTANCES}/instances.manifest.json", ("tables",)),
]  # fmt: skip
"""Every kind of artifact (a pattern: any file of the folder) and the stages that read it."""


@pytest.fixture(scope="module")
def whole(recorded, tmp_path_factory: pytest.TempPathFactory) -> Victim:
    """Every kind of row, recorded by DVC."""
    return Victim(recorded.project.folder).copy(tmp_path_factory.mktemp("whole") / "regionzoo")


@pytest.fixture(scope="module")
def calls(whole: Victim) -> dict[str, list[str]]:
    """The command of each stage; "distil" trains with features, on the other inputs of the built row."""
    calls = whole.commands(ROW)
    settings, store = (calls["train"].index(option) + 1 for option in ("--settings", "--features"))
    calls["distil"] = list(calls["train"])
    calls["distil"][settings] = json.dumps(json.loads(calls["train"][settings]) | {"distill": 1.0})
    calls["distil"][store] = FEATURES.removesuffix("/*")
    found = whole.commands(f"{INSTANCES}/metrics.json", f"{INSTANCES}/instances.manifest.json")
    calls |= {"pictures": found["pictures"], "evaluate instances": found["evaluate"]}
    calls["tables"] = ["regionzoo", "tables", "--out", "tables"]
    promised = REPOSITORY / "docs" / "expected.yaml"
    calls["check"] = ["regionzoo", "check", f"{RESULT}/metrics.json", "--expected", str(promised)]
    return calls


def state(project: Victim) -> dict[str, bytes]:
    """Every artifact's bytes."""
    files = (path for part in ("data", "results") for path in (project.folder / part).rglob("*"))
    return {str(path): path.read_bytes() for path in files if path.is_file() and "tables" not in path.parts}


def flips(content: bytes, chosen: random.Random, count: int) -> list[str]:
    """Places to flip a bit at; not in the name of a seal, without which the content still is what it is."""
    name = content.find(b'"seal_sha256"')
    found: list[str] = []
    while len(found) < count:
        how = f"flipped {chosen.random():.4f}"
        if not name <= int(float(how.split()[1]) * len(content)) < name + 13:
            found.append(how)
    return found


def test_every_reader_refuses_in_one_line(whole: Victim, calls: dict[str, list[str]]) -> None:
    chosen = random.Random(0)
    cases, stages = [], []
    for pattern, readers in READERS:
        files = [path for path in sorted(whole.folder.glob(pattern)) if not path.name.startswith(".")]
        for reader in readers:
            first = reader == readers[0]
            file = chosen.choice(files)
            hows = flips(file.read_bytes(), chosen, 4 if first else 1)
            for how in (*hows, "truncated", "emptied") if first else hows:
                cases.append(Case(str(file.relative_to(whole.folder)), how, calls[reader]))
                stages.append(reader)
    before = state(whole)
    wrong = []
    for case, reader, (code, said) in zip(cases, stages, outcomes(whole, cases), strict=True):
        print(case.path, case.how, reader, code, said)
        # The tables say which row's file is damaged, and stop for none.
        start, expected = ("tables: ", 0) if reader == "tables" else ("error: ", 2)
        told = [line for line in said.splitlines() if line.startswith(start)]
        if code != expected or len(told) != 1 or case.path not in told[0] or "again" not in told[0]:
            wrong.append((case.path, case.how, reader, code, said[-300:]))
    assert wrong == []
    assert state(whole) == before


def test_the_way_out_that_a_refusal_names_is_one(whole: Victim, calls: dict[str, list[str]], tmp_path: Path) -> None:
    project = whole.copy(tmp_path / "regionzoo")
    scene = next((project.folder / DATA / "scenes").glob("*.safetensors"))
    content = scene.read_bytes()
    scene.write_bytes(spoil(content, "flipped 0.9"))
    # Snakemake alone looks at no output's content; the next job that reads it does, and nothing is built on it.
    done = project.snakemake("--force", "--", ROW)
    assert done.code != 0 and not (project.folder / ROW).exists() and "Traceback" not in done.text
    told = next(line for line in done.text.splitlines() if line.startswith("error: "))
    command = shlex.split(told[told.index("'snakemake") :].strip("'"))
    assert str(scene.relative_to(project.folder)) in told and command[:2] == ["snakemake", "--cores"]
    assert project.run(*command).code == 0 and scene.read_bytes() == content
    again = project.snakemake(ROW)
    assert again.code == 0 and again.jobs == {"evaluate": 1}


def test_dvc_names_every_damaged_artifact(whole: Victim, tmp_path: Path) -> None:
    project = whole.copy(tmp_path / "regionzoo")
    assert json.loads(project.run("dvc", "status", "--json").out) == {}
    files = {sorted(project.folder.glob(pattern))[-1] for pattern, _ in READERS}
    for path in files:
        path.write_bytes(spoil(path.read_bytes(), "flipped 0.5"))
    status = json.loads(project.run("dvc", "status", "--json").out)
    entries = [change for changes in status.values() for change in changes if isinstance(change, dict)]
    named = {project.folder / path for change in entries for path in change.get("changed outs", {})}
    folders = {path for path in named if path.is_dir()}
    assert {path for path in files if path not in named and path.parent not in folders} == set()
