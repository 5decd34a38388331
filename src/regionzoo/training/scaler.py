"""Loss scaling for half precision, restarted every epoch like the original's."""

from __future__ import annotations

import torch
from torch import Tensor


class LossScaler:
    """Multiply the loss by a power of two, divide the gradients again, tell which steps overflowed.

    The factors are GradScaler's defaults. It is written out because a skipped step must also skip the weight decay
    that the one-cycle recipe applies before Adam, and because gradients are summed over processes first. All of its
    state is on the device, so that nobody waits for it.

    scale: float32 []. skipped: float32 [], overflowed steps since the last restart.
    """

    GROWTH, BACKOFF, INTERVAL, START = 2.0, 0.5, 2000, 65536.0

    def __init__(self, enabled: bool, device: torch.device | str = "cpu") -> None:
        self.enabled, self.device = enabled, torch.device(device)
        self.restart()

    def restart(self) -> None:
        """Back to the first scale (start of an epoch)."""
        self.scale = torch.tensor(self.START if self.enabled else 1.0, device=self.device)
        self.skipped = torch.zeros((), device=self.device)
        self._good = torch.zeros((), dtype=torch.int32, device=self.device)

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss to call backward on."""
        return loss * self.scale if self.enabled else loss

    def unscale(self, gradient: Tensor) -> Tensor | None:
        """Divide the gradient by the scale. float32 []: 1 if any number in it is not finite, then the scale shrinks.

        None where nothing is scaled.
        """
        if not self.enabled:
            return None
        overflow = torch.zeros((), device=self.device)
        torch._amp_foreach_non_finite_check_and_unscale_([gradient], overflow, self.scale.reciprocal())
        torch._amp_update_scale_(self.scale, self._good, overflow, self.GROWTH, self.BACKOFF, self.INTERVAL)
        self.skipped += overflow
        return overflow
