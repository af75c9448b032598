"""Find a model by its name: in the package, in a folder, or on the hub. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from typing_extensions import Unpack

from ...errors import InputError, one_of

FILES = ["*.json", "*.safetensors", "pipeline.py"]  # of a model on the hub
SHIPPED = Path(__file__).parents[2] / "models"


class HubOptions(TypedDict, total=False):
    """Options of `huggingface_hub.snapshot_download`."""

    revision: str | None
    cache_dir: str | Path | None
    local_files_only: bool
    force_download: bool
    token: str | bool | None


def shipped() -> list[str]:
    """Names of the models that come with the package."""
    return (
        sorted(p.name for p in SHIPPED.iterdir() if (p / "model_index.json").is_file())
        if SHIPPED.is_dir()
        else []
    )


def find_model(name: str | Path, subfolder: str | None = None, **hub: Unpack[HubOptions]) -> Path:
    """Return the folder of a model by a shipped model's name, a folder, or a hub id (OWNER/NAME).

    Args:
        subfolder: path of the model folder inside that folder or repository.
        hub: options of the download.
    Raises: InputError, with the nearest name, for what is none of the three.
    """
    path = _root(name, hub) / (subfolder or "")
    if not path.is_dir():
        raise InputError(f"model '{name}': has no folder '{subfolder}'; check the subfolder's name")
    return path


def _root(name: str | Path, hub: HubOptions) -> Path:
    """The folder, or the downloaded copy of the repository."""
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
    """Raise InputError, as `find_model` does, unless a name is a shipped model's, a folder or a hub id."""
    if Path(name).is_dir() or _is_hub_id(str(name)):
        return
    if "/" in str(name):
        raise InputError(
            f"model '{name}': no such folder; give a model folder or one of: {', '.join(shipped())}"
        )
    one_of(str(name), shipped(), "model")


def _is_hub_id(name: str) -> bool:
    """Whether a name has the form OWNER/NAME."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))
