"""Settings that there are not any more, in folders and checkpoints of older versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError

IDLE = {"centre": "zero", "flow_scale": 0.0, "detail_width": 0}  # at these values they did nothing
GONE = (*IDLE, "stride")  # the stride did nothing by itself


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
