"""A network from a training's settings and text table: the same for training and prediction."""

from __future__ import annotations

import numpy as np
import torch

from regionzoo.models.instance_types import InstanceSettings
from regionzoo.models.network import RegionNet
from regionzoo.models.settings import CaptionSettings, ModelSettings
from regionzoo.settings.train import Classes, TrainSettings
from regionzoo.sparse.engine import EngineName
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.table import TextTable
from regionzoo.training.labels import partition_of


def class_vectors(classes: str, template: str, table: TextTable) -> np.ndarray:
    """float32 [classes, D]: unit vectors of the prompts of a class set."""
    return table.vectors[table.lookup(class_prompts(classes, template))]


def build_network(
    settings: TrainSettings, table: TextTable, engine: EngineName, classes: Classes | None = None
) -> RegionNet:
    """A freshly initialised network; the draw of its weights depends on the row's seed alone.

    classes: what it is asked for, if that is not what it was trained with.
    """
    torch.manual_seed(settings.seed)
    shape, caption = settings.network, settings.caption
    asked = classes or settings.classes
    model = ModelSettings(
        in_channels=shape.in_channels,
        widths=shape.widths,
        block_reps=shape.block_reps,
        adapter_layers=shape.adapter_layers,
        adapter_last_norm=shape.adapter_last_norm,
        embed_dim=table.dimension,
        binary_head=settings.classes.annotated,
        eval_only_text=not settings.classes.annotated,
        caption=CaptionSettings(
            weight=caption.weight,
            pool=caption.pool,
            novel_grad_only=caption.novel_grad_only,
            # The one-cycle optimiser of the original never sees the scale (reference: model section 7.2).
            logit_scale_trainable=settings.recipe.optimizer != "adam_onecycle",
        ),
        distill_weight=settings.distill,
        instances=InstanceSettings(**settings.instances.model_dump()) if settings.instances else None,
    )
    vectors = torch.from_numpy(class_vectors(asked.set, settings.template, table))
    return RegionNet(model, vectors, partition_of(asked), engine)
