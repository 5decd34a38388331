"""Shared test helpers. The slow tests (workflow) run last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Small networks: more threads only get into each other's way, and bits depend on their number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first."""
    items.sort(key=lambda item: "workflow" in item.path.parts)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository."""
    return REPOSITORY
