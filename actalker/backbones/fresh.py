"""Initial weights for the parts of a network that a model folder does not hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch
from accelerate.utils import offload_weight, save_offload_index, set_module_tensor_to_device
from diffusers import ModelMixin

Device = str | int | torch.device

_additions_alone: ContextVar[bool] = ContextVar("additions_alone", default=False)


@contextmanager
def additions_alone() -> Iterator[None]:
    """Put the base of every network that is built inside this context on the meta device.

    Only the additions then get real initial weights. Drawing those of the base takes long, and they would be
    thrown away.
    """
    token = _additions_alone.set(True)
    try:
        yield
    finally:
        _additions_alone.reset(token)


def base_place() -> AbstractContextManager[object]:
    """Return the place to build a network's base: the meta device inside `additions_alone`."""
    return torch.device("meta") if _additions_alone.get() else nullcontext()


def fresh_weights(network: ModelMixin, whole: bool) -> dict[str, torch.Tensor]:
    """Draw the weights of a new network of this class and config, by name.

    They are drawn with torch's seed (`torch.initial_seed()`), and the global random state is left as it was.
    whole: whether to draw the base's weights too; else they lie on the meta device.
    """
    with torch.random.fork_rng(devices=[]), nullcontext() if whole else additions_alone():
        torch.manual_seed(torch.initial_seed())
        new = type(network).from_config(network.config)
    return new.state_dict()


def begin_fresh(
    network: ModelMixin, keys: Set[str], whole: bool, places: Mapping[str, Device], folder: str | None
) -> None:
    """Fill the weights under `keys`, which diffusers' loading left empty, with initial ones.

    Args:
        network: as diffusers loaded it.
        keys: names of the weights to fill.
        whole: whether weights of the base are among them.
        places: diffusers' device map, module -> device or `disk`; empty without one.
        folder: where to write the weights whose place is `disk`.
    """
    fresh, weights = fresh_weights(network, whole), network.state_dict()
    index: dict[str, object] = {}
    for key in keys:
        value = fresh[key].to(weights[key].dtype)
        place = place_of(key, places) if weights[key].is_meta else weights[key].device
        if place == "disk":
            offload_weight(value, key, folder, index)
        else:
            set_module_tensor_to_device(network, key, place, value=value)
    save_offload_index(index, folder)


def place_of(key: str, places: Mapping[str, Device]) -> Device:
    """Return the device of a weight by a device map: that of the innermost module that the map names."""
    owners = [name for name in places if not name or key == name or key.startswith(name + ".")]
    return places[max(owners, key=len)] if owners else "cpu"
