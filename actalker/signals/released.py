"""The encoders of ACTalker's release: speech, a driving face and a portrait to condition tokens.

The projections' weights have the names of the release.

Letters: b batch, f frames, n tokens a frame, d width, h hidden width, s side of a crop, H W picture size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .resnet import ExpressionNet, IdentityNet, PoseNet
from .whisper import WhisperConfig, WhisperFeatures

STEPS, LAYERS = 10, 5  # Whisper's steps in a frame's window; hidden states of whisper-tiny

SPEECH, MOTION = "audio", "expression"  # the two signals of the release, in the order of its weights


class AudioProjection(nn.Module):
    """The release's `audio_linear`: three linear layers and a norm, from Whisper's states to tokens."""

    def __init__(self, channels: int = 384, hidden: int = 1024, tokens: int = 32, width: int = 1024) -> None:
        """Make a projection.

        Args:
            channels: of one of Whisper's states.
            hidden: h.
            tokens: n.
            width: d.
        """
        super().__init__()
        self.tokens = tokens
        self.proj1 = nn.Linear(STEPS * LAYERS * channels, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, tokens * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Project Whisper's hidden states (b, f, 10, 5, channels) to tokens (b, f, n, d)."""
        z = F.relu(self.proj2(F.relu(self.proj1(features.flatten(2)))))
        return self.norm(self.proj3(z).unflatten(2, (self.tokens, -1)))


class IdentityProjection(nn.Module):
    """The release's `id_proj_model`: three linear layers from a face's vector to a token."""

    def __init__(self, features: int = 512, hidden: int = 1024, width: int = 1024) -> None:
        """Make a projection of vectors of `features` numbers to tokens of `width` (d)."""
        super().__init__()
        self.proj1 = nn.Linear(features, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, width)

    def forward(self, face: Tensor) -> Tensor:
        """Project vectors (..., features) to tokens (..., d)."""
        return self.proj3(F.relu(self.proj2(F.relu(self.proj1(face)))))


class MotionProjection(nn.Module):
    """The release's `vasa_linear`: a linear layer and a norm from an expression to its part of the token."""

    def __init__(self, features: int = 512, width: int = 1018) -> None:
        """Make a projection to `width` numbers, d less the six of the pose."""
        super().__init__()
        self.proj1 = nn.Linear(features, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, expression: Tensor) -> Tensor:
        """Project expressions (..., features) to (..., width)."""
        return self.norm(self.proj1(expression))


@dataclass(frozen=True)
class ReleasedAudioConfig:
    """Settings of `ReleasedAudio`; the defaults are the release's."""

    folder: str = "openai/whisper-tiny"  # folder or hub id; frozen, not stored with the model
    channels: int = 384  # of one of Whisper's states
    hidden: int = 1024  # h of the projection
    tokens: int = 32  # n tokens a frame
    width: int = 1024  # d of the tokens


class ReleasedAudio(nn.Module):
    """The release's encoder of speech.

    It projects Whisper's hidden states from 4 steps before each frame to 6 steps after.
    """

    name = "audio"
    dropped = True  # guidance drops it by null tokens, and leaves the gate open

    def __init__(self, config: ReleasedAudioConfig) -> None:
        """Make an encoder with new weights of its projection."""
        super().__init__()
        self.config = config
        whisper = WhisperConfig(config.folder, LAYERS, config.channels, STEPS, before=4)
        self.source = WhisperFeatures(whisper)
        self.proj = AudioProjection(config.channels, config.hidden, config.tokens, config.width)

    @property
    def null(self) -> Tensor:
        """The projection of zeros, (n, d)."""
        weight = self.proj.proj1.weight
        return self.proj(weight.new_zeros(1, 1, weight.shape[1]))[0, 0]

    def forward(self, features: Tensor) -> Tensor:
        """Encode Whisper's states (b, f, 10, 5, channels) to tokens (b, f, n, d)."""
        return self.proj(features)

    def absent(self, b: int, f: int) -> Tensor:
        """Return the tokens (b, f, n, d) of a clip without sound."""
        return self.null.expand(b, f, -1, -1)


