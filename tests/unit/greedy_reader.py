"""A reader for strangers' files that takes more than it may; run as a module in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from regionzoo.foreign.confined import confine
from regionzoo.foreign.machine import Refused


def read(task: dict[str, Any], folder: Path) -> None:
    """task: what to do."""
    match task["do"]:
        case "memory":
            held = [bytearray(1 << 24) for _ in range(1 << 20)]
            del held
        case "time":
            while True:
                pass
        case "disk":
            with (folder / "big").open("wb") as file:
                for _ in range(1 << 20):
                    file.write(bytes(1 << 20))
        case "process":
            subprocess.run(["touch", task["marker"]])
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "recursion":
            read(task, folder)
        case "bug":
            raise AttributeError("a mistake\nof two lines")
        case "talk":
            raise Refused("it says:\n\x1b[31mred\x00 " + "and more " * 10_000)
        case "good":
            print("unheard")
            print("unheard", file=sys.stderr)
            (folder / "result").write_text("done")


if __name__ == "__main__":
    confine(read)
