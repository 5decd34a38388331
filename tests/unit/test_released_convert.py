"""Checkpoints of the original as our weights: every published shape, every layout, and what differs is listed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from model_cases import random_batch, small_settings, unit_rows
from released_files import MODELS, filled, in_layout, row_settings, shapes_of, write

from regionzoo.errors import UserError
from regionzoo.models.network import RegionNet
from regionzoo.models.settings import Partition
from regionzoo.released.convert import convert, network_like
from regionzoo.released.layouts import LAYOUTS, fitting_layouts, from_ours, to_ours
from regionzoo.released.reader import read
from regionzoo.training.checkpoint import TEXT_MATRIX

FILE = Path("checkpoint_ep128.pth")
PARTITION = Partition((0, 2), (1,))
CONVOLUTION = "backbone_3d.unet.u.blocks.block0.conv_branch.2.weight"


@cache
def small_network() -> RegionNet:
    torch.manual_seed(3)
    net = RegionNet(small_settings(), unit_rows(3, 24, torch.Generator().manual_seed(1)), PARTITION)
    state = filled({key: list(value.shape) for key, value in net.state_dict().items()})
    net.load_state_dict(state)
    return net.eval()


def small_state() -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in small_network().state_dict().items()}


def refused(state: dict[str, torch.Tensor], **options: object) -> list[str]:
    """The lines of the refusal after the first."""
    with pytest.raises(UserError) as caught:
        convert(FILE, state, small_network(), **options)
    first, *lines = str(caught.value).split("\n")
    assert first.startswith(f"{FILE}: ") and (not lines or f"{len(lines)} differences" in first)
    return lines


@pytest.mark.parametrize("name", MODELS)
def test_every_published_network(tmp_path: Path, name: str) -> None:
    """Written in the original's legacy form, read, converted and loaded; larger ones in half precision."""
    model, shapes = MODELS[name], shapes_of(name)
    layout = LAYOUTS[list(MODELS).index(name) % 3]
    half = model.widths[0] == 32
    state = filled(shapes, torch.float16 if half else torch.float32)
    file = write(tmp_path / "checkpoint_ep128.pth", in_layout(state, layout))
    network = network_like(row_settings(name))
    got = convert(file, read(file)[0], network)
    file.unlink()
    assert (got.layout, got.told_by, got.stored_as) == (layout, "shapes", ("float16",) if half else ())
    assert len(got.state) == model.tensors
    network.load_state_dict(got.state, strict=True, assign=True)
    assert all(torch.equal(value, state[key].to(value.dtype)) for key, value in network.state_dict().items())
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    counts = {
        module: sum(value.numel() for key, value in network.named_parameters() if key.startswith(f"{module}."))
        for module in model.parameters
    }
    assert counts == model.parameters


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_scores(layout: str) -> None:
    ours, batch = small_network(), random_batch()
    got = convert(FILE, in_layout(small_state(), layout), ours)
    assert (got.layout, got.told_by) == (layout, "shapes")
    other = RegionNet(small_settings(), torch.eye(3, 24), PARTITION).eval()
    other.load_state_dict(got.state)
    before, after = ours.predict(batch), other.predict(batch)
    assert torch.equal(before.logits, after.logits) and torch.equal(before.binary_logit, after.binary_logit)
    assert before.logits.std() > 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_weight_by_weight(layout: str) -> None:
    weight = torch.randn(5, 3, 3, 3, 4)
    theirs = from_ours(weight, layout)
    for o, x, y, z, i in torch.randint(0, 3, (20, 5)).tolist():
        at = {"okkki": (o, x, y, z, i), "kkkoi": (x, y, z, o, i), "kkkio": (x, y, z, i, o)}[layout]
        assert theirs[at] == weight[o, x, y, z, i]
    assert torch.equal(to_ours(theirs, layout), weight) and theirs.is_contiguous()


