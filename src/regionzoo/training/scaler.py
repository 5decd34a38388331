"""Loss scaling for half precision, restarted every epoch like the original's."""

from __future__ import annotations

import torch
from torch import Tensor


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

    def unscale(self, gradient: Tensor) -> bool:
        """Divide the gradient by the scale; False (and a smaller scale) if any number in it is not finite."""
        if not self.enabled:
            return True
        gradient.mul_(1 / self.scale)
        if not bool(torch.isfinite(gradient).all()):
            self.scale *= self.BACKOFF
            self._good = 0
            return False
        self._good += 1
        if self._good == self.INTERVAL:
            self.scale *= self.GROWTH
            self._good = 0
        return True
