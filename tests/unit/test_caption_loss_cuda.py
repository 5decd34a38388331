"""The losses of a GPU against their formulas in float64, and that they neither wait nor vary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from caption_cases import caption_case, fused_and_exact, relative

from regionzoo.models.batch import with_tensors
from regionzoo.models.caption_head import CaptionHead
from regionzoo.models.settings import CaptionSettings
from regionzoo.models.triton_use import has_triton

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
# (voxels, points, dimension, captions): narrow and wide rows, one voxel, uncovered voxels, repeated incidences.
SIZES = ((60, 200, 12, 5), (1, 40, 512, 1), (700, 300, 384, 600), (40, 9000, 48, 1100))


@needs_gpu
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pool", ["score", "feat"])
@pytest.mark.parametrize("novel", [False, True])
def test_float32_is_the_formula_to_a_hundred_thousandth(size, pool, novel):
    ours, exact = fused_and_exact(size, torch.float32, pool, novel, "cuda")
    for mine, theirs in zip(ours, exact, strict=True):
        if float(theirs.norm()) < 1e-9:  # one caption alone: nothing to tell apart
            assert float(mine.detach().float().norm()) < 1e-3
        else:
            assert relative(mine, theirs) < 1e-5


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pool", ["score", "feat"])
@pytest.mark.parametrize("size", SIZES[:1] + SIZES[2:])
def test_half_precision_features_cost_no_more_than_their_rounding(size, dtype, pool):
    ours, exact = fused_and_exact(size, dtype, pool, True, "cuda")
    assert ours[0].dtype == torch.float32 and ours[1].dtype == dtype
    bound = 1e-4 if dtype == torch.float16 and pool == "score" else 1e-5
    assert relative(ours[0], exact[0]) < bound and relative(ours[2], exact[2]) < 10 * bound
    assert relative(ours[1], exact[1]) < torch.finfo(dtype).eps


@needs_gpu
@pytest.mark.parametrize("pool", ["score", "feat"])
def test_two_runs_give_the_same_bits_and_nothing_is_waited_for(pool):
    voxels, points, dim, unique = 700, 5000, 64, 40
    feats, v2p, binary, captions = caption_case(5, voxels, points, dim, unique)
    head = CaptionHead(CaptionSettings(1.0, pool, True, True)).cuda()
    used, v2p, binary, moved = (
        feats.detach().cuda().requires_grad_(),
        v2p.cuda(),
        binary.cuda(),
        with_tensors(captions, torch.Tensor.cuda),
    )
    found = []
    for run in range(3):
        # The first run compiles the kernels.
        torch.cuda.set_sync_debug_mode("error" if run else "default")
        try:
            loss = head(used, v2p, moved, binary)
            found.append((loss.detach(), *torch.autograd.grad(loss, (used, head.caption_logit_scale))))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for again in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], again, strict=True))


@pytest.mark.skipif(not has_triton() or torch.cuda.is_available(), reason="needs Triton; a GPU runs the kernels itself")
def test_kernels_are_right_in_triton_s_interpreter() -> None:
    script = Path(__file__).with_name("interpreted_losses.py")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True, text=True, timeout=200, env={**os.environ, "TRITON_INTERPRET": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    errors = json.loads(done.stdout)
    assert len(errors) == 6
    for name, (loss, gradient, *scale) in errors.items():
        rounded = "float16" in name
        assert max([loss, *scale]) < (2e-4 if rounded else 1e-5) and gradient < (1e-3 if rounded else 1e-5), name
