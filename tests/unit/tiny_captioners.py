"""Tiny captioners and detectors of the real architectures, saved as the hub has them: own tokenizers, real processors.

The language models learn by heart what to say of a red and of a blue picture, so that a test knows the right answer and
sees whether the picture reaches the model at all.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

RED, BLUE = (200, 30, 30), (30, 30, 200)
PROMPT = "<grounding> Describe this image in detail:"
SAID_OF = {
    RED: "<phrase> a red chair</phrase><object><patch_index_0033><patch_index_0495></object> by<phrase> the wall"
    "</phrase><object><patch_index_0000><patch_index_1023></object>",
    BLUE: "<phrase> two blue beds</phrase><object><patch_index_0100><patch_index_0400>"
    "</delimiter_of_multi_objects/><patch_index_0512><patch_index_0900></object>",
}
WORDS = ["a", "the", "two", "red", "blue", "chair", "chairs", "bed", "beds", "wall", "by", "in", "room", "photo", "of"]


def picture(color: tuple[int, int, int], height: int = 60, width: int = 80) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def memorise(
    model: torch.nn.Module, loss: Callable[[], torch.Tensor], enough: float = 0.01, rate: float = 1e-2
) -> None:
    """Train until the loss says that every token is certain."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    model.train()
    for _ in range(600):
        value = loss()
        if value.item() < enough:
            break
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    else:
        raise AssertionError(f"the tiny model did not learn its sentences (loss {value.item():.3f})")
    model.eval()


