"""A network from a training's settings and text table: the same for training and evaluation."""

from __future__ import annotations

import numpy as np
import torch

from regionzoo.classes import class_set
from regionzoo.models.network import RegionNet
from regionzoo.models.settings import CaptionSettings, ModelSettings, Partition
from regionzoo.settings.train import TrainSettings
from regionzoo.sparse.engine import EngineName
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.table import TextTable
from regionzoo.training.labels import base_partition


def partition_of(settings: TrainSettings) -> Partition:
    """Base, novel and ignored classes of a row."""
    return base_partition(class_set(settings.classes), settings.novel, settings.ignore)


def class_vectors(settings: TrainSettings, table: TextTable) -> np.ndarray:
    """float32 [classes, D]: unit vectors of the class prompts."""
    return table.vectors[table.lookup(class_prompts(settings.classes, settings.template))]


def build_network(settings: TrainSettings, table: TextTable, engine: EngineName) -> RegionNet:
    """A freshly initialised network; the draw of its weights depends on the row's seed alone."""
    torch.manual_seed(settings.seed)
    shape, caption = settings.network, settings.caption
    model = ModelSettings(
        in_channels=shape.in_channels,
        widths=shape.widths,
        block_reps=shape.block_reps,
        adapter_layers=shape.adapter_layers,
        adapter_last_norm=shape.adapter_last_norm,
        embed_dim=table.dimension,
        binary_head=True,
        eval_only_text=False,
        caption=CaptionSettings(
            weight=caption.weight,
            pool=caption.pool,
            novel_grad_only=caption.novel_grad_only,
            # The one-cycle optimiser of the original never sees the scale (reference: model section 7.2).
            logit_scale_trainable=settings.recipe.optimizer != "adam_onecycle",
        ),
    )
    vectors = torch.from_numpy(class_vectors(settings, table))
    return RegionNet(model, vectors, partition_of(settings), engine)
