"""Checkpoint files: both forms of torch are read, and whatever is hostile or broken is refused and never run."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from released_files import bombs, replace_pickle, small_state, write, write_any

from regionzoo.errors import UserError
from regionzoo.foreign.machine import Refused
from regionzoo.released.checkpoint_file import Facts, read_checkpoint
from regionzoo.released.reader import read
from regionzoo.released.watch import _writes

pytestmark = pytest.mark.filterwarnings("ignore:.*sparse", "ignore:Detected pickle protocol", "ignore:.*nested")
ZIP = pytest.mark.parametrize("zipped", [False, True], ids=["legacy", "zip"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint_ep128.pth"


@ZIP
def test_a_checkpoint_is_read(path: Path, zipped: bool) -> None:
    state, facts = read(write(path, small_state(), zipped))
    assert facts == Facts("zip" if zipped else "legacy", 128, 19_200, "pcseg+0.1", 69.4, 120)
    assert list(state) == ["a", "n"] and torch.equal(state["a"], small_state()["a"])
    assert state["n"].dtype == torch.int64


@ZIP
def test_state_dict_parameters_and_numpy_numbers(path: Path, zipped: bool) -> None:
    wrapped = {"w": torch.nn.Parameter(torch.ones(2)), "t": torch.arange(6.0).reshape(2, 3).t()}
    content = {"state_dict": wrapped, "epoch": np.int64(3), "best_metric": np.float32(0.5), "best_epoch": np.int32(2)}
    state, facts = read(write_any(path, content, zipped))
    assert (facts.epoch, facts.iteration, facts.best_metric, facts.best_epoch) == (3, None, 0.5, 2)
    assert state["t"].is_contiguous() and torch.equal(state["t"], wrapped["t"])
    assert type(state["w"]) is torch.Tensor


def test_numbers_that_numpy_1_pickled(path: Path) -> None:
    whole = write(path, small_state(), best_metric=np.float64(70.7)).read_bytes()
    assert b"numpy._core.multiarray\n" in whole
    path.write_bytes(whole.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n"))
    assert read(path)[1].best_metric == 70.7


def test_tensors_saved_from_a_gpu_come_to_the_cpu(path: Path) -> None:
    whole = write(path, small_state()).read_bytes()
    assert whole.count(b"X\x03\x00\x00\x00cpu") == 1  # the second storage refers to the first one's place
    path.write_bytes(whole.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))
    state, _ = read(path)
    assert {str(value.device) for value in state.values()} == {"cpu"}
    assert torch.equal(state["a"], small_state()["a"])


def test_a_score_that_is_no_number_is_left_out(path: Path) -> None:
    for score in ({"hIoU": 1.0}, "high", None, float("nan"), True):
        assert read(write(path, small_state(), best_metric=score))[1].best_metric is None


@ZIP
@pytest.mark.parametrize("place", ["whole", "state", "tensor", "fact", "key"])
def test_calls_are_named_and_not_made(path: Path, tmp_path: Path, place: str, zipped: bool) -> None:
    sentinel = tmp_path / "ran"
    for name, bomb in bombs(sentinel).items():
        if place == "whole":
            write_any(path, bomb, zipped)
        elif place == "fact":
            write(path, small_state(), zipped, best_metric=[{"deep": bomb}])
        else:
            state: Any = {"state": bomb, "tensor": small_state() | {"b": bomb}, "key": {(1, bomb): torch.ones(1)}}[
                place
            ]
            write(path, state, zipped)
        with pytest.raises(Refused, match=r"asks for [\w.]+, which no checkpoint needs") as caught:
            read(path)
        assert name.split(".")[-1] in str(caught.value)
        assert not sentinel.exists()


def streams(target: Path) -> dict[str, tuple[str, str]]:
    """Hand-made pickles that get at a function without a plain name, or misuse allowed names: (pickle, why)."""
    text = f"V{target}\n"
    storage = "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00aX\x03\x00\x00\x00cpuK\x01NtQ"
    return {
        "inst": (f"(V{target}\niposix\nmkdir\n.", "MARK|INST|UNICODE"),
        "obj": (f"(cposix\nmkdir\n{text}o.", "posix.mkdir"),
        "stack global": (f"\x8c\x05posix\x8c\x05mkdir\x93({text}tR.", "SHORT_BINUNICODE"),
        "extension": ("\x82\x01.", "EXT1"),
        "new object": ("ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
        "a longer name": (f"ccollections\nOrderedDict.fromkeys\n({text}tR.", "OrderedDict.fromkeys"),
        "another tensor class": ("ctorch\nTensor\n)R.", "torch.Tensor"),
        "a quantised tensor": ("ctorch._utils\n_rebuild_qtensor\n)R.", "_rebuild_qtensor"),
        "attributes": ("ctorch._tensor\n_rebuild_from_type_v2\n)R.", "_rebuild_from_type_v2"),
        "a huge array": ("cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR.", "builtins.bytearray"),
        "a call of a list": ("](tR.", "holds other objects"),
        "a text as storage": ("X\x01\x00\x00\x00aQ.", "holds other objects"),
        "another thing kept outside": ("(X\x06\x00\x00\x00modulecnumpy\ndtype\nNNtQ.", "holds other objects"),
        "objects of NumPy": (
            "cnumpy._core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\x00\x00\x00O8tRNtR.",
            "holds other",
        ),
        "a number too long": (
            "cnumpy._core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\x00\x00\x00f8tRX\x01\x00\x00\x00ztR.",
            "holds other",
        ),
        "a tensor larger than its storage": (
            "}X\x0b\x00\x00\x00model_state}X\x01\x00\x00\x00t"
            f"ctorch._utils\n_rebuild_tensor_v2\n({storage}K\x00J\xff\xff\xff\x7f\x85K\x01\x85\x89NtRss.",
            "truncated, damaged|claim more numbers than the file holds",
        ),
        "nothing on the stack": ("R.", "damaged"),
        "no end": ("(", "damaged"),
        "itself": ("}q\x00X\x0b\x00\x00\x00model_stateh\x00s.", "model_state is a dict|is a dict, expected a tensor"),
        "itself in a list": ("]q\x00h\x00a.", "holds a list"),
    }


@ZIP
@pytest.mark.parametrize("name", streams(Path("x")))
def test_hand_made_streams(path: Path, tmp_path: Path, name: str, zipped: bool) -> None:
    sentinel = tmp_path / "made"
    stream, reason = streams(sentinel)[name]
    write(path, small_state(), zipped)
    replace_pickle(path, b"\x80\x02" + stream.encode("latin1"), zipped)
    with pytest.raises(Refused, match=reason):
        read(path)
    assert not sentinel.exists()


@ZIP
def test_the_place_of_the_pickle_is_the_right_one(path: Path, zipped: bool) -> None:
    """The exchange of streams above is sound: a good one is read."""
    write(path, small_state(), zipped)
    replace_pickle(path, b"\x80\x02}X\x0b\x00\x00\x00model_state}s.", zipped)
    with pytest.raises(Refused, match="no dict of tensors"):
        read(path)


def huge_view() -> torch.Tensor:
    return torch.zeros(1, 1).expand(10**6, 10**6)


WRONG: dict[str, tuple[Any, str]] = {
    "a list": ([torch.ones(1)], "holds a list"),
    "a tensor": (torch.ones(1), "holds a Tensor"),
    "no state": ({"epoch": 3, "weights": {}}, "neither model_state nor state_dict, but epoch, weights"),
    "state a list": ({"model_state": [torch.ones(1)]}, "no dict of tensors"),
    "state empty": ({"model_state": {}}, "no dict of tensors"),
    "a number for a tensor": ({"model_state": {"a": 3}}, "a is a int, expected a tensor"),
    "a dict for a tensor": ({"model_state": {"a": {"b": torch.ones(1)}}}, "a is a dict"),
    "a number for a name": ({"model_state": {7: torch.ones(1)}}, r"no readable name \(7\)"),
    "an escape in a name": ({"model_state": {"a\x1b[2J\n": torch.ones(1)}}, "no readable name"),
    "not finite": ({"model_state": {"a": torch.tensor([1.0, torch.nan]), "b": torch.tensor(torch.inf)}}, r"2 .*\(a, b"),
    "complex": ({"model_state": {"a": torch.ones(1, dtype=torch.complex64)}}, "asks for|complex"),
    "sparse": ({"model_state": {"a": torch.eye(3).to_sparse()}}, "asks for torch"),
    "without memory": ({"model_state": {"a": torch.ones(2, device="meta")}}, "asks for torch"),
    "strides of 0": ({"model_state": {"a": huge_view()}}, "no plain dense tensor"),
    "one memory for many": (
        {"model_state": {f"a{k}": value for k in range(30) for value in [torch.zeros(1)] * 1}
         | dict.fromkeys((f"b{k}" for k in range(4)), torch.zeros(50_000))},
        "claim more numbers than the file holds",
    ),
    "epoch a text": ({"model_state": {"a": torch.ones(1)}, "epoch": "128"}, "its epoch is '128', expected a whole"),
    "epoch true": ({"model_state": {"a": torch.ones(1)}, "epoch": True}, "its epoch is True"),
    "epoch below 0": ({"model_state": {"a": torch.ones(1)}, "epoch": -1}, "its epoch is -1"),
    "it a half": ({"model_state": {"a": torch.ones(1)}, "it": 0.5}, "its it is 0.5"),
    "version a list": ({"model_state": {"a": torch.ones(1)}, "version": [1]}, "its version is a list"),
    "a model": (torch.nn.Linear(2, 2), "asks for torch.nn.modules.linear.Linear"),
}  # fmt: skip


@ZIP
@pytest.mark.parametrize(("content", "reason"), WRONG.values(), ids=WRONG)
def test_wrong_content(path: Path, content: Any, reason: str, zipped: bool) -> None:
    with pytest.raises(Refused, match=reason) as caught:
        read(write_any(path, content, zipped))
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


@ZIP
def test_truncated_anywhere(path: Path, zipped: bool) -> None:
    whole = write(path, {f"t{k}": torch.randn(40) for k in range(20)}, zipped).read_bytes()
    for end in [0, 1, 2, 3, 4, 10, *range(20, len(whole), len(whole) // 60), len(whole) - 1]:
        path.write_bytes(whole[:end])
        with pytest.raises(Refused, match=r"truncated|an empty file|not a file of torch|another form"):
            read(path)


def test_a_storage_that_claims_more_than_the_file(path: Path) -> None:
    whole = write(path, {"a": torch.ones(1000)}).read_bytes()
    assert whole.count(b"M\xe8\x03") == 2 and whole.count((1000).to_bytes(8, "little")) == 1
    more = whole.replace(b"M\xe8\x03", b"M\xff\xff").replace(
        (1000).to_bytes(8, "little"), (65535).to_bytes(8, "little")
    )
    path.write_bytes(more)
    with pytest.raises(Refused, match="truncated"):
        read(path)


def test_compressed_archives_are_refused(path: Path) -> None:
    write(path, {"a": torch.zeros(100_000)}, zipped=True)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert path.stat().st_size < 10_000
    with pytest.raises(Refused, match="compressed archive"):
        read(path)


OTHER_FILES = {
    "web page": (b"\r\n<!DOCTYPE html><html><title>Sign in to your account</title>", "a web page"),
    "nothing": (b"", "an empty file"),
    "gzip": (b"\x1f\x8b\x08 and so on", "a gzip archive"),
    "safetensors": (b"\x40\0\0\0\0\0\0\0" + b'{"a": 1}', "a safetensors file"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "protocol 4": (b"\x80\x04\x95", "a pickle of another form"),
    "text": (b"hello", "not a file of torch.save"),
    "tar": (b"pickle".ljust(257, b"\0") + b"ustar  \0", "a tar archive"),
    "other zip": (b"PK\x03\x04 and so on", "truncated or damaged"),
}


@pytest.mark.parametrize(("content", "reason"), OTHER_FILES.values(), ids=OTHER_FILES)
def test_other_files_are_told_apart(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    with pytest.raises(Refused, match=reason):
        read(path)


def test_the_reading_process(path: Path, tmp_path: Path) -> None:
    """A good file, and one that does to its reader what only a process of its own survives."""
    made = read_checkpoint(write(path, small_state() | {"h": torch.ones(3).half()}))
    assert made.facts.epoch == 128 and made.state["h"].dtype == torch.float16
    assert torch.equal(made.state["a"], small_state()["a"])
    # A key so deeply nested that hashing it overflows the stack.
    write(path, small_state())
    replace_pickle(path, b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.", zipped=False)
    with pytest.raises(UserError, match="its reader was ended by SIGSEGV") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no such file"):
        read_checkpoint(tmp_path)


def test_what_counts_as_writing(tmp_path: Path) -> None:
    import os

    assert (
        not _writes(("x", "r", os.O_RDONLY | os.O_CLOEXEC))
        and not _writes(("x", None, 0))
        and not _writes((3, "rb", 0))
    )
    assert (
        _writes(("x", "w", 0))
        and _writes(("x", "r+", 0))
        and _writes(("x", None, os.O_RDWR))
        and _writes(("x", "ab", 0))
    )
