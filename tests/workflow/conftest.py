"""One built project a session; tests that change something work on copies of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from parity import dvc_stages
from project import ROW, Done, Project


@dataclass(frozen=True)
class Built:
    """A project in which the row was built by `snakemake`, and what that run printed."""

    project: Project
    first: Done


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The row built by Snakemake from nothing."""
    project = Project.new(tmp_path_factory.mktemp("user") / "regionzoo")
    first = project.snakemake(ROW)
    assert first.code == 0, first.text[-4000:]
    return Built(project, first)


@dataclass(frozen=True)
class Recorded:
    """A project in which `snakemake` built every row and `dvc repro` recorded it, committed to git."""

    project: Project
    rest: Done
    record: Done
    owners: dict[str, str]
    """Output -> name of the DVC stage that makes it."""


@pytest.fixture(scope="session")
def recorded(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """All rows built by Snakemake, then recorded by DVC."""
    project = built.project.copy(tmp_path_factory.mktemp("recorded") / "regionzoo")
    rest = project.snakemake()
    assert rest.code == 0, rest.text[-4000:]
    record = project.dvc("repro")
    project.commit("recorded")
    owners = {output: stage.name for stage in dvc_stages(project) for output in stage.outputs}
    return Recorded(project, rest, record, owners)


@pytest.fixture
def recorded_copy(recorded: Recorded, tmp_path: Path) -> Project:
    """A copy of the recorded project to change."""
    return recorded.project.copy(tmp_path / "regionzoo")


@pytest.fixture
def copy(built: Built, tmp_path: Path) -> Project:
    """A copy of the built project to change."""
    return built.project.copy(tmp_path / "regionzoo")