def test_square_convolutions_alone_decide_between_two_layouts() -> None:
    square, oblong = (8, 3, 3, 3, 8), (8, 2, 2, 2, 4)
    assert fitting_layouts({"a": (3, 3, 3, 8, 8)}, {"a": square}) == ("kkkoi", "kkkio")
    assert fitting_layouts({"a": (8, 3, 3, 3, 8)}, {"a": square}) == ("okkki",)
    both = {"a": (3, 3, 3, 8, 8), "b": (2, 2, 2, 4, 8)}
    assert fitting_layouts(both, {"a": square, "b": oblong}) == ("kkkio",)
    assert fitting_layouts(both | {"b": (2, 2, 2, 8, 4)}, {"a": square, "b": oblong}) == ("kkkoi",)
    assert fitting_layouts({"a": (9, 3, 3, 3, 8), "c": (8, 3, 3, 3, 8)}, {"a": square}) == ()


def test_what_cannot_be_told_is_refused_unless_the_caller_says() -> None:
    state = in_layout(small_state(), "kkkio")
    squares = {key: value for key, value in state.items() if value.ndim != 5 or value.shape[3] == value.shape[4]}
    with pytest.raises(UserError, match=r"more than one layout \(kkkoi, kkkio\).*say which spconv wrote them"):
        convert(FILE, squares, small_network())
    missing = refused(squares, layout="kkkio")
    assert missing and all(line.startswith("missing: ") for line in missing)
    told = convert(FILE, state, small_network(), layout="kkkio")
    assert (told.layout, told.told_by) == ("kkkio", "caller")
    assert torch.equal(told.state[CONVOLUTION], small_state()[CONVOLUTION])
    wrong = refused(state, layout="okkki")
    assert len(wrong) == sum(value.ndim == 5 for value in state.values())


def test_one_convolution_in_another_layout_is_a_difference() -> None:
    state = in_layout(small_state(), "kkkio")
    key = "backbone_3d.input_conv.0.weight"
    state[key] = small_state()[key]
    assert refused(state) == [f"wrong shape: {key} is [8, 3, 3, 3, 6], expected [3, 3, 3, 6, 8]"]


def test_all_differences_are_listed() -> None:
    state = small_state()
    del state["global_step"], state["adapter.adapter.0.bias"]
    state["head.new"] = torch.zeros(2, 2)
    state["adapter.adapter.1.weight"] = torch.zeros(9)
    state[CONVOLUTION] = torch.zeros(12, 3, 3, 3, 13)
    state["adapter.adapter.1.num_batches_tracked"] = torch.tensor(1.0)
    state["adapter.adapter.0.weight"] = state["adapter.adapter.0.weight"].long()
    assert sorted(refused(state)) == [
        "missing: adapter.adapter.0.bias [8]",
        "missing: global_step [1]",
        "unexpected: head.new [2, 2]",
        "wrong shape: adapter.adapter.1.weight is [9], expected [8]",
        f"wrong shape: {CONVOLUTION} is [12, 3, 3, 3, 13], expected [12, 3, 3, 3, 12]",
        "wrong type: adapter.adapter.0.weight is int64, expected real numbers",
        "wrong type: adapter.adapter.1.num_batches_tracked is float32, expected whole numbers",
    ]


def test_the_checkpoint_of_another_row_lists_every_difference() -> None:
    network = network_like(row_settings("scannet_zs_unet16"))
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes_of("scannet_inst_b13n4").items()}
    with pytest.raises(UserError) as caught:
        convert(FILE, state, network)
    lines = [line for line in str(caught.value).split("\n")[1:] if line.startswith("unexpected")]
    assert len(lines) == 711 - 413


def test_only_the_text_matrix_may_differ() -> None:
    for matrix in (torch.randn(3, 24), torch.randn(200, 24), torch.randn(1, 24).half()):
        got = convert(FILE, small_state() | {TEXT_MATRIX: matrix}, small_network())
        assert torch.equal(got.text_matrix, matrix.float())
    for matrix, rows in ((torch.randn(7, 25), 7), (torch.randn(72), 3), (torch.zeros(0, 24), 3)):
        assert refused(small_state() | {TEXT_MATRIX: matrix}) == [
            f"wrong shape: {TEXT_MATRIX} is {list(matrix.shape)}, expected [{rows}, 24]"
        ]
    state = small_state()
    del state[TEXT_MATRIX]
    assert refused(state) == [f"missing: {TEXT_MATRIX} [3, 24]"]


