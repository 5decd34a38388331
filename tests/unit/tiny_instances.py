"""The tiny row with an instance head, at thresholds for its boxes: 150 points in half a metre, 40 cm apart."""

from __future__ import annotations

from regionzoo.settings.train import InstanceHead, TrainSettings

HEAD = InstanceHead(
    warmup_epochs=1,
    score_threshold=0.2,
    min_candidates=20,
    radius=0.15,
    max_neighbours=1000,
    min_points=20,
    max_proposals=None,
    voxels_per_metre=10.0,
    grid=20,
    positive_iou=0.5,
    mask_threshold=-0.5,
    min_class_score=0.001,
    min_mask_points=20,
)


def with_instances(settings: TrainSettings, epochs: int = 3, step_epoch: int = 1, **head: object) -> TrainSettings:
    """The same row as the instance rows are set up: AdamW with a cosine after ``step_epoch``, pooled features.

    head: thresholds that differ from those of ``HEAD``.
    """
    recipe = settings.recipe.model_copy(
        update={"optimizer": "adamw", "schedule": "cos_after_step", "epochs": epochs, "step_epoch": step_epoch}
    )
    caption = settings.caption.model_copy(update={"pool": "feat"})
    instances = HEAD.model_copy(update=head)
    return settings.model_copy(update={"recipe": recipe, "caption": caption, "instances": instances})
