"""What a step learns from speech: articulators, closures, and which phone is said.

Letters: b batch, l outputs of the encoder, p phones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.speech.dataset import Spoken
from ..errors import InputError
from ..heads.articulation import ARTICULATORS
from ..pipeline.model.model import TalkingHeadModel
from ..signals.speech import CLOSURES, SpeechEncoder, bounded

WEIGHTS = {"lips": 1.5, "width": 0.7, "tongue": 0.6}  # of squared errors; 1 for the others, and for this:
APERTURE = 2.0
CLOSED, SAID = 0.15, 0.2  # weights of what closures and phones cost


def aperture(articulators: Tensor) -> Tensor:
    """Height of the opening between the lips, (...), of articulators (..., 9)."""
    lips, close, tuck = (articulators[..., ARTICULATORS.index(n)] for n in ("lips", "close", "tuck"))
    return lips * (1 - close) * (1 - 0.75 * tuck)


def speech_loss(model: TalkingHeadModel, batch: Spoken) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a step of speech, and what it logs by name.

    Raises: InputError for a model without an encoder that reads articulators from speech.
    """
    raw, phones = speech_encoder(model).listen(batch.features)
    predicted, truth = bounded(raw.float()), batch.articulators
    weights = torch.tensor([WEIGHTS.get(name, 1.0) for name in ARTICULATORS]).to(predicted)
    shapes = (weights * (predicted - truth).square()).mean()
    opening = (aperture(predicted) - aperture(truth)).square().mean()
    closures = list(CLOSURES)
    closed = F.binary_cross_entropy_with_logits(raw.float()[..., closures], truth[..., closures].clamp(0, 1))
    said = F.cross_entropy(phones.float().flatten(0, 1), batch.phones.flatten(), label_smoothing=0.1)
    total = shapes + APERTURE * opening / len(ARTICULATORS) + CLOSED * closed + SAID * said
    right = (phones.argmax(-1) == batch.phones).float().mean()
    values = {"loss": total, "articulators": shapes, "opening": opening, "closures": closed, "phones": right}
    return total, values


def speech_encoder(model: TalkingHeadModel) -> SpeechEncoder:
    """The encoder that learns from speech alone. Raises: InputError for a model without one."""
    for encoder in model.encoders.values():
        if isinstance(encoder, SpeechEncoder):
            return encoder
    raise InputError("model.audio: learns nothing from speech alone; give it kind: speech")


def heard(model: TalkingHeadModel, batch: Spoken) -> dict[str, Tensor]:
    """Shares of the variance over a batch that the encoder explains: `explained_NAME` of each articulator and
    of the opening.
    """
    raw, _ = speech_encoder(model).listen(batch.features)
    predicted, truth = (
        torch.cat([v, aperture(v)[..., None]], -1).flatten(0, 1)
        for v in (bounded(raw.float()), batch.articulators)
    )
    shares = 1 - (predicted - truth).square().mean(0) / truth.var(0, correction=0).clamp(min=1e-6)
    return {
        f"explained_{name}": share for name, share in zip((*ARTICULATORS, "opening"), shares, strict=True)
    }
