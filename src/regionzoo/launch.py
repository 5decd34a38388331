"""Several processes of one command: torchrun for GPUs and machines, a plain start of our own for the cores of a CPU.

A command that torchrun has started finds WORLD_SIZE set and starts nothing itself. On a CPU the children are started
here, because torchrun takes seconds to begin and buries a one-line error; they end with their parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

from regionzoo.errors import UserError

PR_SET_PDEATHSIG = 1
MOST_LOADERS = 16


def choose_processes(requested: int, shards: int, threads: int, device: str) -> int:
    """How many processes to start: the request; for 0, on a CPU as many as share the shards equally and have a core.

    Processes use cores better than threads do: the many small operations of a sparse network wait for each other.
    With a GPU, 0 means one process.
    """
    if requested > 0:
        return requested
    if _on_gpu(device):
        return 1
    cores = threads or len(os.sched_getaffinity(0))
    return max(n for n in range(1, shards + 1) if shards % n == 0 and n <= max(cores, 1))


def choose_loaders(requested: int | None, threads: int, processes: int, device: str) -> int:
    """How many processes each of ``processes`` starts to prepare its batches: the request; for None, none on a CPU.

    With a GPU one for each of its threads but one in eight, at least one, which it needs itself to launch its kernels;
    at most ``MOST_LOADERS``.
    """
    if requested is not None:
        return requested
    if not _on_gpu(device):
        return 0
    # torchrun counts those of this machine; those of others have threads of their own.
    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    own = (threads or len(os.sched_getaffinity(0))) // max(here, 1)
    return min(MOST_LOADERS, max(1, own - max(1, own // 8)))


def _on_gpu(device: str) -> bool:
    if device == "auto":
        import torch

        return torch.cuda.is_available()
    return device == "cuda"


def threads_each(threads: int, processes: int) -> int:
    """Torch threads of one of several processes that share ``threads`` cores (0: all); alone, as asked."""
    if processes <= 1:
        return threads
    return max(1, (threads or len(os.sched_getaffinity(0))) // processes)


def distributed(command: list[str], gpus: int, nodes: int) -> list[str]:
    """The ``regionzoo`` command as it is run with a process a GPU; ``gpus`` are those of all ``nodes`` together.

    Raises :class:`UserError` if several machines are asked for outside Slurm, or in a way in which they cannot be had.
    """
    if gpus <= 1 and nodes <= 1:
        return command
    module = ["-m", "regionzoo", *command[1:]]
    each = f"--nproc-per-node={max(gpus // nodes, 1)}"
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    if nodes <= 1:
        return [*torchrun, "--standalone", each, *module]
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        raise UserError(f"{nodes} nodes are asked for outside a Slurm job; use the profile workflow/profiles/slurm")
    if gpus % nodes:
        raise UserError(f"{nodes} nodes cannot share {gpus} GPUs equally; the resource gpu counts those of all nodes")
    if "SLURM_STEP_ID" in os.environ:
        # A step of one node that holds what the training needs: its own srun would wait for ever.
        raise UserError(f"{nodes} nodes need the resources mpi=srun and tasks={nodes} as well; see docs/cluster.md")
    # The job runs on the first of its nodes; the port is free unless a job of a number 20000 off runs there too.
    meeting = f"{socket.gethostname()}:{20000 + int(job) % 20000}"
    # Without a step around it (mpi=srun) srun hands out all that the job has; unbound, a task may use all its CPUs.
    one_each = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--cpu-bind=none"]
    rendezvous = ["--rdzv-backend=c10d", f"--rdzv-id={job}", f"--rdzv-endpoint={meeting}"]
    return [*one_each, "--kill-on-bad-exit=1", *torchrun, f"--nnodes={nodes}", each, *rendezvous, *module]


def launch(processes: int) -> None:
    """Run this very command in ``processes`` processes and exit with their status; return if there is no need to."""
    if processes <= 1 or "WORLD_SIZE" in os.environ:
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {**os.environ, "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "regionzoo", *sys.argv[1:]]
    children = [
        subprocess.Popen(
            command, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, preexec_fn=end_with_parent
        )
        for rank in range(processes)
    ]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end_all(children))
    sys.exit(_wait(children))


def _wait(children: list[subprocess.Popen[bytes]]) -> int:
    """The first status that is not 0, after which the others are ended; 0 when all are done."""
    while True:
        codes = [child.poll() for child in children]
        failed = [code for code in codes if code]
        if failed:
            end_all(children)
            return failed[0] if failed[0] > 0 else 128 - failed[0]
        if all(code == 0 for code in codes):
            return 0
        time.sleep(0.05)


def end_all(children: list[subprocess.Popen[bytes]]) -> None:
    """Ask the children to end, and end those that do not within 10 s."""
    for child in children:
        if child.poll() is None:
            child.terminate()
    for child in children:
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()


def end_with_parent() -> None:
    """For ``preexec_fn``: the kernel ends this process when its parent is gone, whatever ended that (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
