"""How similar every point is to a text: heat maps, what ``regionzoo query`` does."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import linear, normalize

from regionzoo import __version__
from regionzoo.apply.clouds import Cloud
from regionzoo.apply.colors import NOTHING, faded, heat_colors
from regionzoo.apply.grid import Voxels
from regionzoo.apply.npz import Streamed, write_npz
from regionzoo.apply.picture import draw_legend, sample
from regionzoo.apply.ply import write_ply
from regionzoo.apply.question import encode, spelled
from regionzoo.apply.rows import require_room, scratch
from regionzoo.apply.run import Runtime, each_scan, prepared, voxel_size
from regionzoo.apply.score import Block, Scored, Values, run_network
from regionzoo.apply.weights import Weights
from regionzoo.artifacts import write_json
from regionzoo.errors import UserError
from regionzoo.report.picture_page import Entry

ENDINGS = (".ply", ".npz")
SHOWN = (0.01, 0.995)
"""Shares of the points between whose similarities the colours run: a few extreme points do not flatten the map."""
STEPS = 6
BLOCK = 1 << 20


@dataclass(frozen=True)
class Search:
    """texts: what is looked for. template: see :func:`regionzoo.apply.question.spelled`; None: the texts as they are.

    encoder: None for the row's. top: share of the points that count as found, None for a map of all points.
    """

    texts: tuple[str, ...]
    template: str | None = None
    encoder: str | None = None
    top: float | None = None


@dataclass(frozen=True)
class Heat:
    """One text's map: colours run from ``low`` to ``high``; points below ``least`` are not found (-inf: all are)."""

    text: str
    low: float
    high: float
    least: float


def query(weights: Weights, search: Search, source: Path, outputs: tuple[Path, ...], runtime: Runtime) -> None:
    """Write the similarity of every point with the texts: a coloured PLY a text, and all values as npz.

    Similarity is the cosine between a point's adapter feature and the text's vector, 0 for points whose feature is 0.
    Raises :class:`UserError` of one line.
    """
    if not search.texts or not all(text.strip() for text in search.texts):
        raise UserError('query: an empty text; say what to look for, such as "something to sit on"')
    if search.top is not None and not 0 < search.top <= 1:
        raise UserError(f"--top {search.top:g}: expected a share of the points, such as 0.05")
    prompts = [spelled(text, search.template) if search.template else text for text in search.texts]
    spec = search.encoder or weights.encoder
    vectors = torch.from_numpy(encode(prompts, spec, weights))
    device = prepared(runtime)
    vectors = vectors.to(device)
    network = weights.network(runtime.engine).to(device)
    facts = {
        "regionzoo": __version__,
        "row": weights.row,
        "weights": weights.file.name,
        "weights_sha256": weights.sha256,
        "prompts": prompts,
        "text_encoder": spec,
        "voxel_size": voxel_size(weights),
    }

    @torch.inference_mode()
    def similarity(block: Block) -> Values:
        return {"similarity": linear(normalize(block.adapted, dim=1), vectors).cpu().numpy()}

    def work(cloud: Cloud, voxels: Voxels, paths: tuple[Path, ...]) -> str:
        columns = {"similarity": (len(prompts), np.float32)}
        require_room(paths[0].parent, 4 * len(prompts) * (len(voxels) + len(cloud)))
        with scratch(paths[0]) as folder:
            parts, title = runtime.parts(voxels, weights), f"query {cloud.name}"
            scored = run_network(network, voxels, parts, columns, similarity, folder, title, device)
            heats = [_heat(scored, k, text, len(cloud), search.top) for k, text in enumerate(search.texts)]
            for path in paths:
                if path.suffix == ".npz":
                    _write_npz(path, cloud, scored, heats, search, facts)
                else:
                    for k, (heat, own) in enumerate(zip(heats, _paths(path, search.texts), strict=True)):
                        _write_ply(own, cloud, scored, k, heat, search, facts)
        return "; ".join(f"{heat.text!r}: {heat.low:.3f} to {heat.high:.3f}" for heat in heats)

    each_scan(source, outputs, ENDINGS, voxel_size(weights), work)


