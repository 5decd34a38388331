"""Caption sets of pretrained captioners: batches over scenes, killed and continued runs, and what is kept of them."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_captioners import BLUE, RED, saved

from regionzoo.captions.build import build_regions
from regionzoo.captions.models.build import ModelRun, build_model_regions
from regionzoo.captions.models.kept import add_records, load_records, record
from regionzoo.captions.models.kosmos import KosmosSettings
from regionzoo.captions.models.looking import Described
from regionzoo.captions.store import load_captions
from regionzoo.errors import UserError
from regionzoo.scenes.store import Scene, save_scene

HEIGHT, WIDTH, DISTANCE = 96, 128, 2.0
CAMERA = np.array([[300, 0, 319.5, 0], [0, 300, 239.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)
FRAMES = {
    "scene0000_00": {"000000": RED, "000020": BLUE, "000100": RED},
    "scene0001_00": {},
    "scene0002_00": {"000000": BLUE, "000040": BLUE},
    "scene0003_00": {"000060": RED},
}


def write_tree(root):
    """Scenes in front of a camera that sees a red or a blue wall."""
    raw, scenes = root / "raw", root / "scenes"
    for number, (scene_id, frames) in enumerate(FRAMES.items()):
        rng = np.random.default_rng([11, number])
        coords = np.column_stack([rng.uniform(-2, 2, 800), rng.uniform(-1.5, 1.5, 800), np.full(800, DISTANCE)])
        labels = {name: np.full(800, -100, np.int16) for name in ("scannet20", "scannet200")}
        ids = np.full(800, -100, np.int32)
        colors = np.zeros((800, 3), np.uint8)
        scene = Scene(
            scene_id, "train", "scannet", coords.astype(np.float32), colors, np.zeros(800, np.int32), ids, labels
        )
        save_scene(scenes / f"{scene_id}.safetensors", scene)
        for name, color in frames.items():
            write_frame(raw / "scannet_frames_25k" / scene_id, name, color)
    return raw, scenes


def write_frame(folder, name, color):
    for kind in ("color", "depth", "pose"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), color).save(folder / "color" / f"{name}.jpg")
    depth = np.full((480, 640), int(DISTANCE * 1000), np.uint16)
    Image.fromarray(depth).save(folder / "depth" / f"{name}.png")
    np.savetxt(folder / "pose" / f"{name}.txt", np.eye(4))
    for kind in ("depth", "color"):
        np.savetxt(folder / f"intrinsics_{kind}.txt", CAMERA)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"))


def build(tree, out, work, **changes):
    raw, scenes = tree
    interval = changes.pop("frame_interval", 20)
    arguments = {"captioner": KosmosSettings(saved("kosmos-2")), "batch_size": 2, "scene_ids": list(FRAMES)} | changes
    run = ModelRun(Path(scenes), Path(raw), out_dir=Path(out), work_dir=Path(work), **arguments)
    return build_model_regions(run, interval, swap_xy_scale=False)


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory):
    """A run that nothing disturbed: (summary, files, work folder)."""
    root = tmp_path_factory.mktemp("whole")
    summary = build(tree, root / "out", root / "work")
    return summary, content(root / "out"), root / "work"


def test_regions_of_all_scenes(whole, tmp_path):
    summary, files, _ = whole
    assert sorted(files) == [f"{scene_id}.safetensors" for scene_id in FRAMES]
    (tmp_path / "scene0000_00.safetensors").write_bytes(files["scene0000_00.safetensors"])
    captions = load_captions(tmp_path / "scene0000_00.safetensors")
    # A thing of the blue frame has two boxes; names count the boxes of a frame.
    assert captions.names == tuple(f"{frame}_{k}" for frame in ("000000", "000020", "000100") for k in (0, 1))
    assert captions.texts == ("a red chair", "the wall", "two blue beds", "two blue beds", "a red chair", "the wall")
    assert len(captions.region(1)) > len(captions.region(0)) > 20
    assert (summary["scenes"], summary["frames"], summary["captions"]) == (4, 6, 12)
    assert summary["unique_captions"] == 3


def test_the_seam_of_every_captioner_gives_the_same(whole, tree, tmp_path):
    """``build_regions`` asks for one frame at a time; only the cost is not in its summary."""
    raw, scenes = tree
    summary, files, _ = whole
    settings = KosmosSettings(saved("kosmos-2"))
    plain = build_regions(scenes, raw, list(FRAMES), settings, 20, False, tmp_path / "out")
    assert content(tmp_path / "out") == files
    assert summary == plain | {"cost": summary["cost"]}
    assert summary["captioner"] == settings.make().identity


def test_the_cost(whole):
    cost = whole[0]["cost"]
    json.dumps(whole[0], allow_nan=False)
    assert (cost["frames"], cost["frames_kept"], cost["images"]) == (6, 0, 6)
    # 19 tokens about a red picture and 13 about a blue one.
    assert cost["tokens"] == 3 * 19 + 3 * 13
    assert cost["seconds"] > 0
    assert cost["models"][0]["model"] == "kosmos-2"
    assert (cost["device"], cost["precision"], cost["batch_size"]) == ("cpu", "float32", 2)
    assert {"transformers", "torch"} < set(cost)


def test_batches_cross_scenes(tree, tmp_path):
    sizes, seen = [], []
    settings = Watched(saved("kosmos-2"), sizes.append)
    progress = lambda *told: seen.append(told)  # noqa: E731
    build(tree, tmp_path / "out", tmp_path / "work", captioner=settings, batch_size=4, progress=progress)
    assert sizes == [4, 2]
    assert [(done, total) for done, total, _ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(note.endswith(" images/s") for _, _, note in seen)


class Watched(KosmosSettings):
    """Kosmos-2 that tells how many images its vision tower gets before it looks at them."""

    def __init__(self, model, watch):
        super().__init__(model)
        object.__setattr__(self, "watch", watch)

    def make(self, runtime=None):
        captioner = super().make(runtime)
        vision = captioner._loaded.model.vision_model
        vision.register_forward_pre_hook(lambda module, arguments: self.watch(len(arguments[0])))
        return captioner


def killed_in_the_third_batch(tree, out, work):
    """Exit status of a process that builds the set and kills itself when the model looks at its third batch."""
    looked = []

    def watch(batch):
        looked.append(batch)
        if len(looked) == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        signal.alarm(100)
        build(tree, out, work, captioner=Watched(saved("kosmos-2"), watch))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_killed_run_goes_on_where_it_was(whole, tree, tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    assert killed_in_the_third_batch(tree, out, work) == -signal.SIGKILL
    assert not out.exists()
    # Two batches of two frames: the first scene is finished, the second has no frame, the third was begun.
    (kept,) = work.iterdir()
    assert sorted(path.name for path in kept.glob("scene*")) == ["scene0000_00.json"]
    looked = []
    summary = build(tree, out, work, captioner=Watched(saved("kosmos-2"), looked.append))
    assert sum(looked) == 3
    assert content(out) == whole[1]
    assert (summary["cost"]["frames"], summary["cost"]["frames_kept"]) == (6, 3)
    # The cost is that of both runs.
    assert summary["cost"]["tokens"] == whole[0]["cost"]["tokens"]
    assert summary | {"cost": None} == whole[0] | {"cost": None}


def test_a_second_run_looks_at_nothing(whole, tree, tmp_path):
    looked = []
    summary = build(tree, tmp_path / "out", whole[2], captioner=Watched(saved("kosmos-2"), looked.append))
    assert looked == []
    assert content(tmp_path / "out") == whole[1]
    assert summary["cost"]["frames_kept"] == 6
    assert summary["cost"]["seconds"] == pytest.approx(whole[0]["cost"]["seconds"])


def test_other_frames_of_a_scene_are_added(whole, tree, tmp_path):
    looked = []
    settings = Watched(saved("kosmos-2"), looked.append)
    work = tmp_path / "work"
    few = build(tree, tmp_path / "few", work, captioner=settings, frame_interval=100)
    assert (sum(looked), few["cost"]["frames"]) == (3, 3)
    assert few["scenes_off_interval"] == 1
    more = build(tree, tmp_path / "more", work, captioner=settings)
    assert (sum(looked), more["cost"]["frames_kept"]) == (6, 3)
    assert content(tmp_path / "more") == whole[1]
    again = build(tree, tmp_path / "again", work, captioner=settings, frame_interval=100)
    assert sum(looked) == 6
    assert content(tmp_path / "again") == content(tmp_path / "few")
    assert again["cost"]["tokens"] == few["cost"]["tokens"]


def test_a_scene_that_was_read_before_is_read_again(tree, tmp_path):
    """The last scene of one set is the first of the next, with more frames."""
    arguments = {"scene_ids": ["scene0000_00"], "work": tmp_path / "work"}
    few = build(tree, tmp_path / "few", frame_interval=100, **arguments)
    more = build(tree, tmp_path / "more", frame_interval=20, **arguments)
    assert (few["captions"], more["captions"]) == (4, 6)


def test_records_of_two_jobs_are_joined(tmp_path):
    records = {name: record(f"hash {name}", Described([], 1, 2), 0.5) for name in ("000000", "000020", "000040")}
    first, second = (dict(list(records.items())[part]) for part in (slice(0, 2), slice(1, 3)))
    for some in (first, second):
        add_records(tmp_path, "scene0000_00", some)
    assert load_records(tmp_path, "scene0000_00") == records
    again = record("another image", Described([], 1, 3), 0.5)
    add_records(tmp_path, "scene0000_00", {"000020": again})
    assert load_records(tmp_path, "scene0000_00") == records | {"000020": again}
    assert load_records(tmp_path, "scene0001_00") == {}


def test_an_edited_frame_is_described_again(tmp_path):
    tree = write_tree(tmp_path)
    work = tmp_path / "work"
    build(tree, tmp_path / "out", work)
    looked = []
    settings = Watched(saved("kosmos-2"), looked.append)
    folder = tree[0] / "scannet_frames_25k" / "scene0000_00"
    write_frame(folder, "000100", BLUE)
    # A pose is no part of a picture: points move, texts do not.
    np.savetxt(folder / "pose" / "000000.txt", np.diag([-1.0, 1.0, -1.0, 1.0]))
    summary = build(tree, tmp_path / "out", work, captioner=settings)
    assert sum(looked) == 1
    captions = load_captions(tmp_path / "out" / "scene0000_00.safetensors")
    assert captions.texts == ("two blue beds",) * 4
    assert captions.names == ("000020_0", "000020_1", "000100_0", "000100_1")
    assert summary["regions_without_points"] == 2


def test_a_damaged_record_is_made_again(whole, tree, tmp_path):
    work = tmp_path / "work"
    build(tree, tmp_path / "out", work)
    (record,) = work.glob("*/scene0002_00.json")
    record.write_text(record.read_text().replace("two blue beds", "two red beds", 1))
    looked = []
    build(tree, tmp_path / "out", work, captioner=Watched(saved("kosmos-2"), looked.append))
    assert sum(looked) == 2
    assert content(tmp_path / "out") == whole[1]


def test_another_captioner_shares_nothing(tree, tmp_path):
    work = tmp_path / "work"
    build(tree, tmp_path / "out", work, scene_ids=["scene0003_00"])
    build(tree, tmp_path / "out", work, scene_ids=["scene0003_00"], precision="float16")
    build(
        tree, tmp_path / "out", work, scene_ids=["scene0003_00"],
        captioner=KosmosSettings(saved("kosmos-2"), prompt="<grounding> a room"),
    )  # fmt: skip
    folders = list(work.iterdir())
    assert len(folders) == 3
    identities = [json.loads((folder / "identity.json").read_text()) for folder in folders]
    assert {(one["precision"], one["prompt"][:12]) for one in identities} == {
        ("float32", "<grounding> "),
        ("float16", "<grounding> "),
    }


def test_memory_that_does_not_hold_a_batch(whole, tree, tmp_path):
    batches = []

    def watch(batch):
        batches.append(batch)
        if batch > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7.00 GiB")

    settings = Watched(saved("kosmos-2"), watch)
    summary = build(tree, tmp_path / "out", tmp_path / "work", captioner=settings, batch_size=6)
    assert batches == [6, 3, 1, 1, 1, 1, 1, 1]
    assert content(tmp_path / "out") == whole[1]
    assert (summary["cost"]["batch_size"], summary["cost"]["smallest_batch_size"]) == (6, 1)


def test_a_broken_frame_is_named_and_finished_scenes_stay(tmp_path):
    tree = write_tree(tmp_path)
    broken = tree[0] / "scannet_frames_25k" / "scene0002_00" / "color" / "000040.jpg"
    intact = broken.read_bytes()
    broken.write_bytes(intact[:400])
    with pytest.raises(UserError, match=r"scene0002_00: .*000040\.jpg"):
        build(tree, tmp_path / "out", tmp_path / "work")
    assert not (tmp_path / "out").exists()
    broken.write_bytes(intact)
    looked = []
    build(tree, tmp_path / "out", tmp_path / "work", captioner=Watched(saved("kosmos-2"), looked.append))
    assert sum(looked) == 3


def test_no_frames_at_all(tree, tmp_path):
    with pytest.raises(UserError, match="none of the 1 training scenes has a frame"):
        build(tree, tmp_path / "out", tmp_path / "work", scene_ids=["scene0001_00"])