@dataclass(frozen=True)
class ReleasedMotionConfig:
    """Settings of `ReleasedMotion`; the defaults are the release's."""

    depths: tuple[int, ...] = (3, 4, 6, 3)  # blocks in the stages of the expression's ResNet
    stem: int = 7  # side of the pose network's first kernel
    features: int = 512  # of an expression
    width: int = 1024  # d of the token: the expression's part and six numbers of head pose
    size: int = 256  # side of the crops, pixels
    reach: float = 1.7  # side of a frame's square, which follows the face, in the extent of its landmarks


class ReleasedMotion(nn.Module):
    """The release's encoder of facial motion: one token a frame.

    The token holds the projected expression, the head's rotation in degrees, and zeros for its translation.
    """

    name = "expression"
    dropped = True

    def __init__(self, config: ReleasedMotionConfig) -> None:
        """Make an encoder with new weights."""
        super().__init__()
        self.config, self.reach = config, config.reach
        self.expression = ExpressionNet(config.depths, config.features)
        self.pose = PoseNet(config.stem)
        self.proj = MotionProjection(config.features, config.width - 6)

    @property
    def null(self) -> Tensor:
        """The projection of zeros without rotation, (1, d)."""
        face = self.proj(self.proj.proj1.weight.new_zeros(1, self.config.features))
        return F.pad(face, (0, 6))

    def forward(self, crops: Tensor, rest: Tensor) -> Tensor:
        """Encode crops (b, f, 3, s, s) in [-1, 1] to tokens (b, f, 1, d).

        rest: ignored, since the release's motion is absolute.
        """
        faces = crops.flatten(0, 1)
        expression, pose = self.expression(faces / 2 + 0.5), self.pose(faces)
        token = torch.cat([self.proj(expression), pose[:, :3], torch.zeros_like(pose[:, 3:])], dim=1)
        return token[:, None].unflatten(0, (len(crops), -1))

    def absent(self, b: int, f: int) -> Tensor:
        """Return the tokens (b, f, 1, d) of a clip without a driving video."""
        return self.null.expand(b, f, -1, -1)


@dataclass(frozen=True)
class ReleasedIdentityConfig:
    """Settings of `ReleasedIdentity`; the defaults are the release's."""

    depths: tuple[int, ...] = (
        3,
        4,
        14,
        3,
    )  # blocks in ArcFace's stages; empty for no ArcFace, and null tokens
    hidden: int = 1024  # h of the projection
    width: int = 1024  # d of the token
    size: int = 112  # side of the head's crop, pixels


class ReleasedIdentity(nn.Module):
    """The release's encoder of identity: ArcFace's vector of the portrait's face, projected to one token."""

    name = "identity"

    def __init__(self, config: ReleasedIdentityConfig) -> None:
        """Make an encoder with new weights."""
        super().__init__()
        self.config = config
        self.net = IdentityNet(config.depths) if config.depths else None
        self.proj = IdentityProjection(512, config.hidden, config.width)

    @property
    def null(self) -> Tensor:
        """The token of nobody, zeros (1, d)."""
        return self.proj.proj3.bias.new_zeros(1, self.config.width)

    def forward(self, portrait: Tensor) -> Tensor:
        """Encode portraits (b, 3, H, W) in [-1, 1] to tokens (b, 1, d)."""
        if self.net is None:
            return self.absent(len(portrait))
        size = (self.config.size, self.config.size)
        head = F.interpolate(portrait, size, mode="bilinear", antialias=True, align_corners=False)
        return self.proj(self.net(head))[:, None]

    def absent(self, b: int) -> Tensor:
        """Return the tokens (b, 1, d) of nobody, for guidance."""
        return self.null.expand(b, -1, -1)
