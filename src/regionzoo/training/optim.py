"""The three optimiser and schedule recipes of the rows, with the state that resuming needs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from regionzoo.settings.train import Recipe


def leaf_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Trainable parameters of modules without children, as the one-cycle recipe collects them.

    A parameter owned by a module that has children is missed: that is why the caption logit scale never moves in the
    rows with this recipe (reference: model section 7.2).
    """
    return [p for m in network.modules() if not list(m.children()) for p in m.parameters() if p.requires_grad]


@dataclass(frozen=True)
class Rates:
    """Learning rate and first Adam coefficient of a step."""

    lr: float
    beta1: float


def cosine(start: float, end: float, share: float) -> float:
    """From ``start`` at share 0 to ``end`` at share 1."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def rates(recipe: Recipe, lr: float, step: int, epoch: int, total: int) -> Rates:
    """Rates of optimiser step ``step`` (0-based) in ``epoch`` (0-based) for a schedule of T = ``total`` steps.

    lr: highest learning rate. T counts the batches including the one an epoch that is left out, so schedules stop
    slightly before their end (reference: training section 5).
    """
    if recipe.schedule == "adam_onecycle":
        low = lr / recipe.div_factor
        rise = int(recipe.pct_start * total)
        high_mom, low_mom = recipe.moms
        if step < rise:
            share = step / rise
            return Rates(cosine(low, lr, share), cosine(high_mom, low_mom, share))
        share = (step - rise) / (total - rise)
        return Rates(cosine(lr, low / 1e4, share), cosine(low_mom, high_mom, share))
    if recipe.schedule == "cos_after_step":
        if epoch < recipe.step_epoch:
            return Rates(lr, 0.9)
        share = (epoch - recipe.step_epoch) / (recipe.epochs - recipe.step_epoch)
        return Rates(cosine(lr, 1e-6, share), 0.9)
    return Rates(lr * (1 - step / (total + 1)) ** recipe.power, 0.9)


class Optimizer:
    """Adam with decoupled decay before the step (``adam_onecycle``) or PyTorch's AdamW (``adamw``).

    ``named``: the parameters it moves. ``gradient``: float32 [their total size]; every ``.grad`` is a view of it, so
    that all gradients are cleared, summed over processes and unscaled in one operation each.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, lr: float) -> None:
        self.recipe = recipe
        names = {id(p): name for name, p in network.named_parameters()}
        one_cycle = recipe.optimizer == "adam_onecycle"
        chosen = leaf_parameters(network) if one_cycle else [p for p in network.parameters() if p.requires_grad]
        self.named = {names[id(p)]: p for p in chosen}
        params = list(self.named.values())
        self.gradient = torch.zeros(sum(p.numel() for p in params), device=params[0].device)
        pieces = self.gradient.split([p.numel() for p in params])
        self._views = [piece.view_as(parameter) for parameter, piece in zip(params, pieces, strict=True)]
        self._attach()
        # One pass over the memory instead of ten.
        if one_cycle:
            self.adam: torch.optim.Adam | torch.optim.AdamW = torch.optim.Adam(
                params, lr=lr, betas=(recipe.moms[0], 0.99), eps=1e-8, weight_decay=0.0, fused=True
            )
        else:
            self.adam = torch.optim.AdamW(
                params, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=recipe.weight_decay, fused=True
            )

    def _attach(self) -> None:
        for parameter, view in zip(self.named.values(), self._views, strict=True):
            parameter.grad = view

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Within the block, backward passes leave each parameter a gradient of its own; ``gradient`` gets them after.

        For one backward pass on a GPU: the sum is the same, in a few launches instead of one for each parameter.
        """
        for parameter in self.named.values():
            parameter.grad = None
        try:
            yield
            grads = [parameter.grad for parameter in self.named.values()]
            found = [(view, grad) for view, grad in zip(self._views, grads, strict=True) if grad is not None]
            if found:
                torch._foreach_add_([view for view, _ in found], [grad for _, grad in found])
        finally:
            self._attach()

    def set_rates(self, now: Rates) -> None:
        """Rates of the coming step."""
        group = self.adam.param_groups[0]
        group["lr"] = now.lr
        group["betas"] = (now.beta1, group["betas"][1])

    @torch.no_grad()
    def step(self, overflow: torch.Tensor | None = None) -> None:
        """One update. The one-cycle recipe decays every parameter, BatchNorm's too, by 1 - wd * lr before Adam.

        overflow: float32 []; where it is 1, nothing changes (:meth:`regionzoo.training.scaler.LossScaler.unscale`).
        """
        if self.recipe.optimizer == "adam_onecycle" and self.recipe.weight_decay:
            group = self.adam.param_groups[0]
            decayed = [p for p in group["params"] if p.grad is not None]
            decay = self.recipe.weight_decay * group["lr"]
            torch._foreach_mul_(decayed, 1 - decay if overflow is None else 1 - decay * (1 - overflow))
        # The fused kernels read it beside the gradients and leave everything as it is; GradScaler uses the same door.
        self.adam.found_inf = overflow
        self.adam.step()

    def state_tensors(self) -> dict[str, torch.Tensor]:
        """Moments by parameter name, for the resume state."""
        tensors = {}
        for name, parameter in self.named.items():
            state = self.adam.state.get(parameter)
            if state:
                tensors[f"{name}#exp_avg"] = state["exp_avg"]
                tensors[f"{name}#exp_avg_sq"] = state["exp_avg_sq"]
                tensors[f"{name}#step"] = state["step"].reshape(1)
        return tensors

    def load_state_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Inverse of :meth:`state_tensors`."""
        for name, parameter in self.named.items():
            if f"{name}#step" in tensors:
                self.adam.state[parameter] = {
                    "step": tensors[f"{name}#step"].reshape(()).to(parameter.device).clone(),
                    "exp_avg": tensors[f"{name}#exp_avg"].to(parameter.device).clone(),
                    "exp_avg_sq": tensors[f"{name}#exp_avg_sq"].to(parameter.device).clone(),
                }
