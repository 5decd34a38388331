"""Which weights are asked for which classes, and with which encoder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from apply_cases import PARAMS, awake, encoder_spec, load, room, save_result, small, tiny_paper, tiny_result
from tiny_clip import save_tiny_clip
from tiny_rooms import annotation_free, tiny_settings

from regionzoo.apply.predict import Wish, predict
from regionzoo.apply.question import Asked, make_question, parse_classes, spelled
from regionzoo.apply.run import Runtime
from regionzoo.apply.weights import Weights, load_weights
from regionzoo.artifacts import write_safetensors
from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.encoders import make_encoder
from regionzoo.text.table import TextTable
from regionzoo.training.build import build_network


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return encoder_spec(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, spec: str) -> Weights:
    """Of the base-annotated row; its text encoder is the tiny CLIP."""
    return replace(tiny_result(tmp_path_factory.mktemp("row"), spec), encoder=spec)


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory, spec: str) -> Weights:
    """Of an annotation-free row: no base-or-novel head."""
    folder = save_result(tmp_path_factory.mktemp("free"), small(annotation_free(tiny_settings())), spec)
    return replace(load(folder), encoder=spec)


def answers(weights: Weights, asked: Asked, folder: Path) -> dict[str, np.ndarray]:
    wish = Wish((folder / "out.npz",), frozenset({"logits", "features", "probabilities"}))
    predict(weights, asked, room(600).ply(folder / "scan.ply"), wish, Runtime("cpu"))
    with np.load(folder / "out.npz") as file:
        return dict(file)


def test_lists_of_classes_are_read_with_their_synonyms() -> None:
    assert parse_classes("sofa|couch | settee, whiteboard ,plant") == (
        ("sofa", "couch", "settee"),
        ("whiteboard",),
        ("plant",),
    )
    for text, told in (("", "a name is empty"), ("sofa,,desk", "empty"), ("sofa|", "empty"), ("a,b|a", "'a' is named")):
        with pytest.raises(UserError, match=told):
            parse_classes(text)


def test_named_classes_are_scored_with_the_encoders_vectors(weights: Weights, spec: str, tmp_path: Path) -> None:
    found = answers(weights, Asked(classes=parse_classes("whiteboard, potted plant")), tmp_path)
    vectors = make_encoder(spec).encode(["whiteboard", "potted plant"])
    logits = found["features"].astype(np.float64) @ vectors.T
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4)
    np.testing.assert_array_equal(found["labels"], found["logits"].argmax(1))
    assert found["class_names"].tolist() == ["whiteboard", "potted plant"]
    share = 1 / (1 + np.exp(logits[:, 1] - logits[:, 0]))
    np.testing.assert_allclose(found["probabilities"][:, 0], share, atol=1e-4)


def test_of_synonyms_the_best_counts_and_the_first_is_the_name(weights: Weights, tmp_path: Path) -> None:
    apart = answers(weights, Asked(classes=parse_classes("sofa,toilet,bathtub,plant,desk,window")), tmp_path)
    joined = answers(weights, Asked(classes=parse_classes("sofa|toilet|bathtub,plant,desk|window")), tmp_path)
    assert joined["class_names"].tolist() == ["sofa", "plant", "desk"]
    for c, members in enumerate(([0, 1, 2], [3], [4, 5])):
        np.testing.assert_allclose(joined["logits"][:, c], apart["logits"][:, members].max(1), atol=1e-6)
    best = apart["logits"][:, :3].argmax(1)
    assert len(set(best)) > 1  # not always the same synonym


def test_roles_of_named_classes_switch_calibration_on(weights: Weights, tmp_path: Path) -> None:
    classes = parse_classes("wall,floor,plant")
    plain = answers(weights, Asked(classes=classes), tmp_path)
    with_roles = answers(weights, Asked(classes=classes, base=("floor", "wall")), tmp_path)
    off = answers(weights, Asked(classes=classes, base=("floor", "wall"), calibrate=False), tmp_path)
    np.testing.assert_array_equal(with_roles["logits"], plain["logits"])
    np.testing.assert_array_equal(off["labels"], plain["labels"])
    # The only novel class gets all of what the head gives to novel ones.
    wish = Wish((tmp_path / "b.npz",), frozenset({"binary"}))
    predict(weights, Asked(), tmp_path / "scan.ply", wish, Runtime("cpu"))
    with np.load(tmp_path / "b.npz") as file:
        novel = 1 / (1 + np.exp(file["binary"].astype(np.float64)))
    np.testing.assert_allclose(with_roles["probabilities"][:, 2], novel, atol=1e-5)
    np.testing.assert_allclose(with_roles["probabilities"].sum(1), 1, atol=1e-5)


def test_templates_spell_the_names() -> None:
    assert spelled("sofa", "identity") == "sofa"
    assert spelled("sofa", "lseg") == "a sofa in a scene" and spelled("wall", "lseg") == "wall"
    assert spelled("sofa", "the {} of a {}") == "the sofa of a sofa"
    with pytest.raises(UserError, match="unknown"):
        spelled("sofa", "lsag")


def test_a_rows_own_classes_need_no_encoder_unless_they_are_spelled_anew(weights: Weights, spec: str) -> None:
    own = make_question(Asked(), replace(weights, encoder="open_clip:none/of-this"))
    assert own.encoder is None and own.calibrated and own.names == class_set("scannet20").names
    np.testing.assert_array_equal(own.vectors, weights.text_matrix)
    spelt = make_question(Asked(template="a {}"), weights)
    texts = [f"a {name}" for name in class_set("scannet20").prompts]
    np.testing.assert_allclose(spelt.vectors, make_encoder(spec).encode(texts), atol=1e-6)
    assert spelt.encoder == spec and spelt.partition == own.partition


def test_annotation_free_rows_are_never_calibrated(free: Weights, tmp_path: Path) -> None:
    found = answers(free, Asked(), tmp_path)
    ignored = [class_set("scannet20").index(name) for name in ("wall", "floor", "otherfurniture")]
    assert (found["logits"][:, ignored] == -1e6).all() and not np.isin(found["labels"], ignored).any()
    np.testing.assert_array_equal(found["labels"], found["logits"].argmax(1))
    assert (found["probabilities"][:, ignored] == 0).all()
    wrong = {
        "--calibrate": Asked(calibrate=True),
        "--base": Asked(classes=(("wall",), ("plant",)), base=("wall",)),
    }
    for option, asked in wrong.items():
        with pytest.raises(UserError, match=f"{option}.*no base-or-novel head"):
            make_question(asked, free)
    with pytest.raises(UserError, match="no base-or-novel head"):
        predict(
            free, Asked(), tmp_path / "scan.ply", Wish((tmp_path / "o.npz",), frozenset({"binary"})), Runtime("cpu")
        )


def test_questions_that_do_not_fit_are_refused(weights: Weights) -> None:
    two = (("wall",), ("plant",))
    for asked, told in (
        (Asked(base=("wall",)), "--base goes with --classes"),
        (Asked(classes=two, base=("walls",)), "did you mean 'wall'"),
        (Asked(classes=two, calibrate=True), "name them with --base"),
        (Asked(classes=two, template="lsag"), "template 'lsag': unknown"),
        (Asked(classes=two, encoder="clip"), "text encoder 'clip': unknown"),
    ):
        with pytest.raises(UserError, match=told):
            make_question(asked, weights)


def test_an_encoder_of_another_space_is_refused(weights: Weights, tmp_path: Path) -> None:
    def stir(model: torch.nn.Module) -> None:
        torch.manual_seed(7)
        model.text_projection.normal_()

    other = save_tiny_clip(tmp_path, "apply-other", stir)
    with pytest.raises(UserError, match=r"not the one that .* was trained with .*cosine"):
        make_question(Asked(classes=(("plant",),), encoder=other), weights)
    with pytest.raises(UserError, match=r"384 dimensions, and .* was trained with 24"):
        make_question(Asked(classes=(("plant",),), encoder="minilm"), weights)


def test_a_shared_row_asks_anothers_weights_for_its_own_classes(tmp_path: Path) -> None:
    params, _ = tiny_paper(tmp_path)
    free_row = annotation_free(tiny_settings()).model_copy(update={"row": "scannet_zs_unet32"})
    folder = save_result(tmp_path / "results" / "scannet_zs_unet32", small(free_row), None)
    shared = load_weights("scannet200_zs_unet32", None, params, folder.parent)
    assert shared.classes.set == "scannet200" and shared.own_vectors is None
    assert shared.settings.row == "scannet_zs_unet32" and shared.encoder == "minilm"
    assert len(load_weights("scannet_zs_unet32", None, params, folder.parent).own_vectors) == 20
    with pytest.raises(UserError, match="weights of row 'scannet_zs_unet32', not of 'scannet_b15n4'"):
        load_weights("scannet_b15n4", folder, params, folder.parent)


def test_weights_say_which_row_they_are_and_where_their_text_comes_from(tmp_path: Path) -> None:
    settings = small(tiny_settings()).model_copy(update={"row": "scannet_b15n4+lr"})
    folder = save_result(tmp_path / "scannet_b15n4+lr", settings, None)
    weights = load(folder)
    assert weights.row == "scannet_b15n4" and weights.encoder == "minilm"  # trained at scale small
    paper = load(save_result(tmp_path / "paper", settings.model_copy(update={"scale": "paper"}), None))
    assert paper.encoder == "open_clip:ViT-B-16/openai"
    assert load(folder / "model.safetensors").sha256 == weights.sha256


def test_files_without_settings_are_the_published_network(tmp_path: Path) -> None:
    params, settings = tiny_paper(tmp_path)
    prompts = tuple(class_prompts("scannet20", "identity"))
    vectors = np.random.default_rng(0).standard_normal((20, 512)).astype(np.float32)
    network = awake(build_network(settings, TextTable(prompts, vectors), "native"))
    write_safetensors(tmp_path / "bare.safetensors", dict(network.state_dict()))
    weights = load_weights("scannet_b15n4", tmp_path / "bare.safetensors", params, tmp_path)
    np.testing.assert_array_equal(weights.text_matrix, vectors)
    assert weights.encoder == "open_clip:ViT-B-16/openai" and weights.settings.scale == "paper"
    with pytest.raises(UserError, match="say with --row"):
        load_weights(None, tmp_path / "bare.safetensors", params, tmp_path)
    with pytest.raises(UserError, match="differences"):
        load_weights("scannet_inst_b13n4", tmp_path / "bare.safetensors", params, tmp_path)


def test_weights_that_are_not_what_they_should_be_are_refused(tmp_path: Path) -> None:
    folder = save_result(tmp_path / "row", small(tiny_settings()), None)
    for row, checkpoint, told in (
        ("scannet_b15n5", None, "did you mean 'scannet_b15n4'"),
        ("scannet_b15n4", None, "snakemake --cores all"),
        (None, None, "which weights"),
        (None, tmp_path / "none.pth", "no such file"),
        (None, PARAMS, "expected a .pth"),
    ):
        with pytest.raises(UserError, match=told):
            load_weights(row, checkpoint, PARAMS, tmp_path / "results")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"weights_sha256": "0" * 64, "settings": config["settings"]}))
    with pytest.raises(UserError, match="not the weights that"):
        load(folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        load(folder)


def test_a_checkpoint_that_runs_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    params, _ = tiny_paper(tmp_path)
    (tmp_path / "evil.pth").write_bytes(f"cos\nsystem\n(S'touch {tmp_path}/owned'\ntR.".encode())
    with pytest.raises(UserError, match=r"evil\.pth: ") as error:
        load_weights("scannet_b15n4", tmp_path / "evil.pth", params, tmp_path)
    assert "\n" not in str(error.value) and not (tmp_path / "owned").exists()


def test_the_seed_of_others_is_left_alone(weights: Weights) -> None:
    torch.manual_seed(3)
    weights.network("native")
    drawn = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2), drawn)
