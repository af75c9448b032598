"""Model folders: written and read in diffusers' layout, safetensors only, with a hash of every file.

model_index.json        class, version, and the sha256 of every other file
config.json             `ModelConfig`
pipeline.py             names the class to diffusers; nothing here runs it
denoiser/ codec/ encoders/    config.json and weights each, where the part has any (`parts`), or references to
                        weights elsewhere (`references`)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, __version__

from ...errors import InputError, one_of
from ...provenance import file_hash
from ...signals.signal import IDENTITY, SIGNALS
from ...weights import fill, misfit, undrawn
from .find import find_model
from .model import ModelConfig, TalkingHeadModel
from .parts import STEMS, read_weights, write_weights
from .references import refer, write_references

COMPONENT = ("actalker.pipeline.model", "TalkingHeadModel")  # by which diffusers knows a pipeline's one part
CONFIG, INDEX, ENTRY = "config.json", "model_index.json", "pipeline.py"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


ENTRY_TEXT = '''"""The class by which diffusers opens this folder, where trust_remote_code=True."""

from actalker.pipeline import TalkingHeadPipeline

__all__ = ["TalkingHeadPipeline"]
'''


def save_model(
    model: TalkingHeadModel,
    folder: Path,
    dtype: torch.dtype | None = None,
    variant: str | None = None,
    shard: int | str | None = None,
    references: Mapping[str, str | Path] | None = None,
) -> None:
    """Write a model folder; an existing one is replaced only when the new one is whole.

    Args:
        dtype: of floating-point weights in the files; None: as they are.
        variant: word in the names of files of weights, such as fp16.
        shard: largest file of weights, bytes or `5GB`; None: one file a part.
        references: part, or place in one (`codec`, `encoders/text.t5`) -> file or folder of weights that the
            model folder refers to instead of holding a copy; a relative path is written as seen from the
            model folder.
    Raises: InputError for a folder that cannot be written, and for references to other weights than the
        model's.
    """
    folder = Path(folder).resolve()
    if folder.exists() and not (folder / INDEX).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder}: exists and is not a model folder; it would be replaced, give another name"
        )
    work = folder.with_name(folder.name + ".part")
    try:
        _write_folder(
            model, folder, work, dtype=dtype, variant=variant, shard=shard, references=references or {}
        )
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror or error}); give another folder"
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_folder(
    model: TalkingHeadModel,
    folder: Path,
    work: Path,
    dtype: torch.dtype | None,
    variant: str | None,
    shard: int | str | None,
    references: Mapping[str, str | Path],
) -> None:
    """Write a model folder as `work`, then put it in the place of `folder`."""
    for place in references:
        one_of(place.partition("/")[0], STEMS, "part of a model")
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    (work / CONFIG).write_text(json.dumps(model.config.as_dict(), indent=2) + "\n")
    for name, part in model.parts():
        (work / name).mkdir()
        weights = {
            key: value.to(dtype if dtype and value.is_floating_point() else value.dtype)
            for key, value in part.state_dict().items()
        }
        if isinstance(part, ConfigMixin):
            part.save_config(work / name)
        entries = []
        for place, source in references.items():
            if place.partition("/")[0] == name:
                weights, more = refer(weights, source, place.partition("/")[2], folder)
                entries += more
        if entries:
            write_references(entries, work / name)
        if weights:
            write_weights(weights, work / name, variant, shard)
    write_index(work)
    if (folder / "README.md").is_file():  # the model card is written by hand
        shutil.copy2(folder / "README.md", work / "README.md")
    if folder.exists():
        shutil.rmtree(folder)
    work.rename(folder)


def write_index(folder: Path) -> None:
    """Write model_index.json and pipeline.py: the classes that read a folder, and the hash of every file."""
    (folder / ENTRY).write_text(ENTRY_TEXT)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / INDEX)
    index = {
        "_class_name": [Path(ENTRY).stem, "TalkingHeadPipeline"],
        "_diffusers_version": __version__,
        "model": list(COMPONENT),
        "files": {p.relative_to(folder).as_posix(): file_hash(p) for p in files},
    }
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def read_settings(name: str | Path) -> ModelConfig:
    """Return the settings of a model; see `find_model` for names. Raises: InputError as `load_model` does."""
    return ModelConfig.from_dict(_json(find_model(name) / CONFIG))


def load_model(
    name: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    variant: str | None = None,
) -> TalkingHeadModel:
    """Read a model, ready to run: in evaluation mode, without gradients.

    Args:
        name: see `find_model`.
        device, dtype: of the weights.
        variant: word in the names of files of weights, as `save_model` writes them.
    Raises: InputError that names the file that is missing, changed or unreadable.
    """
    folder = find_model(name)
    files = check_files(folder)
    config = ModelConfig.from_dict(_json(folder / CONFIG))
    # __init__ of a user's class may read weights that it has drawn
    users = any("class_path" in (config.encoder(name) or {}) for name in (*SIGNALS, IDENTITY))
    try:
        model = TalkingHeadModel(config) if users else undrawn(partial(TalkingHeadModel, config))
    except InputError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        IndexError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        why = " ".join(str(error).split())[:160]
        raise InputError(
            f"{folder / CONFIG}: no model can be built from it ({why}); fetch the model again"
        ) from None
    for part_name, part in model.parts():
        if not part.state_dict():
            continue
        weights = read_weights(folder / part_name, files, variant)
        if wrong := misfit(part.state_dict(), weights):
            raise InputError(
                f"{folder / part_name}: {len(wrong.names)} weights are missing, unknown or of another shape "
                f"(first {wrong.names[0]}); the folder is of another version, fetch it again"
            )
        fill(part, weights, folder / part_name, dtype)
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)


def check_files(folder: Path) -> dict[str, str]:
    """Compare the files of a model folder with its index, and return their hashes by name.

    Raises: InputError that names the file that is missing, changed, pickled or outside the folder.
    """
    files = _json(folder / INDEX).get("files")
    if not isinstance(files, dict) or CONFIG not in files:
        raise InputError(
            f"{folder}: {INDEX} does not list {CONFIG}; it is not a model folder of this program"
        )
    for name, expected in files.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{folder}: {INDEX} names '{name}', outside the folder; do not use this model")
        if path.suffix in PICKLED:
            raise InputError(
                f"{path}: pickled weights can run programs and are not read; save them as safetensors"
            )
        if not path.is_file():
            raise InputError(f"{path}: missing; the model folder is not whole, fetch it again")
        if file_hash(path) != expected:
            raise InputError(f"{path}: changed since the model was saved (hash differs); fetch it again")
    return files


def _json(path: Path) -> dict[str, Any]:
    """The settings in a file. Raises: InputError where it cannot be read, or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; give a model folder that holds it") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); fetch the model again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no settings; fetch the model again")
    return value
