"""The network with an instance head: its losses and what they reach, its draws, and what it finds in a scene."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from grouping_cases import as_lists, make_proposals, propose
from model_cases import PARTITION, random_captions, small_settings, unit_rows

from regionzoo.models.batch import Batch
from regionzoo.models.instance_loss import InstanceTargets
from regionzoo.models.instance_types import InstanceSettings
from regionzoo.models.network import Encoded, RegionNet
from regionzoo.models.proposals import InstanceOutput
from regionzoo.models.voxelize import voxelize
from regionzoo.sparse.pyramid import spatial_shape

# Boxes stand 20 m apart and every point is a candidate of every class: proposals are the boxes, whatever the weights.
BOXES = InstanceSettings(score_threshold=1e-9, min_candidates=1, radius=8.0, min_points=5, min_mask_points=1)
# Thresholds that bite: of candidates, distance, proposals, masks and classes.
STRICT = InstanceSettings(
    score_threshold=0.2, min_candidates=20, radius=0.2, min_points=4, mask_threshold=0.5, min_class_score=0.1,
    min_mask_points=4,
)  # fmt: skip
# Classes of the boxes of a scene, in the order of their points: base, novel, base, wall (class 0 is before the shift).
KINDS = (4, 5, 2, 0)
HEAD_PARTS = ("offset_linear", "tiny_unet", "tiny_unet_outputlayer", "mask_linear", "iou_score_linear")


def network(seed: int = 0, settings: InstanceSettings | None = BOXES, **changes: object) -> RegionNet:
    torch.manual_seed(seed)
    embeddings = unit_rows(PARTITION.num_classes, 24, torch.Generator().manual_seed(9))
    return RegionNet(small_settings(instances=settings, **changes), embeddings, PARTITION)


def boxes(scenes: int = 2, size: int = 60, seed: int = 0) -> tuple[Batch, list[list[int]]]:
    """Scenes of four boxes of ``size`` points and half a metre, and the points of each box, scene by scene."""
    rng = torch.Generator().manual_seed(seed)
    points = scenes * len(KINDS) * size
    box = torch.arange(points) // size
    place = torch.tensor([20.0, 0.0, 0.0]) * (box % len(KINDS))[:, None]
    xyz = place + 0.5 * torch.rand(points, 3, generator=rng)
    scene = box // len(KINDS)
    coords = torch.cat([scene[:, None], (xyz / 0.1).long()], 1)
    voxel_coords, v2p, voxel_feats = voxelize(coords, torch.randn(points, 6, generator=rng))
    kind = torch.tensor(KINDS)[box % len(KINDS)]
    column = {c: k for k, c in enumerate(PARTITION.base_idx)}
    labels = torch.tensor([column.get(int(c), -100) for c in kind])
    found = torch.full((points,), -100)
    things = [b for b in range(scenes * len(KINDS)) if KINDS[b % len(KINDS)] in (4, 2)]
    offsets = torch.zeros(points, 3)
    for number, b in enumerate(things):
        found[box == b] = number
        offsets[box == b] = xyz[box == b].mean(0) - xyz[box == b]
    classes = torch.tensor([column[KINDS[b % len(KINDS)]] for b in things])
    batch = Batch(
        voxel_coords=voxel_coords,
        spatial_shape=spatial_shape(voxel_coords),
        voxel_feats=voxel_feats,
        v2p=v2p,
        point_offsets=torch.arange(scenes + 1) * len(KINDS) * size,
        labels=labels,
        binary_labels=(labels >= 0).float(),
        captions=random_captions(points, 9, 5, 24, rng),
        points=xyz,
        instances=InstanceTargets(found, classes, offsets),
    )
    return batch, [torch.nonzero(box == b).squeeze(1).tolist() for b in range(scenes * len(KINDS))]


@cache
def learnt(binary: bool = True) -> tuple[RegionNet, list[tuple[float, ...]]]:
    """A network that has seen one batch for a while, in evaluation mode, and its losses of offsets and masks."""
    net, (batch, _) = network(binary_head=binary), boxes()
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 1e-2)
    history = []
    for step in range(25):
        losses = net(batch, True, torch.Generator().manual_seed(step)).losses
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        history.append((losses.instance.offset.item(), losses.instance.mask.item()))
    return net.eval(), history


def at(net: RegionNet, settings: InstanceSettings) -> RegionNet:
    """The same weights with other thresholds."""
    changed = copy.copy(net)
    changed.settings = replace(net.settings, instances=settings)
    return changed


def with_gradient(net: RegionNet, loss: torch.Tensor) -> set[str]:
    net.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    return {key for key, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def parts(reached: set[str]) -> set[str]:
    """Top-level modules, and those of the instance head."""
    return {key.split(".")[1] if key.startswith("inst_head") else key.split(".")[0] for key in reached}


# -- losses ---------------------------------------------------------------------------------------------------------


def test_a_warm_up_trains_the_offsets_alone() -> None:
    net, (batch, _) = network(), boxes()
    early, late = (net(batch, refine, torch.Generator().manual_seed(1)).losses for refine in (False, True))
    assert early.instance.mask.item() == early.instance.iou.item() == 0
    assert late.instance.mask.item() > 0 and late.instance.iou.item() > 0
    assert early.instance.offset.item() == late.instance.offset.item() > 0
    for losses in (early, late):
        instance = losses.instance
        terms = (losses.seg, losses.binary, losses.caption, instance.offset, instance.mask, instance.iou)
        assert all(term.isfinite() and term.dtype == torch.float32 for term in terms)
        torch.testing.assert_close(losses.total, torch.stack(terms).sum())


def test_the_offset_loss_is_of_the_points_of_instances() -> None:
    net, (batch, _) = network(), boxes()
    said: list[torch.Tensor] = []
    net.inst_head.offset_linear.register_forward_hook(lambda module, inputs, output: said.append(output.detach()))
    loss = net(batch, refine=False).losses.instance.offset.item()
    targets = batch.instances
    inside = [i for i in range(batch.num_points) if targets.labels[i] >= 0]
    assert len(said[0]) == batch.num_points and len(inside) == batch.num_points // 2
    error = [abs(float(said[0][i, axis] - targets.offsets[i, axis])) for i in inside for axis in range(3)]
    assert loss == pytest.approx(sum(error) / len(inside), rel=1e-5)


def refined_by(net: RegionNet, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The proposals that a training step hands to the head."""
    given: list[list[list[int]]] = []
    refine = net.inst_head.refine

    def watched(*arguments: object) -> object:
        given.append(as_lists(arguments[3]))
        return refine(*arguments)

    monkeypatch.setattr(net.inst_head, "refine", watched)
    net(batch)
    assert len(given) == 1
    return given[0]


