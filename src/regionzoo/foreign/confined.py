"""A process of its own for a stranger's file: it may use so much memory, time and disk, and start nothing.

The reader gives back plain files of numbers and JSON in a folder; the caller never unpickles anything that comes from
it. A reader is a module that ends with ``if __name__ == "__main__": confine(function)``.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import regionzoo
from regionzoo.errors import UserError
from regionzoo.foreign.machine import Refused

_JOB, _REFUSED, _CRASHED = "job.json", "refused.txt", "crashed.txt"
_EXIT_REFUSED = 3
_GIB = 1 << 30


@dataclass(frozen=True)
class Limits:
    """memory: bytes that the process may have beyond what it starts with. seconds: of its CPU. disk: bytes a file."""

    memory: int
    seconds: int
    disk: int

    @classmethod
    def of_size(cls, size: int) -> Limits:
        """For ``size`` bytes to read: what a file that is as it should be needs, a few times over.

        An index of many small tensors takes about twice its size as objects, besides the mapped file itself, and is
        read at 6 MB a second or more. Ids take at most twice the room here that they take in a pickle.
        """
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        objects = min(2 * _GIB + 6 * size, physical * 3 // 4)
        return cls(memory=size + objects, seconds=120 + size // 2_000_000, disk=(1 << 26) + 8 * size)


def run_confined(module: str, task: dict[str, Any], source: Path, folder: Path, limits: Limits) -> None:
    """Run a reader module in a process of its own on ``task`` (JSON values); its results are in ``folder``.

    source: the file or folder that is read, for messages. Raises :class:`UserError` of one line if the reader refuses
    it, exceeds a limit or crashes.
    """
    (folder / _JOB).write_text(json.dumps({"task": task, "limits": asdict(limits)}))
    # -P: no module from the present folder. The path, because a test or notebook may have found the package otherwise.
    command = [sys.executable, "-P", "-m", module, str(folder)]
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(Path(regionzoo.__file__).parents[1]), *([inherited] if inherited else [])])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with (folder / _CRASHED).open("wb") as crashed:
        try:
            # The CPU limit ends a loop; this one ends a reader that waits for a disk that does not answer.
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=crashed,
                timeout=600 + 10 * limits.seconds,
            )
            code = done.returncode
        except subprocess.TimeoutExpired:
            code = -signal.SIGXCPU
    if code:
        told = _told(code, folder, limits)
        raise UserError(
            f"{source}: {told}; nothing of it was used: check that it is the right file, or download it again"
        )


def _told(code: int, folder: Path, limits: Limits) -> str:
    if code == _EXIT_REFUSED:
        return _line((folder / _REFUSED).read_bytes()[:1000])
    if code == -signal.SIGXCPU:
        return f"takes more than {limits.seconds} s to read, which no file of its size should"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"its reader was ended by {name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
    last = _line((folder / _CRASHED).read_bytes()[-1000:].strip().rpartition(b"\n")[2])
    if "MemoryError" in last:
        return _needs_memory(limits)
    return f"its reader failed ({last})"


def _line(content: bytes) -> str:
    """One line of printable text, whatever comes from the other side."""
    text = " ".join(content.decode("utf-8", "replace").split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:400]


def _needs_memory(limits: Limits) -> str:
    return f"needs more than {limits.memory / _GIB:.1f} GiB of memory, which no file of its size should"


def confine(read: Callable[[dict[str, Any], Path], None]) -> None:
    """The main program of a reader: set the limits, then ``read(task, folder)``; never returns."""
    folder = Path(sys.argv[1])
    job = json.loads((folder / _JOB).read_text())
    limits = Limits(**job["limits"])
    _set_limits(limits)
    try:
        read(job["task"], folder)
    except Refused as error:
        told = str(error)
    except MemoryError:
        told = _needs_memory(limits)
    except OSError as error:
        told = f"cannot be converted ({error.strerror})"
    except RecursionError:
        told = "is nested too deeply"
    else:
        sys.exit(0)
    (folder / _REFUSED).write_bytes(told.encode("utf-8", "replace"))
    # Without tidying up: millions of small objects, or nested ones without end.
    os._exit(_EXIT_REFUSED)


def _set_limits(limits: Limits) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory = pages * resource.getpagesize() + limits.memory
    for kind, amount in {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: limits.seconds,
        resource.RLIMIT_FSIZE: limits.disk,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }.items():
        _, hard = resource.getrlimit(kind)
        amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        # At the hard limit of CPU time the signal would be one that does not tell the reason.
        most = hard if kind == resource.RLIMIT_CPU else amount
        resource.setrlimit(kind, (amount, most))
