"""Where a pretrained model's files come from: a local folder, or a name on the hub; safetensors weights alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from regionzoo.artifacts import sha256_bytes, sha256_file
from regionzoo.errors import UserError

WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model")
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Files of which a model has one."""

SMALL = ("*.json", "*.txt", "*.model")
"""Settings and tokenizers."""

WANTED = (*SMALL, "*.safetensors")
"""What is fetched from the hub: nothing that can hold code."""


@dataclass(frozen=True)
class ModelFiles:
    """A model's folder, whose weights are all there.

    name: name on the hub, with ``@revision`` if one was asked for, or the last part of a local folder: no path of this
    machine. weights: the safetensors files, in order.
    """

    name: str
    folder: Path
    weights: tuple[Path, ...]

    @cached_property
    def sha256(self) -> dict[str, str]:
        """``{weights file: hex SHA-256}``; reading a gigabyte takes a second or two, once."""
        return {path.name: sha256_file(path) for path in self.weights}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the names and hashes of the weights and of the settings' and tokenizer's files, wherever they lie."""
        others = {path for pattern in SMALL for path in self.folder.glob(pattern) if path.is_file()}
        hashes = self.sha256 | {path.name: sha256_file(path) for path in others}
        return sha256_bytes("".join(f"{name} {hashes[name]}\n" for name in sorted(hashes)).encode())


def find_model(spec: str, model_type: str, captioner: str) -> ModelFiles:
    """The files of ``spec``, a local folder or ``<owner>/<name>[@<revision>]`` on the hub, which is asked if need be.

    model_type: what ``config.json`` must say. captioner: named in messages. Raises :class:`UserError` if there is no
    such model, the hub cannot be reached, the model is another one, or its weights are pickled, incomplete or absent.
    """
    where = f"captioner {captioner}: model '{spec}'"
    folder = Path(spec).expanduser()
    if folder.is_dir():
        name = folder.resolve().name
    else:
        if not _may_be_on_hub(spec):
            raise UserError(f"{where}: no such folder, and no name like owner/model on the hub; set model to one")
        name, folder = spec, _fetch(spec, where)
    _check_type(folder, model_type, where)
    files = ModelFiles(name, folder, _weights(folder, where))
    _check_parts(folder, where)
    return files


def _may_be_on_hub(spec: str) -> bool:
    name, _, revision = spec.partition("@")
    return name.count("/") == 1 and name[0] not in "/.~" and name[-1] != "/" and (bool(revision) or "@" not in spec)


def _fetch(spec: str, where: str) -> Path:
    """The hub's copy of today, or what is cached of it if the hub cannot be reached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    name, _, revision = spec.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=list(WANTED)))
    except (RepositoryNotFoundError, HFValidationError):
        raise UserError(f"{where}: neither a folder here nor a model on the hub; correct the setting model") from None
    except Exception as error:  # the hub client raises its own, its HTTP library's and the system's errors
        cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
        patterns = " ".join(f"--include '{pattern}'" for pattern in WANTED)
        chosen = f" --revision {revision}" if revision else ""
        raise UserError(
            f"{where}: neither a folder here nor in the hub's cache, and the hub cannot be reached "
            f"({type(cause).__name__}); where there is a network run: hf download {name}{chosen} {patterns} "
            f"--local-dir {name.split('/')[1]} (older clients: huggingface-cli download); then set model to that folder"
        ) from None


def _check_type(folder: Path, model_type: str, where: str) -> None:
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text()).get("model_type")
    except FileNotFoundError:
        raise UserError(f"{where}: {path} is missing; give the folder of a model as the hub has it") from None
    except (ValueError, AttributeError):
        raise UserError(f"{where}: {path} is no valid JSON object; fetch the model again") from None
    if found != model_type:
        raise UserError(f"{where}: config.json says model type '{found}', this captioner needs '{model_type}'")


def _check_parts(folder: Path, where: str) -> None:
    """transformers makes up a tokenizer without words, or takes its own defaults, where files are absent."""
    for part, names in (("tokenizer", TOKENIZERS), ("preprocessor", PREPROCESSORS)):
        if not any((folder / name).is_file() for name in names):
            raise UserError(f"{where}: no {part} in {folder} ({' or '.join(names)}); fetch the whole model")


def _weights(folder: Path, where: str) -> tuple[Path, ...]:
    """Which files transformers will load, by its own rule: the single file, or else the shards of the index."""
    if (folder / WEIGHTS).is_file():
        return (folder / WEIGHTS,)
    if (folder / SHARDS).is_file():
        return _shards(folder, where)
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
    if pickled:
        raise UserError(
            f"{where}: its weights are pickled ({pickled[0]}), which can run any code and is refused; convert them to "
            f"{WEIGHTS} (docs/captioners.md has the command) or take a revision that has safetensors"
        )
    raise UserError(
        f"{where}: no {WEIGHTS} in {folder}; if its weights are pickled on the hub, convert them (docs/captioners.md)"
    )


def _shards(folder: Path, where: str) -> tuple[Path, ...]:
    path = folder / SHARDS
    try:
        names = sorted(set(json.loads(path.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{where}: {path} is no index of weights; fetch the model again") from None
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise UserError(f"{where}: {path} names '{name}', expected safetensors files beside it")
        if not (folder / name).is_file():
            raise UserError(f"{where}: {folder / name} is missing; fetch the model again")
    return tuple(folder / name for name in names)