def test_proposals_in_training_are_of_base_things_of_one_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (batch, members) = network(), boxes()
    # Columns 0 and 2 are classes 4 and 2; column 1 is the wall. Both propose every box of both scenes.
    assert refined_by(net, batch, monkeypatch) == members * 2


def test_proposals_in_training_follow_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (batch, _) = at(copy.deepcopy(learnt()[0]).train(), STRICT), boxes(2, 25, seed=2)
    moved: list[torch.Tensor] = []
    logits: list[torch.Tensor] = []
    net.inst_head.offset_linear.register_forward_hook(lambda module, inputs, output: moved.append(output.detach()))
    net.register_forward_hook(lambda module, inputs, output: logits.append(output.voxel_logits))
    found = refined_by(net, batch, monkeypatch)
    chances = logits[0].softmax(1)[batch.v2p].numpy()
    shifted = (batch.points + moved[0]).numpy()
    scenes = np.arange(batch.num_points) // 100
    told = [part for column in (0, 2) for part in propose(chances[:, [column]], range(2, 3), shifted, scenes, STRICT)]
    unmoved = propose(chances[:, [0]], range(2, 3), batch.points.numpy(), scenes, STRICT)
    assert found == told and len(told) > 2 and told[: len(unmoved)] != unmoved


def test_what_each_loss_of_the_head_reaches() -> None:
    net, (batch, _) = network(), boxes()
    losses = net(batch).losses.instance
    assert parts(with_gradient(net, losses.offset)) == {"backbone_3d", "offset_linear"}
    unet = {"backbone_3d", "tiny_unet", "tiny_unet_outputlayer"}
    assert parts(with_gradient(net, losses.mask)) == unet | {"mask_linear"}
    assert parts(with_gradient(net, losses.iou)) == unet | {"iou_score_linear"}


