"""Names as seeds."""

from __future__ import annotations

import hashlib


def stable_int(text: str) -> int:
    """64 bits that depend on the text alone (``hash`` differs between processes)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
