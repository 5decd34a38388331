"""Optimisers and schedules against the formulas of the recipes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from regionzoo.settings.train import Recipe
from regionzoo.training.optim import Optimizer, leaf_parameters, rates
from regionzoo.training.scaler import LossScaler

ONE_CYCLE = Recipe(
    optimizer="adam_onecycle", schedule="adam_onecycle", weight_decay=1e-2, epochs=10, pct_start=0.39,
    div_factor=1.0, shards=1, scenes_per_shard=1, repeat=1, voxel_size=0.02, max_points=10, amp=True,
)  # fmt: skip
ADAMW = ONE_CYCLE.model_copy(update={"optimizer": "adamw", "schedule": "poly"})
LR = 0.004


class Net(nn.Module):
    """A parameter of its own beside children: what the one-cycle recipe misses."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) * self.scale


def test_one_cycle_rates() -> None:
    total, recipe = 1000, ONE_CYCLE.model_copy(update={"div_factor": 2.0})
    assert rates(recipe, LR, 0, 0, total).lr == pytest.approx(0.002)
    assert rates(recipe, LR, 390, 0, total).lr == pytest.approx(0.004)
    assert rates(recipe, LR, 195, 0, total).lr == pytest.approx(0.003)
    assert rates(recipe, LR, 1000, 0, total).lr == pytest.approx(0.002 / 1e4)
    assert rates(recipe, LR, 0, 0, total).beta1 == pytest.approx(0.95)
    assert rates(recipe, LR, 390, 0, total).beta1 == pytest.approx(0.85)
    share = (700 - 390) / 610
    expected = 0.002 / 1e4 + (0.004 - 0.002 / 1e4) / 2 * (1 + math.cos(math.pi * share))
    assert rates(recipe, LR, 700, 0, total).lr == pytest.approx(expected)


def test_first_phase_is_flat_with_div_factor_one() -> None:
    assert {rates(ONE_CYCLE, LR, step, 0, 1000).lr for step in range(390)} == {0.004}


def test_cos_after_step_and_poly() -> None:
    recipe = ONE_CYCLE.model_copy(
        update={"optimizer": "adamw", "schedule": "cos_after_step", "step_epoch": 50, "epochs": 128}
    )
    assert rates(recipe, LR, 7, 49, 0).lr == 0.004
    assert rates(recipe, LR, 7, 50, 0).lr == 0.004
    assert rates(recipe, LR, 7, 89, 0).lr == pytest.approx(1e-6 + 0.5 * (0.004 - 1e-6))
    poly = recipe.model_copy(update={"schedule": "poly"})
    assert rates(poly, LR, 440, 0, 43999).lr == pytest.approx(0.004 * (1 - 440 / 44000) ** 0.9)


def test_leaf_collection_misses_what_the_original_misses() -> None:
    net = Net()
    assert all(p is not net.scale for p in leaf_parameters(net))
    assert len(leaf_parameters(net)) == 6
    assert "scale" not in Optimizer(net, ONE_CYCLE, LR).named
    adamw = ONE_CYCLE.model_copy(update={"optimizer": "adamw", "schedule": "poly"})
    assert "scale" in Optimizer(net, adamw, LR).named


def test_one_cycle_step_is_decay_then_adam() -> None:
    torch.manual_seed(0)
    net = Net()
    optimizer = Optimizer(net, ONE_CYCLE, LR)
    values = {name: p.detach().double().numpy().copy() for name, p in optimizer.named.items()}
    first = {name: np.zeros_like(value) for name, value in values.items()}
    second = {name: np.zeros_like(value) for name, value in values.items()}
    x = torch.randn(8, 3)
    for step in range(1, 5):
        optimizer.gradient.zero_()
        net(x).square().mean().backward()
        now = rates(ONE_CYCLE, LR, step * 100, 0, 1000)
        optimizer.set_rates(now)
        for name, p in optimizer.named.items():
            grad = p.grad.double().numpy()
            first[name] = now.beta1 * first[name] + (1 - now.beta1) * grad
            second[name] = 0.99 * second[name] + 0.01 * grad**2
            decayed = values[name] * (1 - 1e-2 * now.lr)
            mean, spread = first[name] / (1 - now.beta1**step), np.sqrt(second[name] / (1 - 0.99**step))
            values[name] = decayed - now.lr * mean / (spread + 1e-8)
        optimizer.step()
        for name, p in optimizer.named.items():
            np.testing.assert_allclose(p.detach().numpy(), values[name], rtol=2e-4, atol=2e-6, err_msg=f"{step} {name}")
    # BatchNorm is decayed too; the missed parameter never moves.
    assert net.scale.item() == 2.0