def test_gradients_reach_every_parameter_of_the_head_after_the_warm_up() -> None:
    net, (batch, _) = network(), boxes()
    head = {key for key, _ in net.named_parameters() if key.startswith("inst_head")}
    assert parts(head) == set(HEAD_PARTS)
    reached = {key for key in with_gradient(net, net(batch, refine=False).losses.total) if key in head}
    assert parts(reached) == {"offset_linear"}
    assert head <= with_gradient(net, net(batch).losses.total)


def test_the_generator_decides_the_step_to_the_bit() -> None:
    batch, _ = boxes()
    results = []
    for seed in (3, 3, 4):
        net = network()
        losses = net(batch, True, torch.Generator().manual_seed(seed)).losses
        losses.total.backward()
        grads = {key: p.grad for key, p in net.named_parameters() if p.grad is not None}
        results.append((losses.total.item(), losses.instance.offset.item(), losses.instance.mask.item(), grads))
    first, same, other = results
    assert first[:3] == same[:3] and all(torch.equal(first[3][key], same[3][key]) for key in first[3])
    assert first[1] == other[1] and first[2] != other[2]
    key = "inst_head.tiny_unet.blocks.block0.conv_branch.2.weight"
    assert not torch.equal(first[3][key], other[3][key])


def test_training_with_a_head_learns() -> None:
    _, history = learnt()
    assert all(last < 0.5 * first for first, last in zip(history[0], history[-1], strict=True))


def test_a_head_needs_points_and_a_network_a_head() -> None:
    net, (batch, _) = network().eval(), boxes(1)
    bare = replace(batch, points=None)
    with pytest.raises(ValueError, match="without points"):
        net.find_instances(net.encode(bare), bare)
    plain = network(settings=None).eval()
    assert plain.inst_head is None
    with pytest.raises(ValueError, match="without an instance head"):
        plain.find_instances(plain.encode(batch), batch)
    # Instances in a batch are nothing to a network without a head.
    assert plain.train()(batch).losses.instance.total.item() == 0


# -- what is found --------------------------------------------------------------------------------------------------


def find(net: RegionNet, batch: Batch) -> tuple[InstanceOutput, Encoded]:
    with torch.no_grad():
        encoded = net.encode(batch)
    return net.find_instances(encoded, batch), encoded


def expected(net: RegionNet, batch: Batch, encoded: Encoded) -> list[tuple[int, float, list[int]]]:
    """Class, score and points of every prediction by the text, from the parts' own outputs."""
    settings, head = net.settings.instances, net.inst_head
    with torch.no_grad():
        scores = net.task_head.cls_head(encoded.adapted).double()[batch.v2p].numpy()
        shifted = (batch.points + head.offset_linear(encoded.backbone)[batch.v2p]).numpy()
    sure = None if encoded.binary is None else encoded.binary.detach().double()[batch.v2p].numpy()
    base, novel = list(PARTITION.base_idx), list(PARTITION.novel_idx)

    def chances(logits: np.ndarray, of_base: np.ndarray | None, one: list[int], two: list[int]) -> np.ndarray:
        out = np.zeros_like(logits)
        if of_base is None:
            both = one + two
            out[:, both] = np.exp(logits[:, both]) / np.exp(logits[:, both]).sum(1, keepdims=True)
            return out
        share = 1 / (1 + np.exp(-of_base))
        for columns, part in ((one, share), (two, 1 - share)):
            odds = np.exp(logits[:, columns])
            out[:, columns] = odds / odds.sum(1, keepdims=True) * part[:, None]
        return out

    scenes = np.zeros(batch.num_points, np.int64)
    grouped = propose(chances(scores, sure, base, novel), range(6), shifted, scenes, settings)
    means = np.array([scores[inside].mean(0) for inside in grouped])
    of_base = None if sure is None else np.array([sure[inside].mean() for inside in grouped])
    by_class = chances(means, of_base, [c for c in base if c >= 2], [c for c in novel if c >= 2])
    # The head itself has tests of its own; each proposal alone gives what all of them give.
    refined = [refine_alone(net, batch, encoded, inside) for inside in grouped]
    found = []
    for c in (2, 4, 5):
        for inside, chance, (mask, iou) in zip(grouped, by_class[:, c], refined, strict=True):
            kept = [i for i, logit in zip(inside, mask, strict=True) if logit > settings.mask_threshold]
            if chance > settings.min_class_score and len(kept) >= settings.min_mask_points:
                found.append((c, chance / (1 + np.exp(-iou)), kept))
    return found


