"""The target motion of performances under their gates, and the conditions of a network for them.

Letters: b batch, f frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...codecs.face_motion import FaceMotion
from ...control.conditions import Conditions, widen_regions
from ...errors import InputError
from ...heads.face_map import MOUTH, NUMBERS, face_map
from ...pipeline.model.model import TalkingHeadModel
from ...signals.signal import SIGNALS
from ..tokens import batch_tokens
from .performance import Performance


def number_regions(like: Tensor) -> dict[str, Tensor]:
    """Region -> (62,) in {0, 1}, whether each number belongs to it. like: gives device and dtype."""
    mouth = torch.tensor([float(name.startswith(MOUTH)) for name in NUMBERS]).to(like)
    whole = torch.ones_like(mouth)
    return {"mouth": mouth, "upper": 1 - mouth, "face": whole, "frame": whole}


def truth(batch: Performance) -> Tensor:
    """The target numbers (b, f, 62) of a batch under its gates, by the paper's rule of regions.

    Beside other signals each acts in its own region, alone on the whole face.
    """
    known, names = number_regions(batch.portrait), batch.names()
    gates = {name: batch.gates[:, k] for k, name in enumerate(names)}
    regions = {name: known[SIGNALS[name].region].expand(len(batch.portrait), 1, 1, -1) for name in names}
    whole = known["face"].expand(len(batch.portrait), 1, 1, -1)
    widened = widen_regions(regions, gates, whole)
    return batch.asked({name: region[:, 0, 0] for name, region in widened.items()})


def check_fits(model: TalkingHeadModel) -> None:
    """Check that a model's codec is of motion. Raises: InputError where it is not."""
    if not isinstance(model.codec, FaceMotion):
        raise InputError(
            f"these clips are the motion of heads, and the model's codec is {model.config.codec}; give a "
            "model of motion, or data of pictures such as ClipData"
        )


def conditions(model: TalkingHeadModel, batch: Performance) -> Conditions:
    """The conditions of a model's network for a batch, as for portraits with the expression `portrait`.

    Raises: InputError where the model and the batch do not fit.
    """
    check_fits(model)
    b, f = len(batch.portrait), batch.gates.shape[-1]
    gates, tokens = batch.by_signal(model.signals), batch_tokens(model, batch)
    laid = {name: torch.from_numpy(m).to(batch.portrait) for name, m in face_map().regions.items()}
    over = {name: mask.expand(b, f, -1, -1) for name, mask in laid.items()}
    regions = widen_regions({s: over[SIGNALS[s].region] for s in tokens}, gates, over["face"])
    places = torch.from_numpy(face_map().places).to(batch.portrait).expand(b, -1, -1, -1)
    reference = torch.cat([places, model.codec.lay(batch.portrait)], 1)  # as of a `DrawnPortrait`
    masks = {name: over[name] for name in ("face", "mouth")}
    return model.conditions(
        portrait=None,
        tokens=tokens,
        regions=regions,
        masks=masks,
        gates=gates,
        micro=batch.micro,
        reference=reference,
    )