def save_kosmos(folder: Path) -> Path:
    """Kosmos-2 that says :data:`SAID_OF`; files and preprocessor settings as ``microsoft/kosmos-2-patch14-224`` has."""
    from transformers.models.clip.image_processing_clip import CLIPImageProcessor
    from transformers.models.kosmos2 import Kosmos2Config, Kosmos2ForConditionalGeneration, Kosmos2Processor
    from transformers.models.xlm_roberta.tokenization_xlm_roberta import XLMRobertaTokenizer

    images = 4
    spoken = [*WORDS, "Describe", "this", "image", "detail"]
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(f"slot{i}", -99.0) for i in range(images)]
    pieces += [(f"▁{word}", -1.0) for word in spoken] + [("▁", -3.0), (":", -2.0)]
    pieces += [(letter, -9.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    tokenizer = XLMRobertaTokenizer(vocab=pieces)
    processor = Kosmos2Processor(CLIPImageProcessor(), tokenizer)
    text = {"vocab_size": len(tokenizer), "embed_dim": 48, "layers": 1, "ffn_dim": 96, "attention_heads": 2}
    text |= {"max_position_embeddings": 128, "dropout": 0.0, "attention_dropout": 0.0}
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 14}
    torch.manual_seed(0)
    model = Kosmos2ForConditionalGeneration(
        Kosmos2Config(text_config=text, vision_config=vision, latent_query_num=images)
    )
    inputs = processor(
        images=[Image.fromarray(picture(color)) for color in SAID_OF],
        text=[f"{PROMPT}{said}</s>" for said in SAID_OF.values()],
        num_image_tokens=images,
        size={"height": 28, "width": 28},
        do_center_crop=False,
        padding=True,
        return_tensors="pt",
    )
    prompt = len(processor(images=Image.new("RGB", (9, 9)), text=PROMPT, num_image_tokens=images)["input_ids"])
    memorise(model, lambda: next_token_loss(model(**inputs).logits, inputs["input_ids"], prompt, ignored=1), rate=4e-3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write(folder / "preprocessor_config.json", KOSMOS_PREPROCESSOR)
    return folder


KOSMOS_PREPROCESSOR = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "processor_class": "Kosmos2Processor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 224},
    "use_square_size": True,
}


def next_token_loss(logits: torch.Tensor, ids: torch.Tensor, prompt: int, ignored: int) -> torch.Tensor:
    """Cross entropy of the tokens behind the first ``prompt``."""
    wanted = ids[:, prompt:].flatten()
    return torch.nn.functional.cross_entropy(logits[:, prompt - 1 : -1].flatten(0, 1), wanted, ignore_index=ignored)


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


SENTENCES = {RED: "a red chair in a room", BLUE: "two blue beds by the wall"}


def save_blip(folder: Path) -> Path:
    """BLIP that says :data:`SENTENCES`."""
    from transformers.models.bert.tokenization_bert import BertTokenizer
    from transformers.models.blip import (
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    start = len(vocabulary)  # of the decoder; as in the real model no entry of the tokenizer
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(vocabulary)})
    processor = BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer)
    common = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = common | {"vocab_size": start + 2, "encoder_hidden_size": 32, "max_position_embeddings": 128}
    text |= {"bos_token_id": start, "eos_token_id": 4, "sep_token_id": 3, "pad_token_id": 0}
    text |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    torch.manual_seed(0)
    model = BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config=common | {"image_size": 32, "patch_size": 16})
    )
    pixels = processor(images=[Image.fromarray(picture(color)) for color in SENTENCES], return_tensors="pt")
    ids = tokenizer(list(SENTENCES.values()), padding=True, return_tensors="pt")["input_ids"]
    ids[:, 0] = start
    memorise(model, lambda: next_token_loss(model(**pixels, input_ids=ids).logits, ids, 1, ignored=0))
    model.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_vit_gpt2(folder: Path) -> Path:
    """A ViT with GPT-2 that says :data:`SENTENCES`."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import (
        GPT2Config,
        GPT2Tokenizer,
        VisionEncoderDecoderConfig,
        VisionEncoderDecoderModel,
        ViTConfig,
        ViTImageProcessor,
    )

    alphabet = sorted(ByteLevel.alphabet())
    tokenizer = GPT2Tokenizer(vocab={piece: i for i, piece in enumerate([*alphabet, "<|endoftext|>"])}, merges=[])
    end = tokenizer.eos_token_id
    vision = ViTConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16
    )
    text = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=80, bos_token_id=end, eos_token_id=end,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(vision, text)
    config.decoder_start_token_id = config.pad_token_id = config.eos_token_id = end
    torch.manual_seed(0)
    model = VisionEncoderDecoderModel(config=config)
    write(folder / "preprocessor_config.json", OLD_VIT_PREPROCESSOR)
    processor = ViTImageProcessor.from_pretrained(folder)
    pixels = processor(images=[Image.fromarray(picture(color)) for color in SENTENCES], return_tensors="pt")
    written = [tokenizer(said)["input_ids"] for said in SENTENCES.values()]
    longest = max(map(len, written)) + 2
    ids = torch.tensor([[end, *one, end] + [-100] * (longest - len(one) - 2) for one in written])
    given = ids.clamp(min=0)
    memorise(model, lambda: next_token_loss(model(**pixels, decoder_input_ids=given).logits, ids, 1, ignored=-100))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # As old as this model is, its settings of generation stand in config.json alone.
    (folder / "generation_config.json").unlink()
    return folder


OLD_VIT_PREPROCESSOR = {
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "ViTFeatureExtractor",
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "size": 32,
}


def save_owlv2(folder: Path) -> Path:
    """OWLv2 that sees a red chair in each of its 4 x 4 patches that is red, and a blue bed in each blue one.

    Its boxes are where an untrained box head leaves them: as large as a patch, around the patch' lower right corner.
    """
    from transformers.models.owlv2 import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["!", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    # In the layout of the hub, which is older than tokenizer.json.
    write(folder / "vocab.json", {piece: i for i, piece in enumerate(pieces)})
    (folder / "merges.txt").write_text("#version: 0.2\n")
    marks = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    write(
        folder / "tokenizer_config.json",
        marks | {"tokenizer_class": "CLIPTokenizer", "pad_token": "!", "model_max_length": 48},
    )
    Owlv2ImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    common = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = common | {"vocab_size": len(pieces), "max_position_embeddings": 48, "pad_token_id": 0}
    text |= {"bos_token_id": len(pieces) - 2, "eos_token_id": len(pieces) - 1}
    vision = common | {"image_size": 64, "patch_size": 16}
    torch.manual_seed(0)
    model = Owlv2ForObjectDetection(Owlv2Config(text_config=text, vision_config=vision, projection_dim=16))
    processor = Owlv2Processor.from_pretrained(folder)
    image = np.concatenate([picture(RED, 90, 60), picture(BLUE, 90, 60)], axis=1)
    inputs = processor(images=Image.fromarray(image), text=[DETECTED], return_tensors="pt")
    wanted = torch.zeros(4, 4, 2)
    # The fourth row of patches is what the processor pads a wide image with.
    wanted[:3, :2, 0] = wanted[:3, 2:, 1] = 1.0
    wanted = wanted.view(1, 16, 2)
    memorise(
        model, lambda: torch.nn.functional.binary_cross_entropy_with_logits(model(**inputs).logits, wanted), rate=2e-3
    )
    with torch.no_grad():
        for values in model.box_head.dense2.parameters():
            values.zero_()
    model.save_pretrained(folder)
    return folder


DETECTED = ["a photo of a red chair", "a photo of a blue bed"]


def save_grounding_dino(folder: Path) -> Path:
    """Grounding DINO with random weights: 12 boxes."""
    from transformers import BertConfig, SwinConfig
    from transformers.models.bert.tokenization_bert import BertTokenizer
    from transformers.models.grounding_dino import (
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
    )

    # The model knows the ids of BERT's marks and full stop by heart.
    pieces = {f"[unused{i}]": i for i in range(1030)}
    for name, i in (("[PAD]", 0), ("[UNK]", 100), ("[CLS]", 101), ("[SEP]", 102), ("[MASK]", 103), (".", 1012)):
        pieces = {piece: number for piece, number in pieces.items() if number != i} | {name: i}
    for i, word in enumerate([*WORDS, "##room", "sofa", "lamp"]):
        del pieces[f"[unused{i + 200}]"]
        pieces[word] = i + 200
    tokenizer = BertTokenizer(vocab=pieces)
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
            out_indices=[2, 3, 4],
        ),
        text_config=BertConfig(
            vocab_size=len(pieces), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        ),
        d_model=32, num_queries=12, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        encoder_attention_heads=2, decoder_attention_heads=2, max_text_len=16, num_feature_levels=4,
    )  # fmt: skip
    torch.manual_seed(0)
    model = GroundingDinoForObjectDetection(config)
    spread(model)
    model.save_pretrained(folder)
    GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def spread(model: torch.nn.Module) -> None:
    """Larger weights than the initial ones, so that boxes and scores differ from image to image."""
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.dim() > 1 and "embedding" not in name:
                values.mul_(8.0)


SAVED = {
    "kosmos-2": save_kosmos,
    "blip": save_blip,
    "vit-gpt2": save_vit_gpt2,
    "owlv2": save_owlv2,
    "grounding-dino": save_grounding_dino,
}


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tiny-captioners-")


@cache
def saved(kind: str) -> str:
    """Folder of a tiny model, made once a run of the tests; nobody may change it."""
    folder = Path(_folder().name, kind)
    folder.mkdir()
    return str(SAVED[kind](folder))


@dataclass
class Still:
    """A frame in memory, for captioners that look at its picture alone."""

    name: str
    image: np.ndarray
    scene_id: str = "scene0000_00"

    def load_color(self) -> np.ndarray:
        return self.image