def _paths(path: Path, texts: Sequence[str]) -> list[Path]:
    """One file a text: the path itself for a single one, else with the text in its name."""
    if len(texts) == 1:
        return [path]
    slugs = [re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "text" for text in texts]
    numbered = len(set(slugs)) < len(slugs)
    return [path.with_name(f"{path.stem}.{slug}{k if numbered else ''}{path.suffix}") for k, slug in enumerate(slugs)]


def _values(scored: Scored, start: int, stop: int) -> np.ndarray:
    return scored.of_points("similarity", start, stop, np.nan)


def _column(scored: Scored, k: int, count: int) -> np.ndarray:
    """float32 [N]: similarity of all points with one text."""
    return np.concatenate([_values(scored, a, min(a + BLOCK, count))[:, k] for a in range(0, count, BLOCK)])


def _heat(scored: Scored, k: int, text: str, count: int, top: float | None) -> Heat:
    values = _column(scored, k, count)
    values = values[np.isfinite(values)]
    low, high = (float(value) for value in np.quantile(values, SHOWN))
    least = -np.inf if top is None else float(np.quantile(values, 1 - top))
    return Heat(text, low, high, least)


def _write_npz(
    path: Path, cloud: Cloud, scored: Scored, heats: list[Heat], search: Search, facts: dict[str, Any]
) -> None:
    shape = (len(cloud), len(heats))
    least = np.array([heat.least for heat in heats], np.float32)

    arrays: dict[str, np.ndarray | Streamed] = {
        "similarity": Streamed(shape, np.dtype(np.float32), lambda a, b: _values(scored, a, b)),
        "texts": np.array(search.texts),
        "made_with": np.array(json.dumps(facts, sort_keys=True)),
    }
    if search.top is not None:
        arrays["found"] = Streamed(shape, np.dtype(bool), lambda a, b: _values(scored, a, b) >= least)
    write_npz(path, arrays)


def _write_ply(
    path: Path, cloud: Cloud, scored: Scored, k: int, heat: Heat, search: Search, facts: dict[str, Any]
) -> None:
    def shown(values: np.ndarray, colors: np.ndarray) -> np.ndarray:
        made = heat_colors(values, heat.low, heat.high)
        # NaN is neither found nor not found, and keeps its colour.
        behind = values < heat.least
        made[behind] = faded(colors[behind])
        return made

    legend = path.with_name(f"{path.stem}.legend.json")
    steps = np.linspace(heat.low, heat.high, STEPS)
    ramp = heat_colors(steps, heat.low, heat.high)
    scale = [{"similarity": float(s), "color": c.tolist()} for s, c in zip(steps, ramp, strict=True)]
    content: dict[str, Any] = {"text": heat.text, "colors": scale, "unlabelled": list(NOTHING), "made_with": facts}
    if search.top is not None:
        content |= {"top": search.top, "found_from": heat.least}
    write_json(legend, content)
    part = sample(len(cloud))
    values = _column(scored, k, len(cloud))[part]
    seen = np.isfinite(cloud.coords[part]).all(axis=1)
    values, colors = values[seen], cloud.colors[part][seen]
    best = values >= np.quantile(values, 0.9)
    draw_legend(
        legend.with_suffix(".png"),
        cloud.coords[part][seen],
        colors,
        shown(values, colors),
        np.where(best, 0, -1),
        np.zeros(len(values), bool),
        [Entry(f"{s:.3f}", tuple(c.tolist())) for s, c in zip(steps, ramp, strict=True)],
        heat.text,
        "Cosine of each point's feature with the text. Only differences within a picture mean something.",
    )
    write_ply(
        path,
        cloud,
        lambda a, b: shown(_values(scored, a, b)[:, k], cloud.colors[a:b]),
        {"similarity": ("f4", lambda a, b: _values(scored, a, b)[:, k])},
        f"scale: {legend.name}",
    )
