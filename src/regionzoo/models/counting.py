"""Counting that waits for no device: ``bincount`` and boolean masks make a GPU report how large their result is."""

from __future__ import annotations

import torch
from torch import Tensor


def tally(places: Tensor, counted: Tensor, size: int) -> Tensor:
    """float32 [size]: how many of the ``counted`` entries fall on each place.

    places: int64 [n], 0..size-1, also where nothing is counted. counted: bool [n]. Whole numbers below 2^24 have one
    sum in whatever order they are added, so the result is exact and the same in every run, on a GPU too.
    """
    return torch.zeros(size, device=places.device).index_add_(0, places, counted.float())
