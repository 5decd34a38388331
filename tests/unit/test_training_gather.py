"""Captions of all shards: against sets in plain Python, and in two processes on what could be two machines."""

from __future__ import annotations

import multiprocessing
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gather_process import CASES, take_part, text_vectors
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from model_cases import random_batch, unit_rows
from tiny_drives import make_tiny_drives
from tiny_rooms import TinyRow
from tiny_training import same, trainer, with_recipe

from regionzoo.models.batch import Batch, CaptionBatch
from regionzoo.models.caption_head import CaptionHead
from regionzoo.models.settings import CaptionSettings
from regionzoo.text.table import TextTable
from regionzoo.training.distributed import World
from regionzoo.training.gather import with_captions_of_all

ALONE = World(0, 1, torch.device("cpu"))
TABLE = TextTable(tuple(f"{k:02}" for k in range(40)), unit_rows(40, 24, torch.Generator().manual_seed(0)).numpy())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRow:
    made = make_tiny_drives(tmp_path_factory.mktemp("gather"), train=3, val=0, keyframes=2)
    return with_recipe(made, shards=2, scenes_per_shard=1)


def shard_of(texts: list[int], seed: int) -> tuple[Batch, np.ndarray]:
    """A batch whose regions have these texts, and the rows of its text vectors."""
    rng = np.random.default_rng(seed)
    rows, targets = np.unique(np.array(texts, np.int64), return_inverse=True)
    sizes = rng.integers(1, 20, len(texts))
    captions = CaptionBatch(
        offsets=torch.from_numpy(np.cumsum([0, *sizes])),
        point_ids=torch.from_numpy(rng.integers(0, 200, int(sizes.sum()))),
        targets=torch.from_numpy(targets),
        text_vectors=torch.from_numpy(TABLE.vectors[rows]),
    )
    return replace(random_batch(seed, points=200), captions=captions), rows


@hypothesis_settings(max_examples=30, deadline=None)
@given(shards=st.lists(st.lists(st.integers(0, 39), max_size=8), min_size=1, max_size=5))
def test_every_shard_sees_the_captions_of_all(shards: list[list[int]]) -> None:
    batches, rows = zip(*(shard_of(texts, seed) for seed, texts in enumerate(shards)), strict=True)
    joined = with_captions_of_all(batches, rows, TABLE, ALONE)
    union = sorted({text for texts in shards for text in texts})
    for texts, before, after in zip(shards, batches, joined, strict=True):
        assert after.captions.text_vectors.tolist() == [TABLE.vectors[row].tolist() for row in union]
        assert [union[target] for target in after.captions.targets] == texts
        assert torch.equal(after.captions.point_ids, before.captions.point_ids)
        assert after.voxel_feats is before.voxel_feats


def test_the_loss_contrasts_with_every_gathered_caption() -> None:
    batches, rows = zip(shard_of([3, 9, 3], 0), shard_of([12], 1), shard_of([], 2), strict=True)
    joined = with_captions_of_all(batches, rows, TABLE, ALONE)
    head = CaptionHead(CaptionSettings(1.0))
    for own, batch, texts in zip(batches, joined, ([3, 9, 3], [12], []), strict=True):
        feats = torch.randn(len(batch.voxel_feats), 24, generator=torch.Generator().manual_seed(5))
        terms, alone = [], head(feats, own.v2p, own.captions, None)
        for k, text in enumerate(texts):
            start, stop = batch.captions.offsets[k : k + 2].tolist()
            for point in batch.captions.point_ids[start:stop]:
                unit = F.normalize(feats[batch.v2p[point]], dim=0)
                scores = torch.stack([unit @ torch.from_numpy(TABLE.vectors[row]) / 0.07 for row in (3, 9, 12)])
                terms.append(scores.logsumexp(0) - scores[[3, 9, 12].index(text)])
        loss = head(feats, batch.v2p, batch.captions, None)
        if texts:
            torch.testing.assert_close(loss, torch.stack(terms).mean(), rtol=1e-4, atol=1e-5)
            assert float(loss) > float(alone)
        else:
            assert float(loss) == 0


def test_two_processes_gather_and_update_as_one_does(tiny: TinyRow, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=take_part, args=(rank, port, tiny, tmp_path)) for rank in (0, 1)]
    for process in both:
        process.start()
    alone = trainer(tiny, tmp_path / "alone.safetensors", 1)
    vectors = text_vectors(alone)
    alone.run()
    for process in both:
        process.join(timeout=120)
        assert process.exitcode == 0
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    expected = [sorted(set(a) | set(b)) for a, b in CASES]
    assert first["unions"] == second["unions"] == expected
    # Shard 0 is the first process', shard 1 the second's: the same vectors, the same targets, and so the same update.
    for mine, theirs in zip(vectors, [*first["vectors"], *second["vectors"]], strict=True):
        assert torch.equal(mine, theirs)
    # Two numbers have one sum in whatever order, so even the bits agree. Running statistics are kept by the first.
    assert same(first["weights"], dict(alone.network.state_dict()))
    for name, _ in alone.network.named_parameters():
        assert torch.equal(first["weights"][name], second["weights"][name]), name


def test_without_gathering_a_shard_is_contrasted_with_its_own(tiny: TinyRow, tmp_path: Path) -> None:
    own = tiny.settings.caption.model_copy(update={"gather": False})
    apart = replace(tiny, settings=tiny.settings.model_copy(update={"caption": own}))
    runs = [trainer(row, tmp_path / f"{k}.safetensors", 1) for k, row in enumerate((tiny, apart))]
    wide, narrow = (text_vectors(run) for run in runs)
    assert all(len(a) > len(b) for a, b in zip(wide[::2], narrow[::2], strict=True))
    assert torch.equal(wide[1], narrow[1]) and torch.equal(wide[3], narrow[3])
    progress = [run.run() for run in runs]
    assert progress[0].history[0]["caption"] > progress[1].history[0]["caption"]
    assert not same(*(dict(run.network.state_dict()) for run in runs))
