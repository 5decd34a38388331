"""What a process may not do while it unpickles: a wall behind the restricted unpickler."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from regionzoo.foreign.machine import Refused

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Beginnings of names of Python's audit events: programs, connections, foreign code, changes of files.
_FORBIDDEN = (
    "subprocess.", "socket.", "ctypes.", "shutil.", "tempfile.", "pty.", "fcntl.", "signal.", "webbrowser.", "urllib.",
    "ftplib.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.kill", "os.putenv", "os.remove",
    "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime",
    "os.setxattr", "os.removexattr",
)  # fmt: skip


@contextmanager
def nothing_but_reading() -> Iterator[None]:
    """While the block runs, Python starts no program, connects to nothing, loads no foreign code, changes no file.

    It sees what goes through Python alone and is not to be relied upon by itself. The hook stays in the process for
    good, so this is for one that ends soon. Raises :class:`Refused` where something of it is tried.
    """
    active = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if active and (event.startswith(_FORBIDDEN) or (event == "open" and _writes(arguments))):
            raise Refused(f"tried to do more than to be read ({event})")

    sys.addaudithook(watch)
    try:
        yield
    finally:
        active = False


def _writes(arguments: tuple[object, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    if isinstance(mode, str) and set(mode) & set("wax+"):
        return True
    return isinstance(flags, int) and bool(flags & _WRITING)
