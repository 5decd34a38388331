"""The names that an open-vocabulary detector looks for."""

from __future__ import annotations

from pathlib import Path

from regionzoo.classes import CLASS_SETS, class_set
from regionzoo.errors import UserError

WORDLESS = frozenset({"otherfurniture"})
"""Names of class sets that no detector can look for."""


def read_vocabulary(source: str) -> tuple[str, ...]:
    """The names of a class set ("scannet20"), or those of a text file, one a line; each once, in order.

    Underscores become blanks, as in the original. Empty lines and lines that begin with # are passed over.
    """
    if source in CLASS_SETS:
        lines = [name for name in class_set(source).names if name not in WORDLESS]
    else:
        try:
            lines = Path(source).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"vocabulary '{source}': neither a class set ({', '.join(CLASS_SETS)}) nor a readable text file "
                f"({type(error).__name__})"
            ) from None
    names = [" ".join(line.replace("_", " ").split()) for line in lines if not line.lstrip().startswith("#")]
    found = tuple(dict.fromkeys(filter(None, names)))
    if not found:
        raise UserError(f"vocabulary '{source}': no names in it; write one a line")
    return found
