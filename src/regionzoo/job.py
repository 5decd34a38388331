"""What every rule runs its command through: ``python -m regionzoo.job OUTPUT... --log LOG -- COMMAND...``

A job so run is marked as unfinished until it has succeeded, writes its log, ends when Snakemake is gone (a training
that nobody waits for would be in the way of the next call), and gets GPUs of its own. Imports are light: every job
starts here.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from regionzoo.errors import UserError
from regionzoo.gpus import granted
from regionzoo.launch import distributed, end_all, end_with_parent
from regionzoo.records import mark

LOOK_EVERY = 0.5
"""Seconds between two looks whether the parent is still there."""


def main(arguments: list[str]) -> int:
    """Run one job; returns its exit status (2 for bad input)."""
    parser = argparse.ArgumentParser(prog="regionzoo.job", description=__doc__)
    parser.add_argument("outputs", nargs="+", help="what the job makes")
    parser.add_argument("--log", type=Path, required=True, help="file for stdout and stderr, which are shown too")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to take; more than one: a process each (torchrun)")
    parser.add_argument("--nodes", type=int, default=1, help="machines of this Slurm job to train on together")
    own, command = _split(arguments)
    known = parser.parse_args(own)
    if not command:
        parser.error("no command after --")
    try:
        return _run(known, command)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    place = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:place], arguments[place + 1 :]


def _run(known: argparse.Namespace, command: list[str]) -> int:
    marker = mark(known.outputs)
    with granted(known.gpus) as devices:
        environment = dict(os.environ) if devices is None else {**os.environ, "CUDA_VISIBLE_DEVICES": devices}
        code = _call(distributed(command, known.gpus, known.nodes), known.log, environment)
    if code == 0:
        marker.unlink(missing_ok=True)
    return code


def _call(command: list[str], log: Path, environment: dict[str, str]) -> int:
    parent = os.getppid()
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        child = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=end_with_parent
        )
    except FileNotFoundError:
        raise UserError(f"{command[0]}: no such command; activate the environment of regionzoo") from None
    # A terminal's Ctrl-C reaches the child too; its status is what counts then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: end_all([child]))
    assert child.stdout is not None
    pipe = child.stdout.fileno()
    with log.open("wb", buffering=0) as copy:
        while True:
            readable, _, _ = select.select([pipe], [], [], LOOK_EVERY)
            if os.getppid() != parent:
                end_all([child])
                return 128 + signal.SIGTERM
            if readable:
                chunk = os.read(pipe, 1 << 16)
                if not chunk:
                    break
                _show(chunk)
                with suppress(OSError):  # a full disk; the job itself says what that means for it
                    copy.write(chunk)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _show(chunk: bytes) -> None:
    with suppress(BrokenPipeError):  # nobody reads any more; the log has it
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
