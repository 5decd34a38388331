"""Text from strangers' files, made fit for a line on a terminal."""

from __future__ import annotations

LENGTH = 120


def readable(text: object) -> str:
    """``text`` without line ends and control characters, cut to 120 characters."""
    line = "".join(c if c.isprintable() and c.isascii() else "?" for c in " ".join(str(text).split()))
    return line if len(line) <= LENGTH else f"{line[:LENGTH]}..."
