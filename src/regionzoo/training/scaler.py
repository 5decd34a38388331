"""Loss scaling for half precision, restarted every epoch like the original's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LossScaler:
    """Multiply the loss by a power of two, divide the gradients again, skip steps that overflowed.

    The factors are GradScaler's defaults. It is written out because a skipped step must also skip the weight decay
    that the one-cycle recipe applies before Adam, and because gradients are summed over processes first.
    """

    GROWTH, BACKOFF, INTERVAL, START = 2.0, 0.5, 2000, 65536.0

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.restart()

    def restart(self) -> None:
        """Back to the first scale (start of an epoch)."""
        self.scale = self.START if self.enabled else 1.0
        self._good = 0

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss to call backward on."""
        return loss * self.scale if self.enabled else loss

    def unscale(self, parameters: Sequence[nn.Parameter]) -> bool:
        """Divide the gradients by the scale; False (and a smaller scale) if any is not finite."""
        if not self.enabled:
            return True
        grads = [p.grad for p in parameters if p.grad is not None]
        torch._foreach_mul_(grads, 1 / self.scale)
        norms = torch.stack(torch._foreach_norm(grads))
        if not bool(torch.isfinite(norms).all()):
            self.scale *= self.BACKOFF
            self._good = 0
            return False
        self._good += 1
        if self._good == self.INTERVAL:
            self.scale *= self.GROWTH
            self._good = 0
        return True
