"""Ways to break a run while it works: its processes found, watched and killed, its disk filled, its files damaged."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from project import Done, Project

PATIENCE = 120.0
"""Seconds after which something that should happen counts as not happening; nothing waits longer than it must."""


class Victim(Project):
    """A project in which things go wrong. One core: bits depend on the number of threads, and tests share the cores.

    ``inside``: words before every command, such as those that enter a mount namespace.
    """

    def __init__(self, folder: Path, inside: tuple[str, ...] = ()) -> None:
        super().__init__(folder)
        self.inside = inside

    @property
    def environment(self) -> dict[str, str]:
        """Of every command."""
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "src"),
            "OMP_NUM_THREADS": "1",
            "REGIONZOO_CORES": "1",
            # DVC's shell. Debian's stays beside the command that it was called for, bash does not.
            "SHELL": "/bin/sh",
        }

    def copy(self, folder: Path) -> Victim:
        """The same state elsewhere, times of files included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Victim(folder)

    def run(self, *command: str, timeout: int = 600) -> Done:
        """Run a command in the project to its end."""
        done = subprocess.run(
            [*self.inside, *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def snakemake(self, *arguments: str) -> Done:
        """Run Snakemake on one core."""
        return self.run("snakemake", "--cores", "1", *arguments)

    @contextmanager
    def running(self, *command: str) -> Iterator[Running]:
        """Start a command as scripts do in the background, deaf to Ctrl-C; what still works afterwards is ended."""
        output = self.folder.with_name(f"{self.folder.name}.{time.monotonic_ns()}.out")
        with output.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
            )
        try:
            yield Running(process, output)
        finally:
            for pid in (process.pid, *self.workers()):
                kill(pid)
            process.wait()

    def workers(self) -> dict[int, str]:
        """Living processes whose working folder is the project, with their command lines."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                # Processes end while they are looked at; those of other users cannot be.
                with suppress(OSError):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if command and Path(os.readlink(entry / "cwd")) == self.folder.resolve():
                        found[int(entry.name)] = command
        return found

    def trainings(self) -> list[int]:
        """Processes that train, without the jobs that started them."""
        return [
            pid for pid, line in self.workers().items() if "regionzoo train" in line and "regionzoo.job" not in line
        ]

    def told_to_end(self) -> bool:
        """Whether every training is gone, or has SIGINT or SIGTERM waiting for it (one that stands still)."""
        waiting = 1 << (signal.SIGINT - 1) | 1 << (signal.SIGTERM - 1)
        for pid in self.trainings():
            with suppress(OSError):
                status = Path("/proc", str(pid), "status").read_text()
                if not any(int(mask, 16) & waiting for mask in re.findall(r"^(?:Sig|Shd)Pnd:\s*(\w+)", status, re.M)):
                    return False
        return True

    def epochs_done(self, row: str) -> int:
        """Epochs in a row's resume state, 0 without one."""
        return int(self._progress(row).get("epochs_done", 0))

    def epochs_seen(self, row: str) -> list[dict[str, float]]:
        """Lines of history.csv in a row's resume state; their seconds are those of the process that trained them."""
        return list(self._progress(row).get("history", []))

    def _progress(self, row: str) -> dict:
        try:
            content = (self.folder / "runs" / row / "state.safetensors").read_bytes()
        except FileNotFoundError:
            return {}
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return json.loads(header["__metadata__"]["progress"])

    def commands(self, *targets: str) -> dict[str, list[str]]:
        """What the jobs of targets call, by stage, as the workflow prints it."""
        text = self.snakemake("-n", "-p", "--forceall", "--", *targets).text
        found: dict[str, list[str]] = {}
        for line in re.findall(r" -- (regionzoo .*)", text):
            words = shlex.split(line)
            found.setdefault(words[1], words)
        return found


@dataclass(frozen=True)
class Running:
    """A command at work; what it prints goes to a file."""

    process: subprocess.Popen[bytes]
    output: Path

    def kill(self) -> None:
        """`kill -9` of this process alone, not of its children."""
        kill(self.process.pid)
        self.process.wait()

    def done(self) -> Done:
        """Wait for the end."""
        return Done(self.process.wait(300), self.output.read_text(), "")


def kill(pid: int) -> None:
    """`kill -9`, whether or not the process is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Look every few milliseconds until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def spoil(content: bytes, how: str) -> bytes:
    """What disks and hands do to a file: "emptied", "truncated", or "flipped 0.3": one bit, at 3/10 of its length."""
    if how == "emptied":
        return b""
    if how == "truncated":
        return content[: len(content) // 2]
    place = int(float(how.removeprefix("flipped ")) * len(content))
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@contextmanager
def damaged(path: Path, how: str) -> Iterator[None]:
    """Damage a file for a while; its times stay, so that only its content tells."""
    whole, times = path.read_bytes(), path.stat()
    try:
        path.write_bytes(spoil(whole, how))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        yield
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


class NoMount(Exception):
    """This process may not mount a disk of its own."""


@contextmanager
def small_disk(project: Project, spare: int) -> Iterator[Victim]:
    """The project on a disk of its own with ``spare`` KiB beyond its content, in a mount namespace of its own.

    Files are at ``/proc/<pid>/root/...`` for who is outside. :class:`NoMount` where the kernel forbids it.
    """
    folder = project.folder
    disk = folder.with_name(f"{folder.name}.disk")
    disk.mkdir()
    used = int(subprocess.run(["du", "-sk", str(folder)], capture_output=True, text=True).stdout.split()[0])
    script = f'mount -t tmpfs -o size={used + 4096}k tmpfs "$1" && cp -a "$0/." "$1" && echo ready && exec sleep 600'
    holder = subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", script, str(folder), str(disk)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None and holder.stderr is not None
        if holder.stdout.readline() != b"ready\n":
            raise NoMount(holder.stderr.read().decode().strip())
        enter = ("nsenter", "-t", str(holder.pid), "-U", "-m", "--preserve-credentials")
        enter += ("sh", "-c", 'cd "$0" && exec "$@"', str(disk))
        seen = Path(f"/proc/{holder.pid}/root{disk}")
        room = os.statvfs(seen)
        (seen / "filler").write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - spare * 1024)))
        yield Victim(seen, enter)
    finally:
        kill(holder.pid)
        holder.communicate()


@dataclass(frozen=True)
class Case:
    """A call of a stage while one file is damaged.

    path: relative to the project. how: see :func:`spoil`.
    """

    path: str
    how: str
    call: list[str]


ONE_PROCESS = """
import contextlib, io, json, sys
from pathlib import Path
from faults import damaged
from regionzoo.cli import main

for path, how, call in json.load(sys.stdin):
    said, code = io.StringIO(), 0
    with damaged(Path(path), how), contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        sys.argv = call
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        except BaseException as error:
            code = repr(error)
    print(json.dumps([code, said.getvalue()]), flush=True)
"""


def outcomes(project: Victim, cases: list[Case]) -> list[tuple[object, str]]:
    """Exit status (or the exception that came through) and output of every case.

    One process calls the command line once a case, since each start would cost seconds for torch.
    """
    done = subprocess.run(
        [sys.executable, "-c", ONE_PROCESS],
        cwd=project.folder,
        env=project.environment | {"PYTHONPATH": f"{project.folder / 'src'}{os.pathsep}{Path(__file__).parent}"},
        input=json.dumps([(case.path, case.how, case.call) for case in cases]),
        capture_output=True,
        text=True,
    )
    found = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    assert len(found) == len(cases), done.stderr
    return found
