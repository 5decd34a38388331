"""The network over the voxels of a cloud: in one pass if they are few enough, else tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from regionzoo.apply.grid import Voxels
from regionzoo.apply.question import Question
from regionzoo.apply.rows import Rows
from regionzoo.apply.tiles import Tile
from regionzoo.models.blocks import Grid
from regionzoo.models.network import RegionNet
from regionzoo.models.text_head import IGNORED_LOGIT, calibrate
from regionzoo.progress import Meter
from regionzoo.sparse.pyramid import Pyramid

BLOCK = 1 << 17
"""Voxels whose adapter features are there at once: 512 numbers each."""


@dataclass(frozen=True)
class Block:
    """Some voxels as the network sees them: adapter features float32 [n, D] and the logit of "base" [n], or None."""

    adapted: Tensor
    binary: Tensor | None


Values = dict[str, np.ndarray]


class Scored:
    """Values of V voxels by name, and where each point finds its own.

    slots: int32 [N], row of each point, -1 for points without a voxel. passes: how often the network ran.
    """

    def __init__(self, rows: dict[str, Rows], slots: np.ndarray, passes: int) -> None:
        self.rows, self.slots, self.passes = rows, slots, passes

    def of_points(self, name: str, start: int, stop: int, missing: float) -> np.ndarray:
        """Values of the points ``start:stop``; ``missing`` for points without a voxel."""
        slots = self.slots[start:stop]
        values = self.rows[name].take(np.maximum(slots, 0))
        values[slots < 0] = missing
        return values


def run_network(
    network: RegionNet,
    voxels: Voxels,
    parts: Iterable[Tile],
    columns: dict[str, tuple[int, type[np.generic]]],
    read: Callable[[Block], Values],
    folder: Path,
    title: str,
    device: torch.device,
) -> Scored:
    """Every tile through the network, and what ``read`` makes of the blocks of features of its inner voxels.

    columns: width (0: one value) and type of each value that ``read`` gives. folder: for values that memory should not
    hold. A single tile of all voxels is what the original evaluates. Smaller ones keep the common grid, so that all
    levels of the U-Net have the sites they would have in one pass.
    """
    rows = {name: Rows(folder, name, len(voxels), *kind) for name, kind in columns.items()}
    position = np.empty(len(voxels), np.int32)
    done = passes = 0
    with Meter(title, len(voxels)) as meter:
        for tile in parts:
            inner = tile.rows[tile.inner]
            position[inner] = np.arange(done, done + len(inner), dtype=np.int32)
            for block in _blocks(network, voxels, tile, device):
                for name, values in read(block).items():
                    rows[name].append(values)
            done, passes = done + len(inner), passes + 1
            meter.update(done, f"{passes} passes" if len(inner) < len(voxels) else "")
    for values in rows.values():
        values.finish()
    slots = np.where(voxels.v2p < 0, np.int32(-1), position[voxels.v2p])
    return Scored(rows, slots, passes)


@torch.inference_mode()
def _blocks(network: RegionNet, voxels: Voxels, tile: Tile, device: torch.device) -> Iterator[Block]:
    """The inner voxels of a tile in blocks, in the order of its rows."""
    whole = len(tile.rows) == len(voxels)
    rows = torch.from_numpy(tile.rows)
    coords = voxels.coords if whole else voxels.coords.index_select(0, rows)
    sites = torch.cat([coords.new_zeros((len(coords), 1)), coords], 1).to(device)
    feats = (voxels.feats if whole else voxels.feats.index_select(0, rows)).to(device)
    grid = Grid(Pyramid(sites, voxels.extent, len(network.settings.widths)), network.engine)
    backbone, encoded = network.backbone_3d(feats, grid)
    binary = None if network.binary_head is None else network.binary_head(encoded, grid).float()
    del encoded, grid, sites, feats
    if not tile.inner.all():
        inner = torch.from_numpy(np.flatnonzero(tile.inner)).to(device)
        backbone = backbone.index_select(0, inner)
        binary = None if binary is None else binary.index_select(0, inner)
    for start in range(0, len(backbone), BLOCK):
        part = slice(start, start + BLOCK)
        yield Block(network.adapter(backbone[part]).float(), None if binary is None else binary[part])


class Reader:
    """What is kept of a block for a question. wanted: names beside ``label`` and ``confidence``, see ``columns``."""

    def __init__(self, question: Question, dimension: int, wanted: frozenset[str], half: bool, device: torch.device):
        self.question, self.wanted = question, wanted
        self.vectors = torch.from_numpy(question.vectors).to(device)
        self.members = torch.from_numpy(question.members).to(device)
        self.ignored = torch.tensor(question.partition.ignore_idx, dtype=torch.int64, device=device)
        classes = len(question.names)
        floats = np.float16 if half else np.float32
        every: dict[str, tuple[int, type[np.generic]]] = {
            "label": (0, np.int32),
            "confidence": (0, np.float32),
            "logits": (classes, np.float32),
            "probabilities": (classes, np.float32),
            "binary": (0, np.float32),
            "features": (dimension, floats),
        }
        self.columns = {name: kind for name, kind in every.items() if name in wanted or name in ("label", "confidence")}

    @torch.inference_mode()
    def __call__(self, block: Block) -> Values:
        """Arrays by name, a row a voxel."""
        logits, probability, label = answers(block, self.vectors, self.members, self.question, self.ignored)
        confidence = probability.gather(1, label.unsqueeze(1)).squeeze(1)
        found = {"label": label, "confidence": confidence, "logits": logits, "probabilities": probability}
        found |= {"features": block.adapted, "binary": block.binary}
        return {name: found[name].cpu().numpy() for name in self.columns}


def answers(
    block: Block, vectors: Tensor, members: Tensor, question: Question, ignored: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Masked, uncalibrated logits [n, C], probabilities [n, C] and labels int64 [n] of a block.

    Probabilities are calibrated, or else a softmax over the logits. Labels are their greatest; without calibration that
    is taken of the logits themselves, whose differences a softmax may round away.
    """
    scores = linear(block.adapted, vectors)
    if len(question.prompts) > len(question.names):
        index = members.expand(len(scores), -1)
        best = scores.new_full((len(scores), len(question.names)), -torch.inf)
        scores = best.scatter_reduce(1, index, scores, "amax")
    logits = scores.index_fill(1, ignored, IGNORED_LOGIT)
    if not question.calibrated:
        return logits, logits.softmax(1), logits.argmax(1)
    assert block.binary is not None
    roles = question.partition
    probability = calibrate(logits, block.binary, roles.base_idx, roles.novel_idx)
    return logits, probability, probability.argmax(1)
