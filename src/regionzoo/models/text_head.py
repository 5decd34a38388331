"""Text head: class scores are products with frozen text vectors; calibration with the base-or-novel logit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regionzoo.models.counting import tally
from regionzoo.models.settings import Partition

IGNORED_LOGIT = -1e6


class TextSegHead(nn.Module):
    """Scores against the class matrix; ``cls_head.weight`` [classes, D] is in the ``state_dict`` but never trained."""

    def __init__(self, class_embeddings: Tensor, partition: Partition) -> None:
        super().__init__()
        classes, dim = class_embeddings.shape
        if classes != partition.num_classes:
            raise ValueError(f"{classes} class embeddings for a partition of {partition.num_classes} classes")
        self.cls_head = nn.Linear(dim, classes, bias=False)
        self.cls_head.weight.requires_grad_(False)
        with torch.no_grad():
            self.cls_head.weight.copy_(class_embeddings)
        self.partition = partition
        columns, ignored = partition.train_columns, partition.ignore_idx
        self.register_buffer("_columns", torch.tensor(columns, dtype=torch.int64), persistent=False)
        self.register_buffer("_ignored", torch.tensor(ignored, dtype=torch.int64), persistent=False)

    def train_logits(self, feats: Tensor) -> Tensor:
        """Adapter features [V, D] (not normalised) -> logits [V, training columns]."""
        return nn.functional.linear(feats, self.cls_head.weight.index_select(0, self._columns))

    def forward(self, feats: Tensor) -> Tensor:
        """Adapter features [V, D] -> logits [V, classes], -1e6 on ignored classes."""
        return self.cls_head(feats).index_fill(1, self._ignored, IGNORED_LOGIT)


def segmentation_loss(voxel_logits: Tensor, v2p: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy, mean over the labelled points; 0 where there is none (the original gets NaN).

    voxel_logits: [V, columns]; v2p: int64 [N]; labels: int64 [N], negative ones ignored; ``ValueError`` for one that
    names no column (on a CPU; a GPU would have to wait for its own answer). Computed per voxel with the number of its
    points of each label: the same mean as over points, and the same sum in every run.
    """
    voxels, columns = voxel_logits.shape
    if not labels.is_cuda and len(labels) and int(labels.max()) >= columns:
        raise ValueError(f"training label {int(labels.max())} for {columns} training columns")
    cell = v2p * columns + labels.clamp(min=0)
    log_p = voxel_logits.float().log_softmax(1)
    counts = tally(cell, labels >= 0, voxels * columns).view(voxels, columns)
    return -(counts * log_p).sum() / counts.sum().clamp(min=1)


def calibrate(logits: Tensor, binary_logit: Tensor, base: tuple[int, ...], novel: tuple[int, ...]) -> Tensor:
    """Class probabilities [N, classes] from logits [N, classes] and the base logit [N].

    Softmax over the base classes times sigmoid(b), softmax over the novel ones times 1 - sigmoid(b), ignored classes
    0; rows are then divided by their sum, which is 1 already unless one of the two sets is empty.
    """
    probabilities = torch.zeros_like(logits)
    # sigmoid(-b), not 1 - sigmoid(b): exact where the head is sure of "base".
    for indices, share in ((base, binary_logit.sigmoid()), (novel, (-binary_logit).sigmoid())):
        if indices:
            columns = torch.tensor(indices, device=logits.device)
            within = logits.index_select(1, columns).softmax(1)
            probabilities.index_copy_(1, columns, within * share.unsqueeze(1))
    return probabilities / probabilities.sum(1, keepdim=True).clamp(min=torch.finfo(logits.dtype).tiny)
