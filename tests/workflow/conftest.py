"""One built project a session; tests that change something work on copies of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
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


@pytest.fixture
def copy(built: Built, tmp_path: Path) -> Project:
    """A copy of the built project to change."""
    return built.project.copy(tmp_path / "regionzoo")
