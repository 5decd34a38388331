"""What changes the speed of a pretrained captioner: device, precision, images at once; and what to do out of memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from regionzoo.errors import UserError

if TYPE_CHECKING:
    import torch

    from regionzoo.captions.models.files import ModelFiles

Item = TypeVar("Item")
Result = TypeVar("Result")

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "float16"]

MEMORY_WORDS = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")
"""In the messages of errors that torch raises without the type of its own for memory."""


@dataclass(frozen=True)
class ModelRuntime:
    """device: "auto" takes a GPU if there is one. precision: "auto" is float16 on a GPU and float32 on a CPU.

    batch_size: images in front of a model at once; halved, and kept so, when the memory does not hold them.
    """

    device: Device = "auto"
    precision: Precision = "auto"
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"batch_size is {self.batch_size}, expected 1 or more")

    def torch_device(self) -> torch.device:
        """:class:`UserError` if a GPU is asked for and there is none."""
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("device is cuda, but torch finds no GPU; set device to auto or cpu")
        wanted = "cuda" if self.device == "auto" and torch.cuda.is_available() else self.device
        return torch.device("cpu" if wanted == "auto" else wanted)

    def float_name(self) -> Literal["float32", "float16"]:
        """The precision that is used; another one may change a caption here and there."""
        if self.precision == "auto":
            return "float16" if self.torch_device().type == "cuda" else "float32"
        return self.precision


class Batches:
    """Run a model over items, some at once; fewer from then on if they do not fit into memory."""

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, call: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item]) -> list[Result]:
        """``call`` on slices of ``items``, its answers joined: one for each item, in order.

        :class:`UserError` if a single item does not fit.
        """
        done: list[Result] = []
        while len(done) < len(items):
            part = items[len(done) : len(done) + self.size]
            answers = _answers_or_none(call, part)
            if answers is not None:
                done.extend(answers)
                continue
            # Outside of the handler: the exception held the tensors that filled the memory.
            _free_memory()
            if len(part) == 1:
                raise UserError(
                    "out of memory with one image; set precision to float16, take a smaller model, or free the device "
                    "of other work"
                )
            self.size = len(part) // 2
        return done


def _answers_or_none(
    call: Callable[[Sequence[Item]], Sequence[Result]], part: Sequence[Item]
) -> Sequence[Result] | None:
    try:
        return call(part)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU or of the machine is full."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in MEMORY_WORDS)


def _free_memory() -> None:
    import gc

    import torch

    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def load_model(model_class: Any, files: ModelFiles, runtime: ModelRuntime, unused: tuple[str, ...] = ()) -> Any:
    """A model of transformers in evaluation mode on the device, every parameter from the files.

    unused: beginnings of the names of parameters that may be missing, because they change no caption.
    :class:`UserError` if a file is damaged, or a parameter is missing or of another shape.
    """
    import torch

    try:
        model, found = model_class.from_pretrained(
            files.folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=getattr(torch, runtime.float_name()),
            output_loading_info=True,
        )
        model = model.to(runtime.torch_device()).eval()
    except Exception as error:  # safetensors', transformers' and torch's own errors
        if is_out_of_memory(error):
            raise UserError(
                f"{files.folder}: the model does not fit into memory; take a smaller one, or precision float16"
            ) from None
        raise UserError(f"{files.folder}: the model cannot be loaded ({one_line(error)}); fetch it again") from None
    missing = sorted(str(key) for part in ("missing_keys", "mismatched_keys") for key in found[part])
    missing = [key for key in missing if not key.startswith(unused)]
    if missing:
        raise UserError(
            f"{files.folder}: weights of another model; parameters missing or of another shape: {len(missing)} "
            f"(first: {missing[0]})"
        )
    return model


def load_part(part_class: Any, files: ModelFiles) -> Any:
    """A processor or tokenizer of transformers from the files; :class:`UserError` if they are absent or damaged."""
    try:
        return part_class.from_pretrained(files.folder, local_files_only=True)
    except Exception as error:  # as above
        raise UserError(
            f"{files.folder}: no usable {part_class.__name__} ({one_line(error)}); the folder needs the files of "
            "the model's tokenizer and processor too"
        ) from None


def one_line(error: BaseException) -> str:
    """The first line of an error's message, or its type."""
    return next(iter(str(error).strip().splitlines()), "")[:200] or type(error).__name__
