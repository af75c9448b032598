"""Read the settings of networks that older versions wrote to model folders, checkpoints and configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ..errors import InputError

Value = TypeVar("Value")
# values at which settings that are gone had no effect
IDLE: dict[str, object] = {"centre": "zero", "flow_scale": 0.0, "detail_width": 0}
GONE = (*IDLE, "stride")  # the stride had no effect by itself
BRANCH = {  # older name -> name in `BranchConfig`
    "expand": "expand",
    "state_size": "state_size",
    "scan_scope": "scan_scope",
    "condition_layout": "condition_layout",
    "scan_form": "form",
    "head_size": "head_size",
    "conv": "conv",
    "branch_identity": "identity",
    "branch_gated": "gated",
}


def without_gone(settings: Mapping[str, Value]) -> dict[str, Value]:
    """Return settings without those that were removed since and had no effect.

    Raises: InputError where one of them had an effect: such models warped the portrait's pixels.
    """
    for name, idle in IDLE.items():
        if settings.get(name, idle) != idle:
            raise InputError(
                f"model setting {name} {settings[name]}: the model is of an older version, which warped the "
                "portrait's pixels; use it with that version, or train another"
            )
    return {name: value for name, value in settings.items() if name not in GONE}


def current(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a network under today's names.

    Raises: InputError as `without_gone` does.
    """
    plain = without_gone(settings)
    branch = {new: plain.pop(old) for old, new in BRANCH.items() if old in plain}
    if branch:
        plain["branch"] = {**(plain.get("branch") or {}), **branch}
    if "location_masks" in plain:
        plain["guided"] = bool(plain.pop("location_masks"))
    return plain
