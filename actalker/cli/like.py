"""`--like clip.json`: takes the settings of an earlier clip from its sidecar."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from .. import __version__
from ..errors import InputError
from ..provenance import check_readable, file_hash
from .options import pairs

log = logging.getLogger("actalker")
ANEW = ("out", "preview", "motion_out", "overwrite", "quiet", "config", "like")  # never from the sidecar
JOINED = ("gate", "region", "guidance")  # one value for each signal: those of other signals stay


class Like:
    """Read the sidecar of a clip. Raises: InputError for files that are no sidecar."""

    def __init__(self, path: str) -> None:
        self.path = check_readable(path, "sidecar")
        try:
            self.record = json.loads(Path(path).read_text(encoding="utf-8"))
            self.settings = dict(self.record["settings"])
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"--like {path}: is no sidecar; give the .json that lies beside a clip of actalker infer"
            ) from None

    def set_defaults(self, parser: ArgumentParser) -> None:
        """Make the sidecar's settings the options' defaults.

        Raises: InputError for settings without an option.
        """
        known = {action.dest for action in parser._actions}
        lost = sorted(name for name in self.settings if name not in known and name not in ANEW)
        if lost:
            raise InputError(
                f"--like {self.path}: {', '.join(lost)} is no option any more; the clip is of another version"
            )
        values = {k: v for k, v in self.settings.items() if k not in (*ANEW, *JOINED) and v is not None}
        parser.set_defaults(values)

    def joined(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of `settings`, completed from the sidecar for each signal.

        For the options gate, region and guidance, which hold one NAME=VALUE for each signal, values in
        `settings` win; the sidecar gives those of the signals that `settings` does not name.
        """
        out = dict(settings)
        for option in JOINED:
            before, now = (
                pairs(each.get(option), option, "NAME=VALUE") for each in (self.settings, settings)
            )
            both = {**before, **now}
            out[option] = [f"{name}={value}" for name, value in both.items()] or None
        return out

    def check(self, settings: Mapping[str, Any], model_files: Mapping[str, str]) -> None:
        """Raise InputError where an input or the model is not the one from which the clip was made.

        Another version of actalker is logged, since it may draw other frames.
        model_files: the hashes of the model's files, by name.
        """
        regions = pairs(settings.get("region"), "region", "NAME=REGION")
        now = {**settings, **{f"region {name}": region for name, region in regions.items()}}
        for name, each in self.record.get("inputs", {}).items():
            path = Path(each["file"])
            if str(now.get(name)) != str(path):
                continue  # another file, or the one inside the package
            if not path.is_file() or file_hash(path) != each["hash"]:
                what = "is not what it was when" if path.is_file() else "is not there any more;"
                raise InputError(
                    f"--like {self.path}: {path} {what} the clip was made; give --{name.split()[0]} FILE"
                )
        made_by = self.record.get("versions", {}).get("actalker")
        if made_by != __version__:
            log.warning("--like %s: was made by actalker %s, this is %s", self.path, made_by, __version__)
        model = self.record.get("model", {})
        if settings["model"] == model.get("name") and dict(model_files) != model.get("files"):
            raise InputError(
                f"--like {self.path}: the clip was made by another {model['name']}; give --model FOLDER, or "
                f"leave out --like"
            )


def like_of(argv: Sequence[str]) -> str | None:
    """Return the path after `--like` in the words of a command line, before it is parsed; None without it."""
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if word == "--like" or word.startswith("--like="):
            return word.partition("=")[2] or following
    return None
