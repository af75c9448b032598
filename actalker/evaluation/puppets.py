"""One held-out puppet under every setting of the gates: what the model makes of it, as numbers.

The portrait's face, the driving crops and the sound are the puppet's own: no face finder stands in
between. All else is the pipeline's way.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..codecs.codec import Sitter
from ..codecs.pixels import SquarePortrait
from ..control.gates import Gates
from ..data.puppets.clip import PuppetClip, PuppetConfig, puppet_clip, render_target
from ..data.puppets.motion import INDEX, compose
from ..errors import InputError
from ..faces.crop import Crop
from ..faces.face import Face
from ..media.sound import Sound
from ..pipeline.driver import Driver, Motion, expression_tokens
from ..pipeline.generate import generate
from ..pipeline.inputs import ClipInputs
from ..pipeline.model import TalkingHeadModel
from ..pipeline.portrait import Portrait
from ..regions.shapes import REGIONS
from .control import phrases_shown, psnr, region_change, region_error
from .reader import MotionReader
from .statistics import correlation, is_monotone

SIGNALS = ("audio", "expression", "text")
OWN = {"audio": "mouth", "expression": "upper", "text": "face"}
GATES = (0.25, 0.5, 0.75)
LONG = 34  # frames: room for a phase of a second
SETTINGS: dict[str, dict[str, float]] = {
    "open": {},
    "audio closed": {"audio": 0.0},
    "expression closed": {"expression": 0.0},
    "text closed": {"text": 0.0},
    "expression and text closed": {"expression": 0.0, "text": 0.0},
}
MOVES = 0.1  # of a channel's range: a part that moves less does nothing


def puppet_inputs(model: TalkingHeadModel, clip: PuppetClip) -> ClipInputs:
    """A puppet's performance as the pipeline's inputs, all gates open.

    Raises: InputError for a model of heads, which moves photographs.
    """
    if model.codec.moves:
        raise InputError(
            "this model moves heads in photographs, and drawn puppets have none: give --portraits and "
            "--puppets 0, or --preset targets"
        )
    size = clip.config.size
    picture = (clip.portrait * 255).round().byte().permute(1, 2, 0).numpy()
    masks = {name: shape([clip.points], (size, size)) for name, shape in REGIONS.items()}
    whole = Crop(0.0, 0.0, float(picture.shape[0]))
    face = Face(clip.points.box)
    seen_as = SquarePortrait(picture, masks, Sitter(picture, face, whole, size), model.codec)
    portrait = Portrait(seen_as, picture, picture, whole, face, "puppet", 0)
    crops, rest = clip.driver.permute(0, 2, 3, 1).numpy(), clip.rest.permute(1, 2, 0).numpy()
    seen = np.ones(len(crops), bool)
    return ClipInputs(
        model,
        portrait,
        Fraction(clip.config.fps),
        clip.config.frames,
        Gates.all_open(SIGNALS),
        {},
        Sound(clip.sound[None], 16000),
        clip.sound,
        Driver(lambda: Motion(expression_tokens(model, iter(crops), rest), seen)),
        clip.script,
    )


def video(inputs: ClipInputs, gates: dict[str, float], frames: int, seed: int, steps: int | None) -> Tensor:
    """The first `frames` of the clip under gates, (f, 3, s, s) in [0, 1], as 8 bit hold them."""
    inputs.gates = Gates({**dict.fromkeys(SIGNALS, 1.0), **gates})
    pieces = generate(inputs.model, inputs.conditions, frames, seed, steps)
    made = (torch.cat(list(pieces)).float() + 1) / 2
    return (made.clamp(0, 1) * 255).round() / 255


@torch.no_grad()
def measure(
    model: TalkingHeadModel, seed: int, index: int, frames: int = LONG, steps: int | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Everything that is measured on puppet `index` of `seed`; and the videos."""
    config = PuppetConfig(frames=frames, size=model.config.size, lead=False)
    clip = puppet_clip(seed, index, config)
    inputs = puppet_inputs(model, clip)
    truth = render_target(clip, dict.fromkeys(SIGNALS, 1.0))
    videos = {name: video(inputs, gates, frames, index, steps) for name, gates in SETTINGS.items()}
    masks = inputs.portrait.masks
    reader = MotionReader(clip.puppet, clip.points, seed=index)
    jaw, true_read = INDEX["jaw"], reader.read(truth)
    open_read = reader.read(videos["open"])
    true_motion = compose(clip.parts, dict.fromkeys(SIGNALS, 1.0))
    without = {"audio": 1.0, "expression": 0.0, "text": 0.0}
    fps = float(clip.config.fps)
    row: dict[str, Any] = {
        "index": index,
        "errors": {
            s: {r: region_error(v, truth, masks[r]) for r in ("mouth", "upper")} for s, v in videos.items()
        },
        "change": {
            s: {r: region_change(videos["open"], videos[f"{s} closed"], masks[r]) for r in ("mouth", "upper")}
            for s in SIGNALS
        },
        "psnr": psnr(videos["open"], truth),
        "still": psnr(clip.portrait[None].expand_as(truth), truth),
        "jaw_moves": float(true_motion[:, jaw].std()),
        "jaw": correlation(open_read[:, jaw], true_motion[:, jaw]),
        "jaw_true": correlation(true_read[:, jaw], true_motion[:, jaw]),
        "phrases": {
            "open": phrases_shown(reader.read(videos["expression closed"]), clip.script, fps),
            "closed": phrases_shown(reader.read(videos["expression and text closed"]), clip.script, fps),
            "all open": phrases_shown(open_read, clip.script, fps),
            "true open": phrases_shown(
                reader.read(render_target(clip, {**without, "text": 1.0})), clip.script, fps
            ),
            "true closed": phrases_shown(reader.read(render_target(clip, without)), clip.script, fps),
            "true all open": phrases_shown(true_read, clip.script, fps),
        },
    }
    window = min(frames, model.config.window)
    row["sweep"], row["monotone"] = {}, {}
    first = video(inputs, {}, window, index, steps)
    for signal in SIGNALS:
        part = clip.parts[signal][:window]
        if np.abs(part).max() < MOVES:
            continue
        closed = video(inputs, {signal: 0.0}, window, index, steps)
        opened = [*(video(inputs, {signal: g}, window, index, steps) for g in GATES), first]
        effects = [0.0, *(region_change(v, closed, masks[OWN[signal]]) for v in opened)]
        row["sweep"][signal], row["monotone"][signal] = effects, is_monotone(effects)
    still = puppet_clip(
        seed, index, PuppetConfig(frames=window, size=model.config.size, lead=False, still_head=True)
    )
    inputs, truth = puppet_inputs(model, still), render_target(still, dict.fromkeys(SIGNALS, 1.0))
    mouth = inputs.portrait.masks["mouth"]
    row["still_head"] = {
        name: region_error(video(inputs, SETTINGS[name], window, index, steps), truth, mouth)
        for name in ("open", "expression closed")
    }
    return row, {"truth": render_target(clip, dict.fromkeys(SIGNALS, 1.0)), **videos}
