"""Progress of long work: a bar on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# Seconds between two lines when the output is no terminal.
LINE_EVERY = 10.0


class Meter:
    """Count finished things of ``total``; ``note`` is shown beside the count (losses, speed).

    >>> with Meter("preprocess", 3) as meter:
    ...     meter.update(1)
    """

    def __init__(self, title: str, total: int, quiet: bool = False) -> None:
        self.title, self.total, self.quiet = title, total, quiet
        self._start = self._shown = time.monotonic()
        self._first = 0
        self._bar: Progress | None = None
        if not quiet and sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task(title, total=total, note="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def begin_at(self, done: int) -> None:
        """Say that ``done`` things were finished before (a resumed run), so that the time left is not skewed."""
        self._first = done

    def update(self, done: int, note: str = "") -> None:
        """``done`` things are finished by now."""
        if self.quiet:
            return
        if self._bar:
            self._bar.update(self._task, completed=done, total=self.total, note=note)
            return
        now = time.monotonic()
        if now - self._shown < LINE_EVERY and done < self.total:
            return
        self._shown = now
        spent = now - self._start
        left = spent / max(done - self._first, 1) * (self.total - done)
        print(
            f"[{self.title}] {done}/{self.total}  {clock(spent)} spent, {clock(left)} left  {note}".rstrip(),
            file=sys.stderr,
            flush=True,
        )


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
