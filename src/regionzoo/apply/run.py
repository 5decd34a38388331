"""What prediction and queries share: the network on its device, and every scan of a path through it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from regionzoo.apply.clouds import Cloud, read_cloud
from regionzoo.apply.grid import Voxels, doubts, make_voxels
from regionzoo.apply.scans import Scan, find_scans
from regionzoo.apply.tiles import Tile, tiles
from regionzoo.apply.weights import Weights
from regionzoo.errors import UserError
from regionzoo.training.distributed import pick_device

VOXELS = 3_000_000
"""Voxels of one pass of a network whose finest level has 16 channels; of wider ones, fewer. About 4 GB on a CPU."""
MARGIN_CELLS = 2
"""Cells of the coarsest level around a tile that lend it their context (measured: ``benchmarks/large_scan.json``)."""
PLACE = "{scan}"


@dataclass(frozen=True)
class Runtime:
    """device: "auto", "cpu" or "cuda". engine: of the sparse convolutions. threads: of torch, 0 for its default.

    voxels: of one pass, None for the default. margin: metres around a tile, None for the default.
    """

    device: str = "auto"
    engine: str = "native"
    threads: int = 0
    voxels: int | None = None
    margin: float | None = None

    def most(self, weights: Weights) -> int:
        """Voxels of one pass of a network."""
        return self.voxels or VOXELS * 16 // max(16, weights.settings.network.widths[0])

    def parts(self, voxels: Voxels, weights: Weights) -> Iterator[Tile]:
        """A scan in one piece if it is small enough for one pass, else its tiles."""
        coarsest = 1 << (len(weights.settings.network.widths) - 1)
        margin = MARGIN_CELLS * coarsest if self.margin is None else round(self.margin / voxel_size(weights))
        return tiles(voxels.coords.numpy(), self.most(weights), margin)


def voxel_size(weights: Weights) -> float:
    """Metres; indoor networks have cubes."""
    size = weights.settings.recipe.voxel_size
    if isinstance(size, tuple):
        raise UserError(f"row '{weights.row}': its voxels are no cubes; only the ScanNet rows can be asked about scans")
    return size


def planned(
    scans: tuple[Scan, ...], outputs: tuple[Path, ...], endings: tuple[str, ...]
) -> dict[Scan, tuple[Path, ...]]:
    """Where the results of each scan go; :class:`UserError` for unknown kinds and for files that two scans would share.

    outputs: paths, in which ``{scan}`` stands for a scan's name. endings: the kinds there are.
    """
    for output in outputs:
        if output.suffix not in endings:
            named = ", ".join(ending or "a folder" for ending in endings)
            raise UserError(f"{output}: unknown kind of output '{output.suffix}'; expected {named}")
        if len(scans) > 1 and PLACE not in str(output):
            raise UserError(f"{output}: there are {len(scans)} scans; put {PLACE} into the name of the output")
        if output.suffix and output.is_dir():
            raise UserError(f"{output}: is a folder; name a file")
    if len(set(outputs)) < len(outputs):
        raise UserError(f"{outputs[0]}: two outputs are the same file")
    named = {scan: tuple(Path(str(output).replace(PLACE, scan.name)) for output in outputs) for scan in scans}
    for scan, paths in named.items():
        if scan.path.resolve() in [path.resolve() for path in paths]:
            raise UserError(f"{scan.path}: is the scan itself; name another output")
        for path in paths:
            # A folder takes the place of what was there.
            if not path.suffix and path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise UserError(f"{path}: exists already; name a new folder, or remove it first")
    return named


def each_scan(
    source: Path,
    outputs: tuple[Path, ...],
    endings: tuple[str, ...],
    size: float,
    work: Callable[[Cloud, Voxels, tuple[Path, ...]], str],
) -> None:
    """Read, voxelise and ``work`` on every scan; one that fails takes nothing from the others.

    work: writes the outputs and returns what is to be told of them. Raises :class:`UserError` at the end if any failed.
    """
    scans = find_scans(source)
    failed = []
    for scan, paths in planned(scans, outputs, endings).items():
        try:
            cloud = read_cloud(scan.path)
            voxels = make_voxels(cloud, size)
            for notice in (*cloud.notices, *doubts(voxels, size)):
                print(f"note: {scan.path}: {notice}", file=sys.stderr)
            print(f"{', '.join(map(str, paths))}: {work(cloud, voxels, paths)}")
        except UserError as error:
            if len(scans) == 1:
                raise
            print(f"error: {error}", file=sys.stderr)
            failed.append(scan.name)
    if failed:
        raise UserError(f"{source}: {len(failed)} of {len(scans)} scans failed: {', '.join(failed[:10])}")


def prepared(runtime: Runtime) -> torch.device:
    """The device, with torch's threads set."""
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no GPU that torch can use")
    return pick_device(runtime.device)
