"""Settings of networks as older versions wrote them, in model folders, checkpoints and configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError

IDLE = {"centre": "zero", "flow_scale": 0.0, "detail_width": 0}  # at these values they did nothing
GONE = (*IDLE, "stride")  # the stride did nothing by itself
BRANCH = {  # what now stands in `branch`, by its older name
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


def without_gone(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a network, or around one, without those of older versions that did nothing.

    Raises: InputError where one of them did something: such models warped the portrait's pixels.
    """
    for name, idle in IDLE.items():
        if settings.get(name, idle) != idle:
            raise InputError(
                f"model setting {name} {settings[name]}: the model is of an older version, which warped the "
                "portrait's pixels; use it with that version, or train another"
            )
    return {name: value for name, value in settings.items() if name not in GONE}


def current(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a network under the names of today.

    Raises: InputError as `without_gone`.
    """
    plain = without_gone(settings)
    branch = {new: plain.pop(old) for old, new in BRANCH.items() if old in plain}
    if branch:
        plain["branch"] = {**(plain.get("branch") or {}), **branch}
    if "location_masks" in plain:
        plain["guided"] = bool(plain.pop("location_masks"))
    return plain
