"""Commands for what the original has published: its files fetched, and ours written as it writes them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

PUBLISHED = "For the original's files"

published = typer.Typer(rich_markup_mode="rich")


class LayoutOption(StrEnum):
    """Axes of the convolutions in a checkpoint (regionzoo.released.layouts)."""

    okkki = "okkki"
    kkkoi = "kkkoi"
    kkkio = "kkkio"


Lock = Annotated[Path, typer.Option(help="Table of the digests of fetched files; commit it.")]
Folder = Annotated[Path, typer.Option(help="Where fetched files are kept.")]


@published.command(rich_help_panel=PUBLISHED)
def published_files(lock: Lock = Path("data/released.lock.csv")) -> None:
    """List the files that the original has published: kind, rows, sha256 if it is known here, page."""
    from regionzoo.released.listing import lines

    for line in lines(lock):
        print(line)


@published.command(rich_help_panel=PUBLISHED)
def fetch(
    name: Annotated[str, typer.Argument(help="A name that published-files lists.")],
    source: Annotated[
        str | None,
        typer.Option("--from", help="A file on this disk or another address; default: the published one."),
    ] = None,
    folder: Folder = Path("data/released"),
    lock: Lock = Path("data/released.lock.csv"),
) -> None:
    """Download a published file, or take it from your disk, and verify it; the first time its sha256 is written down.

    Example: [bold]regionzoo fetch scannet_b15n4 --from ~/Downloads/checkpoint_ep128.pth[/bold]
    """
    from regionzoo.released.fetch import fetch as obtain
    from regionzoo.released.manifest import artifact

    found = obtain(artifact(name), folder, lock, source)
    told = f"recorded in {lock}" if found.first else "as expected"
    print(f"{found.path}: {found.size} bytes, sha256 {found.sha256}, {told}")


@published.command(rich_help_panel=PUBLISHED)
def export_checkpoint(
    result: Annotated[Path, typer.Argument(help="A result with model.safetensors and config.json.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file; default: checkpoint_ep<epoch>.pth here. The original reads the epoch off the name."
        ),
    ] = None,
    layout: Annotated[
        LayoutOption,
        typer.Option(help="By the spconv that reads it: okkki (2.2 and later), kkkoi (native 2.x), kkkio (1.x)."),
    ] = LayoutOption.okkki,
) -> None:
    """Write weights as a checkpoint that the original's own code loads.

    Example: [bold]regionzoo export-checkpoint results/scannet_b15n4[/bold]
    """
    from regionzoo.released.export import export_checkpoint as write

    done = write(result, out, layout.value)
    print(f"{done.path}: {done.tensors} tensors, epoch {done.epoch}, sha256 {done.sha256}")
