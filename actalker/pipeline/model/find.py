"""Where a model is: those that come with the package, folders, and the hub. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import InputError, one_of

FILES = ["*.json", "*.safetensors", "pipeline.py"]  # of a model on the hub
SHIPPED = Path(__file__).parents[2] / "models"


def shipped() -> list[str]:
    """Names of the models that come with the package."""
    return (
        sorted(p.name for p in SHIPPED.iterdir() if (p / "model_index.json").is_file())
        if SHIPPED.is_dir()
        else []
    )


def find_model(name: str | Path, subfolder: str | None = None, **hub: Any) -> Path:
    """The folder of a shipped model's name, a folder, or a hub id (OWNER/NAME).

    Args:
        subfolder: where in it the model folder lies.
        hub: options of `huggingface_hub.snapshot_download`: revision, cache_dir, local_files_only, ...
    Raises: InputError with the nearest name if there is none of the three.
    """
    path = _found(name, hub) / (subfolder or "")
    if not path.is_dir():
        raise InputError(f"model '{name}': has no folder '{subfolder}'; check the subfolder's name")
    return path


def _found(name: str | Path, hub: dict[str, Any]) -> Path:
    path = Path(name)
    if path.is_dir():
        return path
    if str(name) in shipped():
        return SHIPPED / str(name)
    if _is_hub_id(str(name)):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        try:
            return Path(snapshot_download(str(name), allow_patterns=FILES, **hub))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            at = f" at revision '{hub['revision']}'" if hub.get("revision") else ""
            raise InputError(
                f"model '{name}': no such folder, and the hub did not give it{at} ({type(error).__name__}); "
                f"check the name and the network, or give a folder"
            ) from None
    check_name(name)
    raise AssertionError


def check_name(name: str | Path) -> None:
    """Raise InputError, as `find_model` does, for what is no shipped model's name, folder or hub id."""
    if Path(name).is_dir() or _is_hub_id(str(name)):
        return
    if "/" in str(name):
        raise InputError(
            f"model '{name}': no such folder; give a model folder or one of: {', '.join(shipped())}"
        )
    one_of(str(name), shipped(), "model")


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))
