"""What Snakemake has written down about finished jobs, where it must not be believed.

Snakemake (9.27) records the new parameters of a job even when that job fails, and then removes its outputs. If later
files of an earlier run are still there, the next call finds every record in order and says "nothing to be done": a
stale result taken for complete. So each job leaves a marker while it is unfinished (`regionzoo.job`), and the records
of its outputs are rewritten with parameters that match nothing, which makes Snakemake run the job again.
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from regionzoo.artifacts import read_json, write_json, write_text
from regionzoo.errors import UserError

RECORDS = Path(".snakemake/metadata")
MARKERS = Path("runs/unfinished")
FORMAT = 6
"""Version of Snakemake's records that these functions write; a test holds the pinned Snakemake to it."""


def marker_of(outputs: Iterable[str]) -> Path:
    """The marker file of the job that makes these outputs."""
    return MARKERS / f"{hashlib.sha256(json.dumps(sorted(outputs)).encode()).hexdigest()[:16]}.json"


def mark(outputs: Iterable[str]) -> Path:
    """Note that the job which makes ``outputs`` has begun; the marker goes when it has succeeded."""
    outputs = list(outputs)
    marker = marker_of(outputs)
    write_json(marker, {"outputs": outputs})
    return marker


def distrust_unfinished() -> list[str]:
    """Distrust the records of all jobs that began and did not succeed; returns their outputs.

    A record is left alone if it is older than the job's begin and all outputs are there: then the files and the
    record were brought back together from version control since.
    """
    found = []
    for marker in sorted(MARKERS.glob("*.json")):
        try:
            began, outputs = marker.stat().st_mtime, read_json(marker)["outputs"]
        except (FileNotFoundError, UserError):  # the job has just succeeded
            continue
        missing = not all(Path(output).exists() for output in outputs)
        if missing or any(_ended(output) > began for output in outputs):
            found += outputs
    distrust(found, "unfinished")
    return found


def distrust(outputs: Iterable[str], reason: str) -> None:
    """Rewrite the records of ``outputs`` so that Snakemake makes them again.

    It shows ``reason`` as the parameter that has changed.
    """
    for output in outputs:
        record = _read(output) or {"record_format_version": FORMAT, "incomplete": False}
        if record.get("params") != [reason]:
            write_text(_path(output), json.dumps(record | {"params": [reason]}))


def _ended(output: str) -> float:
    record = _read(output)
    return float(record.get("endtime") or 0.0) if record else 0.0


def _read(output: str) -> dict[str, Any] | None:
    try:
        record = json.loads(_path(output).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return record if isinstance(record, dict) else None


def _path(output: str) -> Path:
    return RECORDS / urlsafe_b64encode(output.encode()).decode()