def test_every_gradient_is_a_view_of_one_vector() -> None:
    net = Net()
    optimizer = Optimizer(net, ONE_CYCLE, LR)
    net(torch.randn(8, 3)).sum().backward()
    whole = torch.cat([p.grad.reshape(-1) for p in optimizer.named.values()])
    assert torch.equal(whole, optimizer.gradient) and optimizer.gradient.abs().sum() > 0
    optimizer.gradient.zero_()
    assert all(not p.grad.any() for p in optimizer.named.values())


def test_gradients_of_their_own_are_added_to_the_same_vector() -> None:
    torch.manual_seed(0)
    net, inputs = Net(), torch.randn(2, 5, 3)
    net.body[0].bias.requires_grad_(False)
    optimizer = Optimizer(net, ADAMW, LR)
    views = [parameter.grad.data_ptr() for parameter in optimizer.named.values()]
    expected = None
    for apart in (False, True):
        optimizer.gradient.zero_()
        for batch in inputs:
            if apart:
                with optimizer.apart():
                    net.body(batch).square().sum().backward()  # not the scale, which has no gradient then
            else:
                net.body(batch).square().sum().backward()
        expected = optimizer.gradient.clone() if expected is None else expected
    assert expected.abs().sum() > 0
    assert torch.equal(optimizer.gradient, expected)
    assert [parameter.grad.data_ptr() for parameter in optimizer.named.values()] == views
    with pytest.raises(RuntimeError), optimizer.apart():
        raise RuntimeError
    assert [parameter.grad.data_ptr() for parameter in optimizer.named.values()] == views


def test_scaler_tells_of_overflow_and_restarts() -> None:
    gradient = torch.full((3,), 2 * 65536.0)
    scaler = LossScaler(True)
    assert scaler.scaled(torch.tensor(2.0)).item() == 2 * 65536.0
    assert scaler.unscale(gradient) == 0 and gradient.tolist() == [2.0, 2.0, 2.0]
    for value in (float("inf"), float("nan")):
        assert scaler.unscale(torch.tensor([1.0, value, 1.0])) == 1
    assert scaler.scale == 16384.0 and scaler.skipped == 2
    scaler.restart()
    assert scaler.scale == 65536.0 and scaler.skipped == 0
    for _ in range(LossScaler.INTERVAL - 1):
        scaler.unscale(gradient)
    assert scaler.scale == 65536.0
    scaler.unscale(gradient)
    assert scaler.scale == 131072.0 and scaler.skipped == 0
    off = LossScaler(False)
    assert off.unscale(torch.full((3,), float("nan"))) is None and off.scale == 1.0


@pytest.mark.parametrize("recipe", [ONE_CYCLE, ADAMW])
def test_an_overflowed_step_changes_nothing_and_a_sound_one_all(recipe: Recipe) -> None:
    nets = [Net() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    optimizers = [Optimizer(net, recipe, LR) for net in nets]
    for overflow in (0.0, 1.0, 0.0):
        for optimizer in optimizers:
            optimizer.gradient.copy_(torch.linspace(-1, 1, len(optimizer.gradient)))
        before = [p.detach().clone() for p in optimizers[0].named.values()]
        optimizers[0].step(torch.tensor(overflow))
        if not overflow:
            optimizers[1].step()
        unchanged = [torch.equal(a, b) for a, b in zip(before, optimizers[0].named.values(), strict=True)]
        assert all(unchanged) if overflow else not any(unchanged)
    # The skipped step is not counted in Adam's bias correction either.
    states = [optimizer.state_tensors() for optimizer in optimizers]
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        torch.testing.assert_close(states[0][name], states[1][name])
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(a, b)
