"""The whole network: sparse U-Net, adapter into the text space, and the heads that score it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from regionzoo.models.adapter import VLAdapter
from regionzoo.models.batch import Batch
from regionzoo.models.binary_head import BinaryHead, binary_loss
from regionzoo.models.blocks import Grid
from regionzoo.models.caption_head import CaptionHead
from regionzoo.models.distill_head import distill_loss
from regionzoo.models.grouping import group
from regionzoo.models.instance_head import InstanceHead
from regionzoo.models.instance_loss import InstanceLosses, instance_losses
from regionzoo.models.instance_types import InstanceSettings
from regionzoo.models.proposals import (
    InstanceOutput,
    evaluation_scores,
    instance_classes,
    instance_output,
    proposal_means,
    training_scores,
)
from regionzoo.models.settings import ModelSettings, Partition
from regionzoo.models.text_head import IGNORED_LOGIT, TextSegHead, calibrate, segmentation_loss
from regionzoo.models.unet import SparseUNet
from regionzoo.sparse.engine import EngineName, SparseEngine, make_engine
from regionzoo.sparse.pyramid import Pyramid


@dataclass(frozen=True)
class Losses:
    """Weighted scalar losses of one step; a part that the row does not have, or that has no valid element, is 0."""

    seg: Tensor
    binary: Tensor
    caption: Tensor
    distill: Tensor
    instance: InstanceLosses

    @property
    def total(self) -> Tensor:
        """Their unweighted sum."""
        return self.seg + self.binary + self.caption + self.distill + self.instance.total


@dataclass(frozen=True)
class Encoded:
    """Features of V voxels: the backbone's [V, c], the adapter's [V, D], and the base logit [V] or None."""

    backbone: Tensor
    adapted: Tensor
    binary: Tensor | None


@dataclass(frozen=True)
class StepOutput:
    """Result of a training step.

    losses: see :class:`Losses`. voxel_logits: [V, training columns], detached, or None without segmentation loss.
    voxel_binary: [V] binary logit, detached, or None without a binary head.
    """

    losses: Losses
    voxel_logits: Tensor | None
    voxel_binary: Tensor | None


@dataclass(frozen=True)
class Prediction:
    """Scores of V voxels and the voxel of each of N points.

    voxel_scores: float32 [V, classes], of all classes alike. voxel_binary: float32 [V] or None. v2p: int64 [N].
    """

    voxel_scores: Tensor
    voxel_binary: Tensor | None
    v2p: Tensor
    partition: Partition

    @property
    def voxel_logits(self) -> Tensor:
        """float32 [V, classes]: the scores with -1e6 on ignored classes, as the original stores them."""
        ignored = torch.tensor(self.partition.ignore_idx, dtype=torch.int64, device=self.voxel_scores.device)
        return self.voxel_scores.index_fill(1, ignored, IGNORED_LOGIT)

    @property
    def logits(self) -> Tensor:
        """float32 [N, classes]: uncalibrated scores of the points, -1e6 on ignored classes."""
        return self.voxel_logits.index_select(0, self.v2p)

    @property
    def binary_logit(self) -> Tensor | None:
        """float32 [N]: logit of "base" of the points; None without a binary head."""
        return None if self.voxel_binary is None else self.voxel_binary.index_select(0, self.v2p)

    def labels(self, calibrated: bool = True) -> Tensor:
        """int64 [N]: best class of each point, calibrated if there is a binary head and unless told not to."""
        scores = self.voxel_logits
        if calibrated and self.voxel_binary is not None:
            scores = calibrate(scores, self.voxel_binary, self.partition.base_idx, self.partition.novel_idx)
        return scores.argmax(1).index_select(0, self.v2p)


class RegionNet(nn.Module):
    """Open-vocabulary segmentation network with the original's ``state_dict`` keys and shapes.

    settings: sizes and parts. class_embeddings: float32 [classes, D], unit rows, frozen. partition: roles of the
    classes. engine: name or instance of the convolution engine. Parameters are drawn from torch's global generator;
    call ``torch.manual_seed`` before.
    """

    def __init__(
        self,
        settings: ModelSettings,
        class_embeddings: Tensor,
        partition: Partition,
        engine: EngineName | SparseEngine = "native",
    ) -> None:
        super().__init__()
        if class_embeddings.shape[1] != settings.embed_dim:
            raise ValueError(f"class embeddings of {class_embeddings.shape[1]} dimensions, not {settings.embed_dim}")
        self.settings = settings
        self.partition = partition
        self.engine = make_engine(engine) if isinstance(engine, str) else engine
        # Never counted up, but part of every checkpoint of the original.
        self.register_buffer("global_step", torch.zeros(1, dtype=torch.int64))
        self.backbone_3d = SparseUNet(settings.in_channels, settings.widths, settings.block_reps)
        self.adapter = VLAdapter(settings)
        self.binary_head = BinaryHead(settings) if settings.binary_head else None
        self.task_head = TextSegHead(class_embeddings, partition)
        self.caption_head = CaptionHead(settings.caption)
        head = InstanceHead(settings.widths[0], settings.block_reps) if settings.instances else None
        self.inst_head = head

    def prepared(self, batch: Batch) -> Batch:
        """The batch with its sites looked up, which a GPU can do while it still works on the batch before."""
        pyramid = self._pyramid(batch)
        self.engine.prepare(pyramid)
        return replace(batch, pyramid=pyramid)

    def _pyramid(self, batch: Batch) -> Pyramid:
        return Pyramid(batch.voxel_coords, batch.spatial_shape, len(self.settings.widths))

    def encode(self, batch: Batch) -> Encoded:
        """What the heads look at, for every voxel."""
        pyramid = batch.pyramid or self._pyramid(batch)
        grid = Grid(pyramid, self.engine)
        feats, encoded = self.backbone_3d(batch.voxel_feats, grid)
        binary = None if self.binary_head is None else self.binary_head(encoded, grid)
        return Encoded(feats, self.adapter(feats), binary)

    def forward(self, batch: Batch, refine: bool = True, generator: torch.Generator | None = None) -> StepOutput:
        """Losses of one training step; the segmentation loss is left out for ``eval_only_text`` or without labels.

        refine: whether the instance head makes and refines proposals (not during its warm-up); generator: its draws.
        """
        encoded = self.encode(batch)
        feats, binary = encoded.adapted, encoded.binary
        zero = feats.new_zeros((), dtype=torch.float32)
        seg = binary_term = distill = zero
        logits = None
        if not self.settings.eval_only_text and batch.labels is not None:
            logits = self.task_head.train_logits(feats)
            seg = segmentation_loss(logits, batch.label_voxels, batch.labels)
        if binary is not None and batch.binary_labels is not None:
            binary_term = binary_loss(binary, batch.label_voxels, batch.binary_labels)
        if self.settings.distill_weight:
            distill = self.settings.distill_weight * distill_loss(feats, batch.v2p, batch.features)
        caption = self.caption_head(feats, batch.v2p, batch.captions, batch.point_binary)
        instance = InstanceLosses(zero, zero, zero)
        if self.inst_head is not None and batch.instances is not None:
            assert logits is not None
            instance = self._instance_losses(encoded, logits, batch, refine, generator)
        return StepOutput(
            Losses(seg, binary_term, caption, distill, instance),
            None if logits is None else logits.detach(),
            None if binary is None else binary.detach(),
        )

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """Scores of every point in the module's current mode; switch to evaluation before."""
        encoded = self.encode(batch)
        scores = self.task_head.cls_head(encoded.adapted).float()
        binary = encoded.binary
        return Prediction(scores, None if binary is None else binary.float(), batch.v2p, self.partition)

    def _instance_losses(
        self, encoded: Encoded, logits: Tensor, batch: Batch, refine: bool, generator: torch.Generator | None
    ) -> InstanceLosses:
        head, settings, points = self._instance_parts(batch)
        assert batch.instances is not None
        offsets = head.offsets(encoded.backbone, batch.v2p)
        proposals = refined = None
        if refine:
            proposals = group(
                training_scores(logits),
                self.partition.train_columns,
                points + offsets.detach(),
                batch.scene_ids,
                settings,
                batch.v2p,
                retry=True,
            )
            refined = head.refine(
                encoded.backbone, batch.v2p, points, proposals, settings, self.engine, generator or torch.Generator()
            )
        return instance_losses(offsets, batch.instances, proposals, refined, settings)

    @torch.no_grad()
    def find_instances(self, encoded: Encoded, batch: Batch) -> InstanceOutput:
        """Instances of the one scene of a batch; switch to evaluation before."""
        head, settings, points = self._instance_parts(batch)
        scores = self.task_head.cls_head(encoded.adapted).float()
        binary = None if encoded.binary is None else encoded.binary.float()
        ignored = torch.tensor(self.partition.ignore_idx, dtype=torch.int64, device=scores.device)
        probability = evaluation_scores(scores.index_fill(1, ignored, IGNORED_LOGIT), binary, self.partition)
        shifted = points + head.offsets(encoded.backbone, batch.v2p)
        proposals = group(probability, range(self.partition.num_classes), shifted, batch.scene_ids, settings, batch.v2p)
        refined = head.refine(encoded.backbone, batch.v2p, points, proposals, settings, self.engine)
        classes = instance_classes(self.partition, settings)
        columns = torch.tensor(classes.positions, device=scores.device)
        of_base = None if binary is None else proposal_means(binary.unsqueeze(1), batch.v2p, proposals).squeeze(1)
        return instance_output(
            proposals,
            refined.mask_logits,
            refined.iou_logits,
            proposal_means(scores.index_select(1, columns), batch.v2p, proposals),
            of_base,
            classes,
            settings,
        )

    def _instance_parts(self, batch: Batch) -> tuple[InstanceHead, InstanceSettings, Tensor]:
        if self.inst_head is None or self.settings.instances is None or batch.points is None:
            raise ValueError("a network without an instance head, or a batch without points")
        return self.inst_head, self.settings.instances, batch.points
