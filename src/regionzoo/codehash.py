"""Digest of what a stage's code computes, so that an edit reruns exactly the jobs whose numbers may change.

The digest of a stage is taken over the syntax trees, without docstrings and so without comments and layout, of
``regionzoo.stages.<stage>`` and of every module of this package that it imports, directly or not, also inside
functions. Tables that a module reads (``DATA``) count with the module. Not seen: third-party packages (their versions
are recorded with the results) and the command line, which only parses arguments. Both Snakemake and DVC use the digest
as a parameter; it depends on the minor version of Python (``ast.unparse``).

Digesting takes half a second, which every call of Snakemake would pay, so the digests are kept in ``__pycache__``
under a hash of all files that they are made of.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from regionzoo.artifacts import write_text

PACKAGE = "regionzoo"
SOURCE = Path(__file__).resolve().parents[1]
"""The folder ``src`` that this package runs from."""

DATA = {
    "regionzoo.classes": ("data/nuscenes16.csv", "data/scannet20.csv", "data/scannet200.csv"),
    "regionzoo.evaluation.instance_protocols": ("data/instance_protocols.yaml",),
    "regionzoo.evaluation.protocols": ("data/protocols.yaml",),
    "regionzoo.scenes.lidarseg": ("data/lidarseg.csv",),
    "regionzoo.scenes.nuscenes_layout": ("data/nuscenes_splits.yaml",),
}
# Kept out of every closure: a new version number, the wording of an error, a progress bar or the names that this module
# gives to code change no result, nor does a look at whether raw files were edited.
NEUTRAL = (
    "regionzoo",
    "regionzoo.codehash",
    "regionzoo.errors",
    "regionzoo.progress",
    "regionzoo.scenes.raw_look",
)
KEPT = Path(PACKAGE, "__pycache__", "codehash.json")


def stage_names(source: Path) -> list[str]:
    """The stages, one module each in ``regionzoo/stages``; ``_*.py`` are their helpers."""
    return sorted(path.stem for path in (source / PACKAGE / "stages").glob("[a-z]*.py"))


def code_digests(source: str | Path) -> dict[str, str]:
    """``{stage: hex digest}`` for the package below ``source`` (the folder ``src``)."""
    source = Path(source).resolve()
    content = _content(source)
    # None yet, or not whole: computed below.
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads((source / KEPT).read_text())
        if kept["content"] == content:
            return kept["digests"]
    digests = {name: stage_digest(source, name) for name in stage_names(source)}
    # Only a short cut: nothing is kept of files that were edited meanwhile, or where nothing may be written.
    if _content(source) == content:
        with suppress(OSError):
            write_text(source / KEPT, json.dumps({"content": content, "digests": digests}))
    return digests


def _content(source: Path) -> str:
    """Hash of all files of the package, this module among them, and of Python's version."""
    files = sorted(path for path in (source / PACKAGE).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    parts = [f"{path.relative_to(source)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
    return hashlib.sha256("\n".join([sys.version, *parts]).encode()).hexdigest()


def stage_digest(source: Path, stage: str) -> str:
    """16 hex digits for one stage."""
    modules = closure(source, f"{PACKAGE}.stages.{stage}")
    return hashlib.sha256(json.dumps(modules, sort_keys=True).encode()).hexdigest()[:16]


def closure(source: Path, module: str) -> dict[str, str]:
    """``{module: normalised text}`` of a module and all it imports from the package."""
    seen: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file(source, name)
        if path is None or name in seen or name in NEUTRAL:
            continue
        text, imports = _read(path, name)
        tables = [(source / PACKAGE / file).read_text() for file in DATA.get(name, ())]
        seen[name] = "\n".join([text, *tables])
        waiting.extend(imports)
    return seen


def _file(source: Path, module: str) -> Path | None:
    stem = source.joinpath(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _read(path: Path, module: str) -> tuple[str, tuple[str, ...]]:
    tree = ast.parse(path.read_text())
    imports = tuple(_imports(tree, module, path.name == "__init__.py"))
    return ast.unparse(_without_docstrings(tree)), imports


def _imports(tree: ast.AST, module: str, is_package: bool) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parents = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            # `from package import name` may name a module or something inside one; both are tried.
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == PACKAGE:
                # Importing a.b.c runs a and a.b too.
                found.extend(".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return found


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def main(source: str, out: str) -> None:
    """Write the digests as JSON for DVC; the file is rewritten only if they changed."""
    text = json.dumps(code_digests(source), indent=1, sort_keys=True) + "\n"
    path = Path(out)
    if not path.exists() or path.read_text() != text:
        write_text(path, text)


if __name__ == "__main__":
    main(*sys.argv[1:3])
