"""What changes the speed of a job and nothing else, and so is no setting of it."""

from __future__ import annotations

from dataclasses import dataclass

from regionzoo.sparse.engine import EngineName


@dataclass(frozen=True)
class Runtime:
    """device: "auto", "cpu" or "cuda". engine: sparse engine. threads: of torch, 0 = its default.

    loaders: processes that prepare batches, 0 = the training process itself.
    """

    device: str = "auto"
    engine: EngineName = "native"
    threads: int = 0
    loaders: int = 0
