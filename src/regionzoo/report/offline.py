"""The chart library of DVC's plots, from what Snakemake brings, so that ``dvc plots show`` needs no network.

DVC's own page loads vega from the network. Ours (``.dvc/plots.html``) takes it from ``.dvc/tmp/vega.js``, which git
ignores and :func:`write_library` makes: two megabytes that every environment already holds once, in Snakemake's wheel.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from regionzoo.artifacts import write_bytes
from regionzoo.errors import UserError

LIBRARY = Path(".dvc/tmp/vega.js")
PARTS = ("vega", "vega-lite", "vega-embed")
"""In the order in which a page has to load them."""


def library() -> bytes:
    """The three libraries as one script, each below its licence; :class:`UserError` if Snakemake lacks one."""
    return b"".join(_part(_assets() / name / f"{name}.js", _assets() / name / "LICENSE") for name in PARTS)


def write_library(repository: Path) -> Path:
    """Write the library into ``repository``, unless it is there already, and return its path.

    :class:`UserError` if ``repository`` has no folder ``.dvc`` or Snakemake lacks a part; ``OSError`` if it cannot be
    written.
    """
    path = repository / LIBRARY
    # A folder .dvc of our making would turn any folder into a DVC repository.
    if not path.parents[1].is_dir():
        raise UserError(f"{path.parents[1]}: no such folder; call this in the root of the repository")
    content = library()
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)
    return path


def _assets() -> Path:
    # Not imported: that takes longer than all the rest.
    found = find_spec("snakemake")
    if found is None or found.origin is None:
        raise UserError("snakemake: not installed here; pip install -r requirements.lock")
    return Path(found.origin).parent / "assets" / "data"


def _part(script: Path, licence: Path) -> bytes:
    for path in (script, licence):
        if not path.is_file():
            raise UserError(f"{path}: no such file in this Snakemake; pip install -r requirements.lock")
    notice = licence.read_text(encoding="utf-8").replace("*/", "* /")
    return f"/*\n{notice}\n*/\n".encode() + script.read_bytes() + b"\n"
