"""Reads weights from files of safetensors, whole or in shards, and of torch.save; fills modules with them.

No program in a file is run. A module is built without drawing its weights at random and takes those of a file
as they are; it is refused if one of its tensors has no value in the end.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .errors import InputError
from .provenance import check_readable

ZIP = b"PK\x03\x04"  # what torch's newer format begins with; only such a file can stay on the disk
REASONS = {  # patterns of torch's messages, which advise to run the program: what we say instead
    r"GLOBAL ([\w.]+)|global ([\w.]+) was not an allowed": "it holds the program {}, which is not run",
    r"TorchScript": "it is TorchScript",
    r"corrupt|EOF|central directory|Ran out of input|Invalid argument": "it is cut off or damaged",
    r"Weights only load failed": "it is not in torch's format",
}
FETCH = "fetch the model again"
COUNTER = "num_batches_tracked"  # of batch norms: of no use once trained, and absent from old files
DRAWS = (Tensor.normal_, Tensor.uniform_)
SHOWN = 3  # how many of many weights a message names
Weights = dict[str, Tensor]
M = TypeVar("M", bound=nn.Module)


def read_torch(path: str | Path, what: str = "file of weights", hint: str = "check the file") -> Any:
    """The content of a file of torch.save: tensors, on the CPU, and plain containers.

    Tensors of the newer format stay on the disk until they are used.

    Args:
        what: the kind of file that is expected, for messages.
        hint: what the user can do, for messages.
    Raises: InputError for other files, and for those that need a program to be run.
    """
    path = check_readable(path, what)
    with open(path, "rb") as file:
        zipped = file.read(len(ZIP)) == ZIP
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are refused right after
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a file that is no weights can make the reader raise anything
        raise InputError(f"{path}: is no {what} ({_reason(str(error))}); {hint}") from None


def _reason(message: str) -> str:
    """Why a file was not read, from torch's message."""
    line = " ".join(message.split())
    for words, reason in REASONS.items():
        if match := re.search(words, line):
            return reason.format(next((name for name in match.groups() if name), ""))
    return line[:100] or "it is cut off or damaged"


def read_safetensors(path: str | Path, hint: str = FETCH) -> Weights:
    """The tensors of a safetensors file by name, on the CPU; they stay on the disk until they are used.

    hint: what the user can do, for messages. Raises: InputError for other files.
    """
    path = check_readable(path, "file of weights")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error}); {hint}") from None


