"""The model folder: diffusers layout, safetensors only, every file's hash checked on loading.

    model_index.json        class, version, and the sha256 of every other file
    config.json             `ModelConfig`
    denoiser/ codec/ encoders/    config.json and model.safetensors each, where the part has any
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import InputError, one_of
from ..provenance import file_hash
from .model import ModelConfig, TalkingHeadModel

SHIPPED = Path(__file__).parent.parent / "models"
WEIGHTS = "model.safetensors"


def shipped() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(p.name for p in SHIPPED.iterdir() if (p / "model_index.json").is_file()) if SHIPPED.is_dir() else []


def find_model(name: str | Path) -> Path:
    """The folder of a shipped model's name, a folder, or a hub id (OWNER/NAME).

    Raises: InputError with the nearest name if there is none of the three.
    """
    path = Path(name)
    if path.is_dir():
        return path
    if str(name) in shipped():
        return SHIPPED / str(name)
    if str(name).count("/") == 1 and not str(name).startswith((".", "/", "~")):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        try:
            return Path(snapshot_download(str(name), allow_patterns=["*.json", "*.safetensors"]))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            raise InputError(
                f"model '{name}': no such folder, and the hub did not give it ({type(error).__name__}); "
                f"check the name and the network, or give a folder"
            ) from None
    if "/" in str(name):
        raise InputError(f"model '{name}': no such folder; give a model folder or one of: {', '.join(shipped())}")
    one_of(str(name), shipped(), "model")
    raise AssertionError


def save_model(model: TalkingHeadModel, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write a model folder; an existing one is replaced only when the new one is whole."""
    folder = Path(folder)
    work = folder.with_name(folder.name + ".part")
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    (work / "config.json").write_text(json.dumps(model.config.as_dict(), indent=2) + "\n")
    for name, part in model.parts():
        (work / name).mkdir()
        weights = {k: v.detach().contiguous().to(dtype) if dtype and v.is_floating_point() else v.detach().contiguous()
                   for k, v in part.state_dict().items()}
        if hasattr(part, "save_config"):
            part.save_config(work / name)
        if weights:
            save_file(weights, work / name / WEIGHTS, metadata={"format": "pt"})
    index = {
        "_class_name": ["actalker.pipeline", "TalkingHeadPipeline"],
        "format": 1,
        "files": {str(p.relative_to(work)): file_hash(p) for p in sorted(work.rglob("*")) if p.is_file()},
    }
    for extra in ("README.md",):
        if (folder / extra).is_file():
            shutil.copy2(folder / extra, work / extra)
    (work / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    if folder.exists():
        shutil.rmtree(folder)
    work.rename(folder)


def load_model(name: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> TalkingHeadModel:
    """Read a model folder; see `find_model` for names.

    Raises: InputError that names the file that is missing, changed or unreadable.
    """
    folder = find_model(name)
    check_files(folder)
    model = TalkingHeadModel(ModelConfig.from_dict(_json(folder / "config.json")))
    for part_name, part in model.parts():
        if not part.state_dict():
            continue
        path = folder / part_name / WEIGHTS
        try:
            weights = load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: not a readable safetensors file ({error}); fetch the model again") from None
        missing, unexpected = part.load_state_dict(weights, strict=False)
        if missing or unexpected:
            raise InputError(
                f"{path}: {len(missing)} weights missing and {len(unexpected)} unknown "
                f"(first: {(list(missing) + list(unexpected))[0]}); the folder is of another version"
            )
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)


def check_files(folder: Path) -> dict[str, str]:
    """The files of a model folder and their hashes, after comparing them with the index."""
    index = _json(folder / "model_index.json")
    files = index.get("files")
    if not isinstance(files, dict) or not files:
        raise InputError(f"{folder}: model_index.json lists no files; it is not a model folder of this program")
    for name, expected in files.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{folder}: model_index.json names '{name}', outside the folder; do not use this model")
        if not path.is_file():
            raise InputError(f"{path}: missing; the model folder is not whole, fetch it again")
        if file_hash(path) != expected:
            raise InputError(f"{path}: changed since the model was saved (hash differs); fetch it again")
    for path in sorted(folder.rglob("*")):
        known = path.is_dir() or str(path.relative_to(folder)) in files or path.suffix in (".md", ".png")
        if not known and path.name != "model_index.json":
            raise InputError(f"{path}: not part of the model; remove it from the folder")
    return files


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; give a model folder that holds it") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); fetch the model again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no settings; fetch the model again")
    return value