def test_the_prefix_of_parallel_training_goes() -> None:
    wrapped = {f"module.{key}": value for key, value in small_state().items()}
    got = convert(FILE, wrapped, small_network())
    assert all(torch.equal(got.state[key], value) for key, value in small_state().items())
    wrapped["global_step"] = wrapped.pop("module.global_step")
    assert "unexpected: module.adapter.adapter.0.bias [8]" in refused(wrapped)


def test_types_are_made_ours() -> None:
    state = {
        key: value.to(torch.float64) if value.is_floating_point() else value.to(torch.int32)
        for key, value in small_state().items()
    }
    got = convert(FILE, state, small_network())
    assert got.stored_as == ("float64", "int32")
    assert all(torch.equal(value, small_state()[key]) for key, value in got.state.items())
    state["adapter.adapter.0.bias"] = torch.full((8,), 1e300, dtype=torch.float64)
    with pytest.raises(UserError, match=r"adapter\.adapter\.0\.bias holds numbers that are not finite in float32"):
        convert(FILE, state, small_network())


def test_negative_variances_are_damage() -> None:
    key = "adapter.adapter.1.running_var"
    with pytest.raises(UserError, match=rf"{key} holds negative variances"):
        convert(FILE, small_state() | {key: -torch.ones(8)}, small_network())


def test_no_draw_is_taken_from_the_global_generator() -> None:
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    network_like(row_settings("scannet_zs_unet16"))
    assert torch.equal(torch.rand(1), expected)


# Today's name -> the predecessor's, for the tensors whose name changed; written from the original's documentation.
OLD_NAMES = {
    "3dlang": [
        ("backbone_3d.", ""),
        ("task_head.cls_head.", "semantic_linear."),
        ("binary_head.binary_encoder.", "blinear."),
        ("binary_head.binary_classifier.2.", "blinear_final."),
        ("binary_head.binary_classifier.", "blinear_outputlayer."),
        ("adapter.adapter.", "adapter."),
        ("caption_head.", ""),
    ],
    "no-adapter": [("adapter.adapter.", "task_head.adapter.")],
    "kd-adapter": [("adapter.adapter.", "kd_head.kd_adapter.0.")],
}


def old_name(key: str, remap: str) -> str:
    for now, before in OLD_NAMES[remap]:
        if key.startswith(now):
            return before + key.removeprefix(now)
    return key


@pytest.mark.parametrize("remap", OLD_NAMES)
def test_predecessors(remap: str) -> None:
    old = {old_name(key, remap): value for key, value in small_state().items()}
    assert refused(old)
    if remap == "3dlang":
        del old["global_step"]
        old["criterion.weight"] = torch.zeros(3)  # the original drops what it does not know
    got = convert(FILE, old, small_network(), remap=remap)
    expected = small_state() | ({"global_step": torch.zeros(1, dtype=torch.int64)} if remap == "3dlang" else {})
    assert got.remap == remap and all(torch.equal(got.state[key], value) for key, value in expected.items())


def test_a_predecessor_without_heads_lacks_them() -> None:
    names = {"backbone_3d.": "module.", "task_head.cls_head.": "module.linear."}
    old = {}
    for key, value in small_state().items():
        for now, before in names.items():
            if key.startswith(now):
                old[before + key.removeprefix(now)] = value
    lines = refused(old, remap="lai")
    assert all(line.startswith(("missing: adapter", "missing: binary_head", "missing: caption_head")) for line in lines)
    kept = sum(key.startswith(tuple(names)) for key in small_state())
    assert len(lines) == len(small_state()) - kept - 1  # the count of steps is made


def test_two_tensors_for_one_name_are_refused() -> None:
    old = {old_name(key, "kd-adapter"): value for key, value in small_state().items()}
    old["kd_head.kd_adapter.1.0.bias"] = torch.zeros(8)
    with pytest.raises(
        UserError, match=r"kd_adapter\.0\.0\.bias and .*kd_adapter\.1\.0\.bias would all become adapter"
    ):
        convert(FILE, old, small_network(), remap="kd-adapter")