def shards(index: Path) -> list[Path]:
    """The paths of the shards that an index (`*.safetensors.index.json`) names; they lie beside it.

    Raises: InputError for an index that cannot be read, or that names a file in another folder.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        paths = [index.parent / str(name) for name in names]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{index}: cannot be read ({error}); {FETCH}") from None
    for path in paths:
        if path.parent != index.parent or ".." in path.parts[-1:]:
            raise InputError(f"{index}: names '{path.name}' outside its folder; do not use this model")
    return paths


def find_weights(folder: Path, stems: Sequence[str], variants: Sequence[str] = ("", ".fp16")) -> list[Path]:
    """The safetensors files in a folder of diffusers or transformers, one file or its shards.

    stems: names without ending, such as `diffusion_pytorch_model`, best first.
    variants: parts of names behind the stem, best first.
    Raises: InputError that names the usual file where there is none.
    """
    for variant in variants:
        for stem in stems:
            whole, index = folder / f"{stem}{variant}.safetensors", f"{stem}.safetensors.index{variant}.json"
            if whole.is_file():
                return [whole]
            if (folder / index).is_file():
                return shards(folder / index)
    return [check_readable(folder / f"{stems[0]}{variants[0]}.safetensors", "file of weights")]


def read_tensors(path: str | Path) -> Weights:
    """The tensors of a safetensors file, or of a file of torch.save, by name.

    In the latter they may stand under `state_dict`; DataParallel's `module.` is removed from their names.
    Raises: InputError for files with another content.
    """
    if Path(path).suffix == ".safetensors":
        return read_safetensors(path, "check the file")
    content = read_torch(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path}: holds no weights by name")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


@dataclass(frozen=True)
class Misfit:
    """Where weights and a module differ.

    wrong: names of the module's weights that are missing or of another shape. unknown: names of weights that
    the module does not have. lines: a line on each of them.
    """

    wrong: list[str]
    unknown: list[str]
    lines: list[str]

    @property
    def names(self) -> list[str]:
        """The names of all weights that differ."""
        return [*self.wrong, *self.unknown]

    def __str__(self) -> str:
        """The first differences in one line, with shapes."""
        more = f" and {len(self.lines) - SHOWN} more" if len(self.lines) > SHOWN else ""
        return f"{'; '.join(self.lines[:SHOWN])}{more}"


def misfit(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Misfit | None:
    """Where weights do not fit a module; None: nowhere.

    expected: the module's `state_dict`, which may be on the meta device.
    """
    missing = [name for name in expected if name not in weights]
    unknown = [name for name in weights if name not in expected]
    shaped = [name for name in expected if name in weights and weights[name].shape != expected[name].shape]
    if not (missing or unknown or shaped):
        return None
    lines = [f"{name} is missing" for name in missing] + [f"{name} has no place" for name in unknown]
    lines += [f"{name} is {tuple(weights[name].shape)}, not {tuple(expected[name].shape)}" for name in shaped]
    absent = {*missing, *shaped}
    return Misfit([name for name in expected if name in absent], unknown, lines)


def with_counters(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Weights:
    """The weights, with zeros for counters of batch norms that a module expects and they lack."""
    zeros = {name: torch.zeros((), dtype=torch.long) for name in expected if name.endswith(COUNTER)}
    return {**{name: value for name, value in zeros.items() if name not in weights}, **weights}


class _NoDraws(TorchFunctionMode):
    """Leaves out `torch.nn.init` and random numbers on the meta device, which compute nothing there but take
    time and load torch's compiler."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        draws = func in DRAWS or getattr(func, "__module__", None) == nn.init.__name__
        tensor = args[0] if args else (kwargs or {}).get("tensor")
        if draws and isinstance(tensor, Tensor) and tensor.is_meta:
            return tensor
        return func(*args, **(kwargs or {}))


def undrawn(build: Callable[[], M]) -> M:
    """Build a module whose parameters have no values yet: they are on the meta device, and none is drawn.

    Its buffers have values, since `__init__` computes some that no file has.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False), _NoDraws():
        return build()


def fill(
    module: nn.Module, weights: Mapping[str, Tensor], where: str | Path, dtype: torch.dtype | None = None
) -> None:
    """Give a module its weights, copied once, so that the file may change afterwards.

    Args:
        weights: they must fit, as `misfit` says.
        where: the file or folder, with which messages begin.
        dtype: of floating-point weights; None: they keep theirs.
    Raises: InputError if a tensor of the module has no value even then.
    """
    dtypes = {name: value.dtype for name, value in module.state_dict().items()}
    copies = {}
    for name, value in weights.items():
        kind = (dtype or value.dtype) if value.is_floating_point() else dtypes.get(name, value.dtype)
        copies[name] = value.to(kind, copy=True)
    module.load_state_dict(copies, assign=True)
    left = [name for name, value in tensors_of(module) if value.is_meta]
    if left:
        raise InputError(
            f"{where}: {len(left)} tensors of {type(module).__name__} have no value after loading, the first "
            f"is {left[0]}; register it as a buffer or a parameter that is saved"
        )


def tensors_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a module by name: parameters, buffers and plain attributes."""
    yield from module.named_parameters()
    yield from module.named_buffers()
    for place, part in module.named_modules():
        for name, value in vars(part).items():
            if isinstance(value, Tensor):
                yield f"{place}.{name}".lstrip("."), value


def load_frozen(build: Callable[[], M], weights: Mapping[str, Tensor], where: str | Path) -> M:
    """Build a module in float32 with these weights, in evaluation mode and without gradients.

    where: the file or folder, with which messages begin. Raises: InputError for weights that do not fit.
    """
    module = undrawn(build)
    expected = module.state_dict()
    weights = with_counters(expected, {name: w for name, w in weights.items() if not name.endswith(COUNTER)})
    if wrong := misfit(expected, weights):
        raise InputError(
            f"{where}: {len(wrong.names)} weights are missing, unknown or of another shape, the first is "
            f"{wrong.names[0]}; give the weights of {type(module).__name__}'s network"
        )
    fill(module, weights, where, torch.float32)
    return module.eval().requires_grad_(False)
