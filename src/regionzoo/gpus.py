"""GPUs of this machine for jobs that run side by side: each job locks those that it uses.

Snakemake's ``--resources gpu=4`` says how many jobs may run, not which device each may use. Slurm does both, so
nothing is chosen inside a Slurm job.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from regionzoo.errors import UserError

LOCKS = Path(tempfile.gettempdir()) / "regionzoo-gpus"
RETRY_EVERY = 1.0
"""Seconds between two tries while too few devices are free."""


def devices() -> list[str]:
    """Names of the devices that may be used: CUDA_VISIBLE_DEVICES if it is set, otherwise all of this machine."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [name.strip() for name in told.split(",") if name.strip()]
    found = (re.fullmatch(r"nvidia(\d+)", path.name) for path in Path("/dev").glob("nvidia*"))
    return sorted((match[1] for match in found if match), key=int)


@contextmanager
def granted(count: int) -> Iterator[str | None]:
    """Hold ``count`` devices and yield a value for CUDA_VISIBLE_DEVICES; None if nothing is to be chosen.

    Waits while others hold them. :class:`UserError` if this machine has too few.
    """
    if count <= 0 or "SLURM_JOB_ID" in os.environ:
        yield None
        return
    names = devices()
    if len(names) < count:
        raise UserError(
            f"the job asks for {count} GPUs (resource gpu) and this machine offers {len(names)}; "
            "--set-resources train:gpu=0 trains on what there is"
        )
    _shared_folder(LOCKS)
    while True:
        with ExitStack() as held:
            # One chooser at a time, or two jobs could each hold half of what both need.
            with _locked(LOCKS / "choosing.lock", wait=True):
                taken = _take(names, count, held)
            if len(taken) == count:
                yield ",".join(taken)
                return
        time.sleep(RETRY_EVERY)


def _take(names: list[str], count: int, held: ExitStack) -> list[str]:
    taken: list[str] = []
    for name in names:
        if len(taken) == count:
            break
        try:
            held.enter_context(_locked(LOCKS / f"{re.sub(r'[^0-9A-Za-z-]', '_', name)}.lock", wait=False))
        except BlockingIOError:
            continue
        taken.append(name)
    return taken


def _shared_folder(folder: Path) -> None:
    """A folder in which every user of this machine can lock; the umask would keep the others out."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)


@contextmanager
def _locked(path: Path, wait: bool) -> Iterator[IO[str]]:
    """Hold a lock file; the kernel lets go of it with the process, however that ends."""
    if not path.exists():
        path.touch()
        path.chmod(0o666)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield file
