"""Weights that a folder of a network does not hold, as a new network has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from accelerate.utils import offload_weight, save_offload_index, set_module_tensor_to_device
from torch import nn

_additions_alone: ContextVar[bool] = ContextVar("additions_alone", default=False)


@contextmanager
def additions_alone() -> Iterator[None]:
    """Inside, the base of a new network has no memory: half of one need not be drawn to be thrown away."""
    token = _additions_alone.set(True)
    try:
        yield
    finally:
        _additions_alone.reset(token)


def base_place() -> AbstractContextManager[Any]:
    """Where a new network's base is built: on the meta device within `additions_alone`."""
    return torch.device("meta") if _additions_alone.get() else nullcontext()


def fresh_weights(network: Any, whole: bool) -> dict[str, torch.Tensor]:
    """The weights of a new network of this class and config, drawn with torch's seed; the global random
    numbers go on as if nothing had been drawn. whole: the base's too."""
    with torch.random.fork_rng(devices=[]), nullcontext() if whole else additions_alone():
        torch.manual_seed(torch.initial_seed())
        new = type(network).from_config(network.config)
    return new.state_dict()


def begin_fresh(network: nn.Module, keys: Set[str], whole: bool, options: Mapping[str, Any]) -> None:
    """Give the weights under `keys`, which diffusers' loading left empty, their beginning.

    whole: whether weights of the base are among them. options: of diffusers' `_load_pretrained_model`, of
    which device_map says where weights lie and offload_folder where those on the disk do.
    """
    fresh, held = fresh_weights(network, whole), network.state_dict()
    places, folder = options.get("device_map") or {}, options.get("offload_folder")
    index: dict[str, Any] = {}
    for key in keys:
        value = fresh[key].to(held[key].dtype)
        place = place_of(key, places) if held[key].is_meta else held[key].device
        if place == "disk":
            offload_weight(value, key, folder, index)
        else:
            set_module_tensor_to_device(network, key, place, value=value)
    save_offload_index(index, folder)


def place_of(key: str, places: Mapping[str, Any]) -> Any:
    """The device of a weight in a device map of modules: that of the innermost one named."""
    owners = [name for name in places if not name or key == name or key.startswith(name + ".")]
    return places[max(owners, key=len)] if owners else "cpu"
