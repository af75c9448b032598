"""The release's encoders: from speech, driving face and portrait to condition tokens; names of the
projections' weights are its own.

Letters: b batch, f frames, n tokens a frame, d width, h hidden width, H W picture size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .resnet import ExpressionNet, IdentityNet, PoseNet
from .whisper import WhisperConfig, WhisperFeatures

STEPS, LAYERS = 10, 5  # of Whisper's encoder: steps a frame, hidden states of whisper-tiny

SPEECH, MOTION = "audio", "expression"  # the two signals of the release, in the order of its weights


class AudioProjection(nn.Module):
    """`audio_linear`: Whisper's hidden states (b, f, 10, 5, channels) to tokens (b, f, n, d)."""

    def __init__(self, channels: int = 384, hidden: int = 1024, tokens: int = 32, width: int = 1024) -> None:
        super().__init__()
        self.tokens = tokens
        self.proj1 = nn.Linear(STEPS * LAYERS * channels, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, tokens * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        z = F.relu(self.proj2(F.relu(self.proj1(features.flatten(2)))))
        return self.norm(self.proj3(z).unflatten(2, (self.tokens, -1)))


class IdentityProjection(nn.Module):
    """`id_proj_model`: a face's vector (..., features) to a token (..., d)."""

    def __init__(self, features: int = 512, hidden: int = 1024, width: int = 1024) -> None:
        super().__init__()
        self.proj1 = nn.Linear(features, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, width)

    def forward(self, face: Tensor) -> Tensor:
        return self.proj3(F.relu(self.proj2(F.relu(self.proj1(face)))))


class MotionProjection(nn.Module):
    """`vasa_linear`: an expression's vector (..., features) to what stands before the head pose
    in its token."""

    def __init__(self, features: int = 512, width: int = 1018) -> None:
        super().__init__()
        self.proj1 = nn.Linear(features, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, expression: Tensor) -> Tensor:
        return self.norm(self.proj1(expression))


@dataclass(frozen=True)
class ReleasedAudioConfig:
    folder: str = "openai/whisper-tiny"  # folder or hub id; frozen, not stored with the model
    channels: int = 384  # of one of Whisper's states
    hidden: int = 1024
    tokens: int = 32  # n tokens a frame
    width: int = 1024  # d of the tokens


class ReleasedAudio(nn.Module):
    """Whisper's hidden states around each frame, 4 steps before it and 6 from it on, to (b, f, n, d)."""

    name = "audio"
    dropped = True  # guidance puts its null tokens in the place of speech, and leaves the gate open

    def __init__(self, config: ReleasedAudioConfig) -> None:
        super().__init__()
        self.config = config
        whisper = WhisperConfig(config.folder, LAYERS, config.channels, STEPS, before=4)
        self.source = WhisperFeatures(whisper)
        self.proj = AudioProjection(config.channels, config.hidden, config.tokens, config.width)

    @property
    def null(self) -> Tensor:
        """What the projection makes of zeros, (n, d)."""
        weight = self.proj.proj1.weight
        return self.proj(weight.new_zeros(1, 1, weight.shape[1]))[0, 0]

    def forward(self, features: Tensor) -> Tensor:
        return self.proj(features)

    def absent(self, b: int, f: int) -> Tensor:
        """Tokens of a clip without sound, (b, f, n, d)."""
        return self.null.expand(b, f, -1, -1)


@dataclass(frozen=True)
class ReleasedMotionConfig:
    depths: tuple[int, ...] = (3, 4, 6, 3)  # of the expression's ResNet
    stem: int = 7  # side of the pose network's first kernel
    features: int = 512
    width: int = 1024  # d of the token: the expression's part and six numbers of head pose
    size: int = 256  # side of the crops, pixels
    reach: float = 1.7  # side of a frame's square, which follows the face, in the extent of its landmarks


class ReleasedMotion(nn.Module):
    """Face crops (b, f, 3, s, s) in [-1, 1] to one token a frame: the projected expression, the head's
    rotation in degrees, and zeros for its translation.
    """

    name = "expression"
    dropped = True

    def __init__(self, config: ReleasedMotionConfig) -> None:
        super().__init__()
        self.config, self.reach = config, config.reach
        self.expression = ExpressionNet(config.depths, config.features)
        self.pose = PoseNet(config.stem)
        self.proj = MotionProjection(config.features, config.width - 6)

    @property
    def null(self) -> Tensor:
        """What the projection makes of zeros, and no rotation, (1, d)."""
        face = self.proj(self.proj.proj1.weight.new_zeros(1, self.config.features))
        return F.pad(face, (0, 6))

    def forward(self, crops: Tensor, rest: Tensor) -> Tensor:
        """rest: not used; the release's motion is absolute."""
        faces = crops.flatten(0, 1)
        expression, pose = self.expression(faces / 2 + 0.5), self.pose(faces)
        token = torch.cat([self.proj(expression), pose[:, :3], torch.zeros_like(pose[:, 3:])], dim=1)
        return token[:, None].unflatten(0, (len(crops), -1))

    def absent(self, b: int, f: int) -> Tensor:
        """Tokens of a clip without a driving video, (b, f, 1, d)."""
        return self.null.expand(b, f, -1, -1)


@dataclass(frozen=True)
class ReleasedIdentityConfig:
    depths: tuple[int, ...] = (3, 4, 14, 3)  # of ArcFace's ResNet; empty: there is none, and nobody is told
    hidden: int = 1024
    width: int = 1024  # d of the token
    size: int = 112  # side of the head's crop, pixels


class ReleasedIdentity(nn.Module):
    """The portrait's square (b, 3, H, W) in [-1, 1] to one token (b, 1, d), by way of ArcFace."""

    name = "identity"

    def __init__(self, config: ReleasedIdentityConfig) -> None:
        super().__init__()
        self.config = config
        self.net = IdentityNet(config.depths) if config.depths else None
        self.proj = IdentityProjection(512, config.hidden, config.width)

    @property
    def null(self) -> Tensor:
        """Nobody: zeros, (1, d)."""
        return self.proj.proj3.bias.new_zeros(1, self.config.width)

    def forward(self, portrait: Tensor) -> Tensor:
        if self.net is None:
            return self.absent(len(portrait))
        size = (self.config.size, self.config.size)
        head = F.interpolate(portrait, size, mode="bilinear", antialias=True, align_corners=False)
        return self.proj(self.net(head))[:, None]

    def absent(self, b: int) -> Tensor:
        """Tokens that say nothing about who it is, (b, 1, d)."""
        return self.null.expand(b, -1, -1)
