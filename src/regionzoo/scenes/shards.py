"""Work dealt to processes: interleaved shards, results as they come, and a dead process is an answer, not a hang."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

from regionzoo.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died:
    """The process that worked on an item ended without an answer (killed, out of memory, crash in native code)."""

    exit_code: int | None

    def __str__(self) -> str:
        code = self.exit_code
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            return f"the worker process was killed by {name}" + (" (out of memory?)" if code == -9 else "")
        return f"the worker process ended early with exit code {code}"


@dataclass
class _Shard(Generic[Item]):
    items: list[Item]
    process: multiprocessing.process.BaseProcess


def run_shards(
    task: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Result | Died]]:
    """Run ``task(item)`` for all items in ``workers`` processes; yield (item, result or :class:`Died`) as they come.

    Worker i gets items i, i + workers, ... in order. ``task`` and its result must be picklable and ``task`` should
    return its errors; an exception that escapes it ends its process. When a process ends early, the item that it was
    working on is answered with :class:`Died` and a new process takes the rest of its shard, so every item gets exactly
    one answer. One worker, or one item, runs in the calling process.
    """
    if workers <= 1 or len(items) <= 1:
        for item in items:
            yield item, task(item)
        return
    # spawn: a fork of a process that has threads (torch, rich) can deadlock.
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, _Shard[Item]] = {}

    def start(shard: list[Item]) -> None:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(task, shard, theirs), daemon=True)
        process.start()
        theirs.close()  # so that the end of the process is the end of the stream
        running[ours] = _Shard(shard, process)

    try:
        for i in range(min(workers, len(items))):
            start(list(items[i::workers]))
        while running:
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                shard = running[connection]
                try:
                    result = connection.recv()
                except (EOFError, OSError):
                    result = None
                if result is not None:
                    yield shard.items.pop(0), result[0]
                    continue
                del running[connection]
                connection.close()
                shard.process.join()
                if shard.items:
                    yield shard.items.pop(0), Died(shard.process.exitcode)
                if shard.items:
                    start(shard.items)
    finally:
        for connection, shard in running.items():
            shard.process.terminate()
            shard.process.join()
            connection.close()


def run_all(
    task: Callable[[str], Result | UserError],
    scene_ids: Sequence[str],
    workers: int,
    what: str,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Results of ``task`` in the order of ``scene_ids``; the first broken scene ends the run with its error.

    ``task`` returns a :class:`UserError` instead of raising it: one that escapes would end its process. what: named
    in the error of a scene whose process died. progress: called after each scene with (done, all).
    """
    done: dict[str, Result] = {}
    # Closed at once on an error: no worker may write any more when the unfinished folder is removed.
    with closing(run_shards(task, scene_ids, workers)) as answers:
        for scene_id, answer in answers:
            if isinstance(answer, Died):
                raise UserError(f"{scene_id}: {what}: {answer}; try fewer workers")
            if isinstance(answer, UserError):
                raise answer
            done[scene_id] = answer
            if progress is not None:
                progress(len(done), len(scene_ids))
    return [done[scene_id] for scene_id in scene_ids]


def make_all(
    task: Callable[[Item], list[str]],
    items: Sequence[Item],
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Run ``task(item)`` for all items, in any order; what it tells, sorted. Its first exception ends the run.

    ``task`` and the items must be picklable; progress: called after each item with (done, all).
    """
    told: list[str] = []
    if workers <= 1 or len(items) <= 1:
        for done, item in enumerate(items, 1):
            told += task(item)
            if progress:
                progress(done, len(items))
        return sorted(told)
    # Spawned, not forked: the caller may hold threads (torch, BLAS) that a fork would break.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(task, item) for item in items]
        for done, future in enumerate(as_completed(futures), 1):
            told += future.result()
            if progress:
                progress(done, len(items))
    return sorted(told)


def _work(task: Callable[[Item], Result], items: list[Item], answers: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers itself
    for item in items:
        answers.send((task(item),))