def refine_alone(net: RegionNet, batch: Batch, encoded: Encoded, inside: list[int]) -> tuple[list[float], float]:
    with torch.no_grad():
        refined = net.inst_head.refine(
            encoded.backbone, batch.v2p, batch.points, make_proposals([inside]), net.settings.instances, net.engine
        )
    return refined.mask_logits.tolist(), refined.iou_logits.item()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("settings", [BOXES, STRICT], ids=["boxes", "strict"])
def test_what_is_found_follows_the_text(settings: InstanceSettings, binary: bool) -> None:
    net, (batch, _) = at(learnt(binary)[0], settings), boxes(1, 40, seed=2)
    found, encoded = find(net, batch)
    told = expected(net, batch, encoded)
    assert len(told) > 3 and found.label.tolist() == [c for c, *_ in told]
    assert [found.points_of(m).tolist() for m in found.mask] == [points for *_, points in told]
    np.testing.assert_allclose(found.score, [score for _, score, _ in told], rtol=1e-4)
    assert set(found.label.tolist()) <= {2, 4, 5} and not found.no_proposals
    assert np.diff(found.mask_offsets).min() >= settings.min_mask_points


def test_only_instance_classes_are_found_even_where_others_are_likelier() -> None:
    """A network that is sure of wall, floor or the ignored class says so of no instance."""
    batch, _ = boxes(1)
    for c in (0, 1, 3):
        net = network().eval()
        with torch.no_grad():
            feats = net.encode(batch).adapted
            net.task_head.cls_head.weight[c] = 50 * feats.mean(0)
        assert (net.predict(batch).voxel_scores.argmax(1) == c).float().mean() > 0.9
        found, _ = find(net, batch)
        assert set(found.label.tolist()) == {2, 4, 5}
        assert found.mask_points.min() >= 0 and found.mask_points.max() < batch.num_points


@pytest.mark.parametrize(
    ("change", "proposed"),
    [
        ({"score_threshold": 1.0}, False),
        ({"min_candidates": 10_000}, False),
        ({"min_points": 10_000}, False),
        ({"mask_threshold": 1e4}, True),
        ({"min_mask_points": 10_000}, True),
        ({"min_class_score": 1.0}, True),
    ],
)
def test_each_threshold_can_leave_everything_out(change: dict[str, float], proposed: bool) -> None:
    net, (batch, _) = network().eval(), boxes(1)
    assert len(find(net, batch)[0].mask)
    found, _ = find(at(net, replace(BOXES, **change)), batch)
    assert len(found.mask) == len(found.mask_points) == 0 and found.no_proposals is not proposed


def test_finding_twice_gives_the_same_bits_and_changes_nothing() -> None:
    net, (batch, _) = network().eval(), boxes(1)
    before = copy.deepcopy(net.state_dict())
    one, two = find(net, batch)[0], find(net, batch)[0]
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in vars(one))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
